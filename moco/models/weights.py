"""Tensors of a checkpoint: the files that transformers would load, and what in them are parameters."""

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from moco.errors import RequestError
from moco.records import read_json

INDEX = "model.safetensors.index.json"

_PART = 1 << 24  # bytes that are compared at a time

_BUFFER = re.compile(r"(^|\.)(rotary_emb\.(inv_freq|cos_cached|sin_cached)|masked_bias|position_ids)$")
_MASK = re.compile(r"(^|\.)(attn|attention)\.bias$")
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out)\.weight$")
_EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|embed_in|word_embeddings|tok_embeddings)\.weight$")


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies, and what the header of its file says about it.

    Attributes:
        file: The safetensors file.
        name: In that file.
        dtype: As safetensors writes it, for instance BF16.
        shape: Its lengths.
    """

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        size = 1
        for length in self.shape:
            size *= length
        return size


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files that transformers or PEFT would load; copies in other layouts are none of them.

    Raises:
        RequestError: The index of a checkpoint in parts is damaged, or names a file that is missing.
    """
    for name in ("adapter_model.safetensors", "model.safetensors"):
        if (folder / name).is_file():
            return [folder / name]
    index = folder / INDEX
    if index.is_file():
        try:
            names = sorted(set(read_json(index)["weight_map"].values()))
        except (KeyError, TypeError, AttributeError, ValueError):
            raise RequestError("is not an index of weights", where=str(index), remedy="download it again") from None
        missing = next((name for name in names if not (folder / name).is_file()), None)
        if missing is not None:
            what = f"{missing}, which the index of the weights names, is missing"
            raise RequestError(what, where=str(folder), remedy="download it again")
        return [folder / name for name in names]
    return sorted(path for path in folder.glob("*.safetensors") if not path.name.startswith("consolidated"))


def tensor_headers(folder: Path) -> dict[str, StoredTensor]:
    """Return all tensors of a checkpoint by name, read from the headers of its safetensors files.

    Raises:
        RequestError: There are no safetensors files, or one is damaged.
    """
    files = weight_files(folder)
    if not files:
        raise RequestError("no safetensors weights", where=str(folder), remedy="convert the checkpoint to safetensors")
    found: dict[str, StoredTensor] = {}
    for path in files:
        with path.open("rb") as stream:
            try:
                (length,) = struct.unpack("<Q", stream.read(8))
                header = json.loads(stream.read(length))
                found.update(
                    (name, StoredTensor(path, name, str(entry["dtype"]), tuple(entry["shape"])))
                    for name, entry in header.items()
                    if name != "__metadata__"
                )
            except (struct.error, ValueError, MemoryError, OverflowError, KeyError, TypeError, AttributeError):
                raise RequestError("is not a safetensors file", where=str(path), remedy="download it again") from None
    return found


def parameters_of(folder: Path) -> dict[str, StoredTensor]:
    """Return the parameters of a checkpoint: its tensors without buffers, and without a second copy of a tied tensor.

    A stored output layer is such a copy where the configuration ties it to the embeddings and it equals them bit for
    bit, which is when transformers ties them.

    Raises:
        RequestError: As for `tensor_headers`.
    """
    found = {name: tensor for name, tensor in tensor_headers(folder).items() if not _is_buffer(tensor)}
    head, embedding = output_layer(found), embeddings(found)
    if head and embedding and _ties(folder) and equal_content(found[head], found[embedding]):
        del found[head]
    return found


def count_parameters(folder: Path) -> int:
    """Return the number of parameters of a checkpoint; errors as for `tensor_headers`."""
    return sum(tensor.size for tensor in parameters_of(folder).values())


def output_layer(tensors: Mapping[str, StoredTensor]) -> str | None:
    """Return the name of the output layer's weights; None where they are not stored."""
    return next((name for name in sorted(tensors) if _HEAD.search(name)), None)


def embeddings(tensors: Mapping[str, StoredTensor]) -> str | None:
    """Return the name of the input embeddings; None where none has a known name."""
    return next((name for name in sorted(tensors) if _EMBEDDING.search(name)), None)


def _is_buffer(tensor: StoredTensor) -> bool:
    if _BUFFER.search(tensor.name):
        return True
    return bool(_MASK.search(tensor.name)) and tensor.shape[:2] == (1, 1) and len(tensor.shape) == 4


def _ties(folder: Path) -> bool:
    path = folder / "config.json"
    config: dict[str, Any] = dict(read_json(path)) if path.is_file() else {}
    for part in (config, config.get("text_config") or {}):
        if "tie_word_embeddings" in part:
            return bool(part["tie_word_embeddings"])
    from transformers import CONFIG_MAPPING

    kind = config.get("model_type")
    return kind in CONFIG_MAPPING and bool(getattr(CONFIG_MAPPING[kind](), "tie_word_embeddings", False))


def equal_content(one: StoredTensor, other: StoredTensor) -> bool:
    """Return whether two tensors are the same bit for bit."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    with one.file.open("rb") as mine, other.file.open("rb") as yours:
        left = _seek(mine, one.name)
        _seek(yours, other.name)
        while left > 0:
            part = min(left, _PART)
            if mine.read(part) != yours.read(part):
                return False
            left -= part
    return True


def _seek(stream: BinaryIO, name: str) -> int:
    """Go to the first byte of a tensor and return how many it has."""
    (length,) = struct.unpack("<Q", stream.read(8))
    first, last = json.loads(stream.read(length))[name]["data_offsets"]
    stream.seek(8 + length + first)
    return int(last - first)
