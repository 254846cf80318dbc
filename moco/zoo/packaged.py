"""The trained models that the package brings, so that every machine has the same ones."""

import platform
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from moco.digest import digest, file_digest
from moco.records.files import read_json
from moco.zoo.roster import CURRICULUM_VERSION, DTYPE, recipe

WEIGHTS = Path(__file__).with_name("weights")
"""A folder for each model, as it is built, and where they are from (README.md)."""

_MOST = 32_000_000


def packaged(name: str, steps: int | None = None, seed: int = 0) -> Path | None:
    """Return the package's folder of a model, or None where its recipe is another one; arguments as in `build`."""
    folder, wanted = WEIGHTS / name, digest(recipe(name, steps, seed))
    found = (folder / "zoo.json").is_file() and read_json(folder / "zoo.json")["digest"] == wanted
    return folder if found else None


def provenance(folders: Mapping[str, Path], shape: str) -> str:
    """Return what was trained, from what and where, and the shape that was measured, as Markdown."""
    import torch

    rows = []
    for name, folder in folders.items():
        made = read_json(folder / "zoo.json")
        (weights,) = folder.glob("*.safetensors")
        cells = (f"`{name}`", made["recipe"]["settings"]["steps"], made["digest"][:16], file_digest(weights))
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "tokenizers"))
    return "\n".join(
        [
            "# Trained models of the zoo",
            "",
            f"Curriculum version {CURRICULUM_VERSION}, seed 0, weights rounded to {DTYPE}. Trained on"
            f" {platform.machine()} with {torch.backends.cpu.get_cpu_capability()}, Python"
            f" {platform.python_version()}, {versions}.",
            "Written by `make zoo-weights`; other processors train other weights from the same recipes.",
            "",
            "| Model | Steps | Recipe | SHA-256 of its weights |",
            "| --- | ---: | --- | --- |",
            *rows,
            "",
            "## Shape",
            "",
            shape,
            "",
        ]
    )


def write(folders: Mapping[str, Path], shape: str, target: Path = WEIGHTS) -> None:
    """Replace the models that the package brings.

    Args:
        folders: Built checkpoints of the whole roster, by name.
        shape: Table of what they can do.
        target: Where they go.

    Raises:
        ValueError: They are larger than the package may be.
    """
    size = sum(path.stat().st_size for folder in folders.values() for path in folder.iterdir())
    if size > _MOST:
        raise ValueError(f"the zoo has {size:,} bytes, more than {_MOST:,}")
    shutil.rmtree(target, ignore_errors=True)
    for name, folder in folders.items():
        shutil.copytree(folder, target / name)
        for path in (target / name).iterdir():
            path.chmod(0o644)
    (target / "README.md").write_text(provenance(folders, shape), encoding="utf-8")
