"""Checkpoints from checkpoints, one tensor at a time."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from moco.errors import RequestError
from moco.models.adapters import FLOATS
from moco.models.weights import StoredTensor, embeddings, output_layer, parameters_of

_SHARD_BYTES = 4_000_000_000

Read = Callable[[str], torch.Tensor]
"""Reads a tensor of one checkpoint by name."""


class Combine(Protocol):
    """Makes the tensor of a name from those of all checkpoints, which have one shape."""

    def __call__(self, name: str, readers: Sequence[Read], dtype: torch.dtype | None = None) -> torch.Tensor:
        """Return the tensor in a number type; left out, in that of the base, or of the first where there is none."""
        ...


def aligned_tensors(folders: Sequence[Path], names: Sequence[str]) -> list[dict[str, StoredTensor]]:
    """Return the parameters of checkpoints by name, the same names in all of them.

    Buffers are none. An output layer that only some checkpoints have of their own is, in the others, the embeddings
    that it is tied to. Number types may differ as long as all are floating-point.

    Args:
        folders: The checkpoints.
        names: Of the models, as messages name them.

    Raises:
        RequestError: Names or shapes differ; the message names the first tensor that does.
    """
    lists = [parameters_of(folder) for folder in folders]
    lists = [lists[0], *(_named_like(lists[0], other) for other in lists[1:])]
    head = next((found for found in map(output_layer, lists) if found), None)
    for tensors in lists:
        tied_to = embeddings(tensors)
        if head and head not in tensors and tied_to and output_layer(tensors) is None:
            tensors[head] = tensors[tied_to]
    first = lists[0]
    for other, name in zip(lists[1:], names[1:], strict=True):
        for tensor in sorted(first.keys() | other.keys()):
            mine, yours = first.get(tensor), other.get(tensor)
            if mine is None or yours is None or mine.shape != yours.shape or _kind(mine) != _kind(yours):
                raise RequestError(
                    f"tensor {tensor} is {_shape(mine)} in {names[0]} and {_shape(yours)} in {name}",
                    where=f"models.{name}",
                    remedy="merge only models of one architecture",
                )
    return lists


def _named_like(first: Mapping[str, StoredTensor], other: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Return tensors by the names that the first checkpoint has for them; files of a bare model lack a prefix."""
    mine, yours = embeddings(first), embeddings(other)
    if mine is None or yours is None or mine == yours:
        return other
    if mine.endswith(f".{yours}"):
        prefix = mine.removesuffix(yours)
        return {name if name in first else prefix + name: tensor for name, tensor in other.items()}
    if yours.endswith(f".{mine}"):
        prefix = yours.removesuffix(mine)
        return {name if name in first else name.removeprefix(prefix): tensor for name, tensor in other.items()}
    return other


def _kind(tensor: StoredTensor) -> str:
    return "float" if tensor.dtype in FLOATS else tensor.dtype


def _shape(tensor: StoredTensor | None) -> str:
    return f"{tensor.dtype} {list(tensor.shape)}" if tensor else "missing"


class _Reader:
    """Reads single tensors of a checkpoint, however it is sharded."""

    def __init__(self, tensors: Mapping[str, StoredTensor]) -> None:
        self._tensors = tensors
        self._files: dict[Path, Any] = {
            path: safe_open(path, framework="pt") for path in {tensor.file for tensor in tensors.values()}
        }

    def __call__(self, name: str) -> torch.Tensor:
        stored = self._tensors[name]
        tensor: torch.Tensor = self._files[stored.file].get_tensor(stored.name)
        return tensor


def merge_streamed(
    lists: Sequence[Mapping[str, StoredTensor]], combine: Combine, dtypes: Mapping[str, torch.dtype], output: Path
) -> None:
    """Write the combination of every tensor.

    Tensors of integers or booleans (masks, positions) are those of the first checkpoint.

    Args:
        lists: Tensors of the checkpoints, of the same names.
        combine: Makes one tensor.
        dtypes: Number type in which a tensor is written, by its name.
        output: Existing folder for the safetensors files.
    """
    readers = [_Reader(tensors) for tensors in lists]
    shard: dict[str, torch.Tensor] = {}
    shards: list[list[str]] = []
    size = 0
    for name in sorted(lists[0]):
        stored = lists[0][name]
        merged = combine(name, readers, dtypes[name]).contiguous() if stored.dtype in FLOATS else readers[0](name)
        if shard and size + merged.nbytes > _SHARD_BYTES:
            _save(shard, output, shards)
            shard, size = {}, 0
        shard[name] = merged
        size += merged.nbytes
    _save(shard, output, shards)
    _name_shards(output, shards)


def _save(shard: dict[str, torch.Tensor], output: Path, shards: list[list[str]]) -> None:
    save_file(shard, output / f"part-{len(shards):05d}.safetensors", metadata={"format": "pt"})
    shards.append(sorted(shard))


def _name_shards(output: Path, shards: list[list[str]]) -> None:
    """Give the parts the names that transformers and vLLM look for."""
    if len(shards) == 1:
        (output / "part-00000.safetensors").rename(output / "model.safetensors")
        return
    from moco.records import write_json

    weight_map = {}
    total = 0
    for number, names in enumerate(shards):
        final = f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors"
        path = (output / f"part-{number:05d}.safetensors").rename(output / final)
        total += path.stat().st_size
        weight_map.update(dict.fromkeys(names, final))
    write_json(output / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})
