"""LoRA adapters combined into one adapter, by factors or by what they add to the weights (LoraHub, arXiv 2307.13269)."""

import json
import shutil
from collections.abc import Mapping, Sequence
from functools import reduce
from math import sqrt
from pathlib import Path
from typing import Any

import torch

from moco.errors import RequestError
from moco.models.info import ModelInfo
from moco.models.recipes import Recipe
from moco.records import read_json
from moco.store.checksums import copy_tree

OPERATION = "lora"
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FACTOR_A, FACTOR_B = ".lora_A.weight", ".lora_B.weight"
_PLAIN: dict[str, Any] = {
    "use_dora": False,
    "modules_to_save": None,
    "trainable_token_indices": None,
    "bias": "none",
    "lora_bias": False,
    "layer_replication": None,
    "rank_pattern": {},
    "alpha_pattern": {},
    "target_parameters": None,
}
"""Settings of an adapter that is two factors per weight, and nothing else."""

_INITIAL = (True, False, "gaussian", "orthogonal", "eva")
"""Initialisations after which an adapter rests on its base as it is."""


def combine_adapters(recipe: Recipe, sources: Sequence[ModelInfo], folder: Path, root: Path) -> None:
    """Write the adapter of a recipe, with sums in float64 that are rounded once.

    An adapter i adds s_i·B_i·A_i to a weight, with s_i = alpha / rank (or / sqrt(rank)). `space: factors` makes
    A = sum(w_i·A_i) and B = sum(w_i·s_i·B_i), so that w and -w are one model; `space: delta` puts the factors side by
    side, so that the result adds sum(w_i·s_i·B_i·A_i) exactly, at the sum of the ranks.

    Args:
        recipe: With `base` and `space` among its options.
        sources: The inputs, then the base.
        folder: New folder of the adapter, in which nothing of these names lies.
        root: Folder that holds `results`.

    Raises:
        RequestError: An input is no plain LoRA adapter, or has another base or other shapes than the first.
    """
    *sources, base = sources
    for info in sources:
        if info.base is None or info.base["fingerprint"] != base.fingerprint:
            what = f"is no adapter on {base.name}"
            raise RequestError(what, where=f"models.{info.name}", remedy="combine adapters on one base")
    if recipe.is_its_input:
        copy_tree(sources[0].folder(root), folder)
        return
    read = [_read(info, root) for info in sources]
    first = read[0][0]
    by_delta = recipe.options["space"] == "delta"
    for info, (tensors, _) in zip(sources, read, strict=True):
        check_factors(first, tensors, info.name, sources[0].name, ranks=not by_delta)
    combined: dict[str, torch.Tensor] = {}
    for name in sorted(first):
        is_b = name.endswith(FACTOR_B)
        parts = [tensors[name].to(torch.float64) * (scale if is_b else 1.0) for tensors, scale in read]
        if is_b or not by_delta:
            parts = [weight * part for weight, part in zip(recipe.weights, parts, strict=True)]
        whole = torch.cat(parts, dim=1 if is_b else 0) if by_delta else torch.stack(parts).sum(0)
        dtype = reduce(torch.promote_types, (tensors[name].dtype for tensors, _ in read))
        combined[name] = whole.to(dtype).contiguous()
    _write(folder, sources[0].folder(root), combined)


def _read(info: ModelInfo, root: Path) -> tuple[dict[str, torch.Tensor], float]:
    """Return an adapter's factors by name, and its scale."""
    where = f"models.{info.name}"
    if info.base is None:
        raise RequestError("is no LoRA adapter", where=where, remedy="combine adapters only")
    return read_factors(info.folder(root), where)


def read_factors(own: Path, where: str) -> tuple[dict[str, torch.Tensor], float]:
    """Return the factors of the adapter in a folder by name, and its scale.

    Raises:
        RequestError: It is no plain LoRA adapter.
    """
    from safetensors.torch import load_file

    if not (own / CONFIG).is_file():
        raise RequestError("is no LoRA adapter", where=where, remedy="combine adapters only")
    config: Mapping[str, Any] = read_json(own / CONFIG)
    unusual = [key for key, usual in _PLAIN.items() if config.get(key) and config[key] != usual]
    if config.get("init_lora_weights", True) not in _INITIAL:
        unusual.append("init_lora_weights")
    tensors = load_file(own / WEIGHTS) if (own / WEIGHTS).is_file() else {}
    strange = sorted(name for name in tensors if not name.endswith((FACTOR_A, FACTOR_B)))
    if unusual or strange or not tensors:
        what = f"{unusual[0]}: {config.get(unusual[0])}" if unusual else strange[0] if strange else f"no {WEIGHTS}"
        raise RequestError(f"has more than two factors per weight ({what})", where=where, remedy="leave it out")
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    return tensors, alpha / sqrt(rank) if config.get("use_rslora") else alpha / rank


def check_factors(
    first: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor], name: str, reference: str, *, ranks: bool
) -> None:
    """Refuse an adapter whose factors have other shapes than those of the first; of other ranks too, where they count.

    Raises:
        RequestError: They have.
    """

    def shape(tensors: Mapping[str, torch.Tensor], key: str) -> Any:
        if key not in tensors:
            return "missing"
        rows, columns = tensors[key].shape
        return (rows, columns) if ranks else columns if key.endswith(FACTOR_A) else rows

    for key in sorted({*first, *other}):
        mine, theirs = shape(first, key), shape(other, key)
        if mine != theirs:
            what = f"{key} is {theirs}, and {mine} in {reference}"
            raise RequestError(what, where=f"models.{name}", remedy="combine adapters of the same layers and rank")


def _write(folder: Path, like: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    for path in sorted(like.iterdir()):
        if path.is_file() and path.name not in (CONFIG, WEIGHTS, "README.md", "zoo.json"):
            shutil.copy2(path, folder / path.name)
    rank = next(tensor.shape[0] for name, tensor in tensors.items() if name.endswith(FACTOR_A))
    config = {**read_json(like / CONFIG), "r": rank, "lora_alpha": rank, "use_rslora": False}
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    save_file(dict(tensors), folder / WEIGHTS, metadata={"format": "pt"})
