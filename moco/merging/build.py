"""From a recipe to a checkpoint that transformers and vLLM load."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from moco.errors import RequestError, WorkError
from moco.merging.linear import check_same_tensors, merge_linear
from moco.methods.base import Recipe
from moco.models.info import ModelInfo
from moco.models.resolve import describe
from moco.store.artifacts import link_tree

_OPERATIONS: dict[str, Callable[[Sequence[Path], Sequence[float], Path], None]] = {"linear": merge_linear}
_WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".pt")


def build_merge(name: str, recipe: Recipe, models: Sequence[ModelInfo], folder: Path, root: Path) -> ModelInfo:
    """Make the checkpoint of a recipe and return its description.

    Tokenizer, chat template and configuration are those of the recipe's first input. A recipe with one input of
    weight 1 is that input: its files are linked, so it keeps its fingerprint and with it all stored replies.

    Args:
        name: Name of the new model.
        recipe: What to make.
        models: Where the recipe's inputs are looked up, by fingerprint.
        folder: New folder of the checkpoint.
        root: Folder that holds `results`.

    Raises:
        MocoError: An input is unknown, or the inputs do not fit together.
    """
    if recipe.operation not in _OPERATIONS:
        raise RequestError(f"unknown merge operation {recipe.operation!r}", remedy=f"known: {', '.join(_OPERATIONS)}")
    inputs = [_find(fingerprint, models, name) for fingerprint in recipe.inputs]
    folder.mkdir(parents=True)
    with TemporaryDirectory(dir=folder.parent) as scratch:
        dense = [_dense_folder(info, root, Path(scratch) / str(place)) for place, info in enumerate(inputs)]
        check_same_tensors(dense, [info.name for info in inputs])
        if len(inputs) == 1 and recipe.weights == (1.0,):
            link_tree(dense[0], folder)
        else:
            _copy_all_but_weights(dense[0], folder)
            _OPERATIONS[recipe.operation](dense, recipe.weights, folder)
    (folder / "README.md").unlink(missing_ok=True)
    (folder / "README.md").write_text(_card(name, recipe, inputs), encoding="utf-8")
    settings = {"engine": dict(inputs[0].engine), "trust_remote_code": inputs[0].trust_remote_code}
    parents = tuple({"name": info.name, "fingerprint": info.fingerprint} for info in inputs)
    return describe(name, "merge", folder, root, settings, parents=parents, recipe=recipe.as_json())


def _find(fingerprint: str, models: Sequence[ModelInfo], name: str) -> ModelInfo:
    for info in models:
        if info.fingerprint == fingerprint:
            return info
    raise WorkError(
        f"no model has the fingerprint {fingerprint[:16]}", where=f"recipe of {name}", remedy="run its fit again"
    )


def _dense_folder(info: ModelInfo, root: Path, scratch: Path) -> Path:
    """Return a folder with full weights; an adapter is merged into its base there."""
    if info.base is None:
        return info.folder(root)
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = info.base_folder(root)
    own = info.folder(root)
    model = AutoModelForCausalLM.from_pretrained(base, dtype="auto", trust_remote_code=info.trust_remote_code)
    dtype: torch.dtype = model.dtype
    merged = PeftModel.from_pretrained(model, own, torch_device="cpu").merge_and_unload().to(dtype)
    merged.save_pretrained(scratch)
    AutoTokenizer.from_pretrained(info.tokenizer_folder(root)).save_pretrained(scratch)
    return scratch


def _copy_all_but_weights(source: Path, target: Path) -> None:
    for path in sorted(source.iterdir()):
        if path.is_file() and not path.name.endswith(_WEIGHTS) and path.name not in ("README.md", "zoo.json"):
            shutil.copy2(path, target / path.name)


def _card(name: str, recipe: Recipe, inputs: Sequence[ModelInfo]) -> str:
    lines = [
        f"# {name}",
        "",
        f"Merged from other models by `{recipe.operation}`.",
        "",
        "| input | weight | fingerprint |",
        "|---|---|---|",
    ]
    lines += [
        f"| {info.name} | {weight:.6f} | {info.fingerprint[:16]} |"
        for info, weight in zip(inputs, recipe.weights, strict=True)
    ]
    return "\n".join(lines) + "\n"
