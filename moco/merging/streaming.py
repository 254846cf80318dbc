"""Checkpoints from checkpoints, one tensor at a time."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from moco.errors import RequestError
from moco.models.fingerprint import tensor_headers

_SHARD_BYTES = 4_000_000_000

Read = Callable[[str], torch.Tensor]
"""Reads a tensor of one checkpoint by name."""
Combine = Callable[[str, Sequence[Read]], torch.Tensor]
"""Makes the tensor of a name from those of all checkpoints; shape and type are those of the first."""


def check_same_tensors(folders: Sequence[Path], names: Sequence[str]) -> None:
    """Check that checkpoints have tensors of equal names, shapes and types.

    Raises:
        RequestError: They differ; the message names the first tensor that does.
    """
    first = tensor_headers(folders[0])
    for folder, name in zip(folders[1:], names[1:], strict=True):
        other = tensor_headers(folder)
        for tensor in sorted(first.keys() | other.keys()):
            mine, yours = first.get(tensor), other.get(tensor)
            if mine is None or yours is None or (mine["shape"], mine["dtype"]) != (yours["shape"], yours["dtype"]):
                raise RequestError(
                    f"tensor {tensor} is {_shape(mine)} in {names[0]} and {_shape(yours)} in {name}",
                    where=f"models.{name}",
                    remedy="merge only models of one architecture",
                )


def _shape(entry: dict[str, Any] | None) -> str:
    return f"{entry['dtype']} {entry['shape']}" if entry else "missing"


class _Reader:
    """Reads single tensors of a checkpoint, however it is sharded."""

    def __init__(self, folder: Path) -> None:
        files: list[Any] = [safe_open(path, framework="pt") for path in sorted(folder.glob("*.safetensors"))]
        self._where = {name: file for file in files for name in file.keys()}  # noqa: SIM118

    def __call__(self, name: str) -> torch.Tensor:
        tensor: torch.Tensor = self._where[name].get_tensor(name)
        return tensor


def merge_streamed(folders: Sequence[Path], combine: Combine, output: Path) -> None:
    """Write the combination of every tensor.

    Tensors of integers or booleans (masks, positions) are those of the first checkpoint.

    Args:
        folders: Checkpoints with the same tensors.
        combine: Makes one tensor.
        output: Existing folder for the safetensors files.
    """
    readers = [_Reader(folder) for folder in folders]
    headers = tensor_headers(folders[0])
    shard: dict[str, torch.Tensor] = {}
    shards: list[list[str]] = []
    size = 0
    for name in sorted(headers):
        first = readers[0](name)
        merged = combine(name, readers).contiguous() if first.is_floating_point() else first
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
