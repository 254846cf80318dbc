"""Tokenizers are the same when they give the same ids, however their files are written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moco.models.vocabulary import tokenizer_digest


@pytest.fixture
def folder(tiny_checkpoint, tmp_path) -> Path:
    (tmp_path / "tokenizer").mkdir()
    for path in tiny_checkpoint("base").glob("*token*"):
        shutil.copy(path, tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def edited(folder: Path, change: Callable[[dict[str, Any]], object], name: str = "tokenizer.json") -> str:
    path = folder / name
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return tokenizer_digest(folder)


def older_merges(data: dict[str, Any]) -> None:
    data["model"]["merges"] = [" ".join(merge) for merge in data["model"]["merges"]]


def without_defaults(data: dict[str, Any]) -> None:
    for name in ("dropout", "unk_token", "byte_fallback", "ignore_merges", "fuse_unk", "continuing_subword_prefix"):
        if not data["model"].get(name):
            data["model"].pop(name, None)


def only_in_the_vocabulary_too(data: dict[str, Any]) -> None:
    data["model"]["vocab"] |= {token["content"]: token["id"] for token in data["added_tokens"]}


SPELLINGS = {
    "merges as strings": older_merges,
    "defaults left out": without_defaults,
    "added tokens of the vocabulary in another order": lambda data: data.update(
        added_tokens=data["added_tokens"][3::-1] + data["added_tokens"][4:]
    ),
    "added tokens in the vocabulary too": only_in_the_vocabulary_too,
    "a special token that is none": lambda data: data["added_tokens"][-1].update(special=True),
    "truncation": lambda data: data.update(
        truncation={"direction": "Right", "max_length": 7, "strategy": "LongestFirst", "stride": 0}
    ),
    "padding": lambda data: data.update(
        padding={
            "strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "<|pad|>",
        }
    ),
    "the vocabulary in another order": lambda data: data["model"].update(
        vocab=dict(reversed(data["model"]["vocab"].items()))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_spelling_does_not_count(folder, name):
    before = tokenizer_digest(folder)
    assert edited(folder, SPELLINGS[name]) == before


def swap_two_pieces(data: dict[str, Any]) -> None:
    vocab = data["model"]["vocab"]
    one, other = list(vocab)[100:102]
    vocab[one], vocab[other] = vocab[other], vocab[one]


MEANINGS = {
    "pieces have other ids": swap_two_pieces,
    "merges in another order": lambda data: data["model"]["merges"].insert(0, data["model"]["merges"].pop(5)),
    "an added token more": lambda data: data["added_tokens"].append(
        dict(data["added_tokens"][-1], id=data["added_tokens"][-1]["id"] + 1, content="<new>")
    ),
    "another added token": lambda data: data["added_tokens"][-1].update(content="<new>"),
    "an added token that eats blanks": lambda data: data["added_tokens"][-1].update(lstrip=True),
    # Those that the vocabulary lacks are numbered by their place, whatever the file says.
    "further tokens in another order": lambda data: data["added_tokens"].reverse(),
    "another normalizer": lambda data: data.update(normalizer={"type": "Lowercase"}),
    "words are cut in another way": lambda data: data.update(pre_tokenizer={"type": "Whitespace"}),
}


@pytest.mark.parametrize("name", MEANINGS)
def test_what_changes_ids_counts(folder, name):
    before = tokenizer_digest(folder)
    assert edited(folder, MEANINGS[name]) != before


def test_added_tokens_may_stand_beside_the_file(folder):
    """As older versions wrote them, in files of their own; each library adds them when it reads the folder."""
    data = json.loads((folder / "tokenizer.json").read_text())
    new = {"id": max(token["id"] for token in data["added_tokens"]) + 1, "content": "<new>"}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    inside = edited(folder, lambda data: data["added_tokens"].append({**new, **flags}))
    edited(folder, lambda data: data["added_tokens"].pop())
    outside = {str(new["id"]): {"content": "<new>", **flags}}
    assert edited(folder, lambda data: data.update(added_tokens_decoder=outside), "tokenizer_config.json") == inside
    edited(folder, lambda data: data.pop("added_tokens_decoder"), "tokenizer_config.json")
    (folder / "added_tokens.json").write_text(json.dumps({"<new>": new["id"]}))
    assert tokenizer_digest(folder) == inside


def test_a_slow_tokenizer_is_the_fast_one_that_it_is_converted_to(tmp_path):
    from transformers import AutoTokenizer, GPT2Tokenizer

    (tmp_path / "slow").mkdir()
    letters = "abcdefgh\u0120"
    vocab = {letter: place for place, letter in enumerate(letters)} | {"ab": 9, "cd": 10, "<|endoftext|>": 11}
    (tmp_path / "slow/vocab.json").write_text(json.dumps(vocab))
    (tmp_path / "slow/merges.txt").write_text("#version: 0.2\na b\nc d\n")
    config = {"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    (tmp_path / "slow/tokenizer_config.json").write_text(json.dumps(config))
    loaded = AutoTokenizer.from_pretrained(tmp_path / "slow")
    assert isinstance(loaded, GPT2Tokenizer)
    loaded.save_pretrained(tmp_path / "fast")
    (tmp_path / "fast/vocab.json").unlink(missing_ok=True)
    assert (tmp_path / "fast/tokenizer.json").is_file()
    assert tokenizer_digest(tmp_path / "slow") == tokenizer_digest(tmp_path / "fast")
