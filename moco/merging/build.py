"""From a recipe to a checkpoint that transformers and vLLM load."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from moco.errors import RequestError
from moco.merging.dare_ties import dare_ties
from moco.merging.linear import linear
from moco.merging.lora import OPERATION, combine_adapters
from moco.merging.streaming import Combine, aligned_tensors, merge_streamed
from moco.models.adapters import FLOATS, load_adapted, stored_dtype
from moco.models.info import ModelInfo
from moco.models.recipes import Recipe
from moco.models.resolve import describe_merge, find_source
from moco.models.weights import StoredTensor, output_layer, tensor_headers
from moco.records import read_json
from moco.store.checksums import copy_tree

_OPERATIONS: dict[str, Callable[[Recipe], Combine]] = {"dare_ties": dare_ties, "linear": linear}
_WEIGHTS = (".safetensors", ".index.json", ".bin", ".pt", ".pth")


def build_merge(name: str, recipe: Recipe, models: Sequence[ModelInfo], folder: Path, root: Path) -> ModelInfo:
    """Make the checkpoint of a recipe and return its description.

    Tokenizer, chat template and configuration are those of the recipe's first input. Sums are made in float64 and
    rounded once, to the number type that the tensor has in the files of the base, or of the first input where the
    operation has no base. A recipe with one input of weight 1, of which nothing is dropped or scaled, is that input:
    its files are copied, so it keeps its fingerprint and with it all stored replies, and an adapter stays one.

    Args:
        name: Name of the new model.
        recipe: What to make.
        models: Where the recipe's inputs and base are looked up, by fingerprint.
        folder: New folder of the checkpoint.
        root: Folder that holds `results`.

    Raises:
        MocoError: An input is unknown, or the inputs do not fit together.
    """
    sources = [find_source(fingerprint, models, name) for fingerprint in recipe.sources]
    folder.mkdir(parents=True)
    with TemporaryDirectory(dir=folder.parent) as scratch:
        if recipe.is_its_input and len(sources) == 1:
            copy_tree(sources[0].folder(root), folder)
        elif recipe.operation == OPERATION:
            combine_adapters(recipe, sources, folder, root)
        else:
            combine = _OPERATIONS[recipe.operation](recipe)
            dense = _dense_folders(sources, root, Path(scratch))
            lists = aligned_tensors(dense, [info.name for info in sources])
            if recipe.is_its_input:
                copy_tree(sources[0].folder(root), folder)
            else:
                _copy_all_but_weights(dense[0], folder)
                model = sources[-1 if "base" in recipe.options else 0].base_folder(root)
                dtypes = _dtypes(lists[0], tensor_headers(model), stored_dtype(model))
                merge_streamed(lists, combine, dtypes, folder)
                _correct_configuration(folder, stored_dtype(model), untied=output_layer(lists[0]) is not None)
    (folder / "README.md").unlink(missing_ok=True)
    (folder / "README.md").write_text(_card(name, recipe, sources), encoding="utf-8")
    return describe_merge(name, recipe, models, folder, root)


def _dtypes(
    tensors: Mapping[str, StoredTensor], model: Mapping[str, StoredTensor], common: torch.dtype
) -> dict[str, torch.dtype]:
    """Return the number type in which each tensor is written; that of the whole model for one that it has not."""
    return {name: FLOATS.get(model[name].dtype, common) if name in model else common for name in tensors}


def _correct_configuration(folder: Path, dtype: torch.dtype, *, untied: bool) -> None:
    """Make the configuration say what the weights are, where it says something else."""
    path = folder / "config.json"
    config = dict(read_json(path))
    wanted = dict(config)
    for key in ("dtype", "torch_dtype"):
        if config.get(key) is not None:
            wanted[key] = str(dtype).removeprefix("torch.")
    if untied and config.get("tie_word_embeddings", True):
        wanted["tie_word_embeddings"] = False
    if wanted != config:
        path.unlink()
        path.write_text(json.dumps(wanted, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _dense_folders(infos: Sequence[ModelInfo], root: Path, scratch: Path) -> list[Path]:
    """Return folders with full weights, made once per model."""
    made: dict[str, Path] = {}
    for info in infos:
        if info.fingerprint not in made:
            made[info.fingerprint] = dense_folder(info, root, scratch / str(len(made)))
    return [made[info.fingerprint] for info in infos]


def dense_folder(info: ModelInfo, root: Path, scratch: Path) -> Path:
    """Return a folder with full weights; an adapter is merged into its base there, in float32 at least."""
    if info.base is None:
        return info.folder(root)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def load(folder: Path, dtype: torch.dtype) -> object:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, trust_remote_code=info.trust_remote_code)

    dtype = torch.promote_types(stored_dtype(info.base_folder(root)), torch.float32)
    model = load_adapted(info, root, dtype, load)
    with torch.device("meta"):
        whole = AutoModelForCausalLM.from_config(model.config, trust_remote_code=info.trust_remote_code)
    further = sorted(model.state_dict().keys() - whole.state_dict().keys())
    if further:
        what = f"the adapter adds {further[0]}, for which a model of its base's architecture has no place"
        raise RequestError(what, where=f"models.{info.name}", remedy="leave it out of methods that merge weights")
    model.save_pretrained(scratch)
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
