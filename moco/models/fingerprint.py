"""Digests of checkpoints: the content of every file that decides what a model says."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moco.digest import digest, file_digest
from moco.errors import RequestError
from moco.records import read_json

_SUFFIXES = frozenset({".safetensors", ".json", ".jinja", ".model", ".txt", ".py"})
_IGNORED = frozenset({"zoo.json", "recipe.json", "README.md"})


def checkpoint_digest(folder: Path) -> str:
    """Return the digest of a checkpoint's weights, configuration, tokenizer and code, by content."""
    files = {
        path.name: file_digest(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix in _SUFFIXES and path.name not in _IGNORED
    }
    return digest("checkpoint", files)


def tensor_headers(folder: Path) -> dict[str, dict[str, Any]]:
    """Return name, dtype and shape of all tensors of a checkpoint, read from the headers of its safetensors files.

    Raises:
        RequestError: There are no safetensors files, or one is damaged.
    """
    headers: dict[str, dict[str, Any]] = {}
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise RequestError("no safetensors weights", where=str(folder), remedy="convert the checkpoint to safetensors")
    for path in files:
        with path.open("rb") as stream:
            try:
                (length,) = struct.unpack("<Q", stream.read(8))
                header = json.loads(stream.read(length))
            except (struct.error, ValueError, MemoryError, OverflowError):
                raise RequestError("is not a safetensors file", where=str(path), remedy="download it again") from None
        headers.update({name: entry for name, entry in header.items() if name != "__metadata__"})
    return headers


def count_parameters(folder: Path) -> int:
    """Return the number of parameters of a checkpoint."""
    total = 0
    for entry in tensor_headers(folder).values():
        size = 1
        for length in entry["shape"]:
            size *= length
        total += size
    return total


def tokenizer_digest(folder: Path) -> str:
    """Return the digest of a tokenizer's vocabulary and token ids; templates and names do not count."""
    path = folder / "tokenizer.json"
    if path.exists():
        data: Mapping[str, Any] = read_json(path)
        model = data["model"]
        added = [[token["id"], token["content"]] for token in data.get("added_tokens", [])]
        return digest("tokenizer", model.get("type"), model.get("vocab"), model.get("merges"), added)[:32]
    files = {
        name: file_digest(folder / name)
        for name in ("tokenizer.model", "vocab.json", "merges.txt")
        if (folder / name).exists()
    }
    if not files:
        raise RequestError("no tokenizer files", where=str(folder), remedy="save the tokenizer beside the weights")
    return digest("tokenizer", files)[:32]
