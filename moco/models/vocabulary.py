"""What token ids mean: the identity of a tokenizer, however its files spell it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moco.digest import digest, file_digest
from moco.errors import RequestError
from moco.records import read_json

FAST = "tokenizer.json"
_SLOW = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json", "merges.txt", "vocab.txt")
_RULES = (
    "type",
    "unk_token",
    "unk_id",
    "byte_fallback",
    "fuse_unk",
    "ignore_merges",
    "dropout",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "max_input_chars_per_word",
)
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized")
_WITHOUT_EFFECT = frozenset({"trim_offsets"})


def has_tokenizer(folder: Path) -> bool:
    """Return whether a folder holds a vocabulary, in whatever format."""
    return any((folder / name).is_file() for name in (FAST, *_SLOW))


def tokenizer_digest(folder: Path) -> str:
    """Return the digest of what decides token ids: pieces with their ids, merges, and the rules that cut a text.

    Templates, special roles, truncation and padding do not count, nor does how a library's version writes the files
    down. A tokenizer without `tokenizer.json` is converted first, where transformers can; else its files are its
    identity.

    Raises:
        RequestError: There are no tokenizer files, or they are damaged.
    """
    if (folder / FAST).is_file():
        return _digest(_from_file(folder / FAST), _declared(folder))
    if not has_tokenizer(folder):
        raise RequestError("no tokenizer files", where=str(folder), remedy="save the tokenizer beside the weights")
    converted = _converted(folder)
    if converted is not None:
        return _digest(converted, {})
    files = {name: file_digest(folder / name) for name in _SLOW if (folder / name).is_file()}
    return digest("tokenizer", files)[:32]


def _from_file(path: Path) -> dict[str, Any]:
    """Return a fast tokenizer as today's library writes it, or as its file has it where the library refuses it."""
    from tokenizers import Tokenizer

    try:
        return dict(json.loads(Tokenizer.from_file(str(path)).to_str()))
    except Exception:  # the library raises bare ones
        return dict(read_json(path))


def _converted(folder: Path) -> dict[str, Any] | None:
    from transformers import AutoTokenizer

    try:
        return dict(json.loads(AutoTokenizer.from_pretrained(folder).backend_tokenizer.to_str()))
    except Exception:  # whatever a file in another format leads to
        return None


def _declared(folder: Path) -> dict[int, dict[str, Any]]:
    """Return the added tokens that stand beside `tokenizer.json`, by id."""
    found: dict[int, dict[str, Any]] = {}
    older, newer = folder / "added_tokens.json", folder / "tokenizer_config.json"
    if older.is_file():
        found |= {int(number): {"content": content} for content, number in dict(read_json(older)).items()}
    if newer.is_file():
        declared = dict(read_json(newer)).get("added_tokens_decoder") or {}
        found |= {int(number): dict(token) for number, token in declared.items()}
    return found


def _digest(data: Mapping[str, Any], beside: Mapping[int, Mapping[str, Any]]) -> str:
    try:
        model = data["model"]
        added = {**beside, **{int(token["id"]): token for token in data.get("added_tokens") or ()}}
        pieces = model["vocab"]
        if isinstance(pieces, dict):
            pieces = {**pieces, **{token["content"]: number for number, token in added.items()}}
        merges = [_pair(merge) for merge in model.get("merges") or ()]
        tokens = [
            [number, token["content"], *(bool(token.get(flag)) for flag in _FLAGS)]
            for number, token in sorted(added.items())
        ]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise RequestError("tokenizer.json is none", remedy="save the tokenizer again") from None
    rules = {name: model[name] for name in _RULES if model.get(name) not in (None, False, "", 0, 0.0)}
    cuts = [_without_default(data.get(name)) for name in ("normalizer", "pre_tokenizer")]
    return digest("tokenizer", pieces, merges, tokens, rules, cuts)[:32]


def _pair(merge: Any) -> list[str]:
    return merge.split(" ") if isinstance(merge, str) else list(merge)


def _without_default(rule: Any) -> Any:
    if isinstance(rule, dict):
        return {key: _without_default(value) for key, value in rule.items() if key not in _WITHOUT_EFFECT}
    if isinstance(rule, list):
        return [_without_default(each) for each in rule]
    return rule
