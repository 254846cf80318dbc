"""From a recipe to a checkpoint that transformers and vLLM load."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from moco.errors import RequestError
from moco.merging.dare_ties import dare_ties
from moco.merging.linear import linear
from moco.merging.streaming import Combine, check_same_tensors, merge_streamed
from moco.methods.base import Recipe
from moco.models.info import ModelInfo
from moco.models.resolve import describe_merge, find_source
from moco.store.checksums import copy_tree

_OPERATIONS: dict[str, Callable[[Recipe], Combine]] = {"dare_ties": dare_ties, "linear": linear}
_WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".pt")


def build_merge(name: str, recipe: Recipe, models: Sequence[ModelInfo], folder: Path, root: Path) -> ModelInfo:
    """Make the checkpoint of a recipe and return its description.

    Tokenizer, chat template and configuration are those of the recipe's first input. A recipe with one input of
    weight 1, of which nothing is dropped or scaled, is that input: its files are copied, so it keeps its fingerprint
    and with it all stored replies.

    Args:
        name: Name of the new model.
        recipe: What to make.
        models: Where the recipe's inputs and base are looked up, by fingerprint.
        folder: New folder of the checkpoint.
        root: Folder that holds `results`.

    Raises:
        MocoError: An input is unknown, or the inputs do not fit together.
    """
    if recipe.operation not in _OPERATIONS:
        raise RequestError(f"unknown merge operation {recipe.operation!r}", remedy=f"known: {', '.join(_OPERATIONS)}")
    combine = _OPERATIONS[recipe.operation](recipe)
    sources = [find_source(fingerprint, models, name) for fingerprint in recipe.sources]
    folder.mkdir(parents=True)
    with TemporaryDirectory(dir=folder.parent) as scratch:
        dense = _dense_folders(sources, root, Path(scratch))
        check_same_tensors(dense, [info.name for info in sources])
        if _is_its_input(recipe):
            copy_tree(dense[0], folder)
        else:
            _copy_all_but_weights(dense[0], folder)
            merge_streamed(dense, combine, folder)
    (folder / "README.md").unlink(missing_ok=True)
    (folder / "README.md").write_text(_card(name, recipe, sources), encoding="utf-8")
    return describe_merge(name, recipe, models, folder, root)


def _is_its_input(recipe: Recipe) -> bool:
    unchanged = recipe.options.get("density", 1.0) == 1.0 == recipe.options.get("lambda", 1.0)
    return len(recipe.inputs) == 1 and recipe.weights == (1.0,) and unchanged


def _dense_folders(infos: Sequence[ModelInfo], root: Path, scratch: Path) -> list[Path]:
    """Return folders with full weights, made once per model."""
    made: dict[str, Path] = {}
    for info in infos:
        if info.fingerprint not in made:
            made[info.fingerprint] = _dense_folder(info, root, scratch / str(len(made)))
    return [made[info.fingerprint] for info in infos]


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


def _card(name: str, recipe: Recipe, sources: Sequence[ModelInfo]) -> str:
    lines = [
        f"# {name}",
        "",
        f"Merged from other models by `{recipe.operation}`.",
        "",
        "| input | weight | fingerprint |",
        "|---|---|---|",
    ]
    inputs = sources[: len(recipe.inputs)]
    lines += [
        f"| {info.name} | {weight:.6f} | {info.fingerprint[:16]} |"
        for info, weight in zip(inputs, recipe.weights, strict=True)
    ]
    lines += [f"| {info.name} | base | {info.fingerprint[:16]} |" for info in sources[len(inputs) :]]
    settings = {key: value for key, value in recipe.options.items() if key != "base"}
    if settings:
        lines += ["", "Settings: " + ", ".join(f"{key} {value}" for key, value in sorted(settings.items())) + "."]
    return "\n".join(lines) + "\n"
