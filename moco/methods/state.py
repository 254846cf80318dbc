"""The folder of a fitted method: `fit.json`, arrays as safetensors, `models`, and the calls the fit rests on with their cost."""

import shutil
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from moco.errors import FailedInput, WorkError
from moco.methods.base import State
from moco.models.recipes import Recipe, Trained
from moco.records import read_json, write_json

FIT, FAILED, TENSORS = "fit.json", "failed.json", "state.safetensors"
CALLS, COSTS = "calls.parquet", "costs.parquet"
MODELS = "models"
"""Folder of what makes the models of a fit: a recipe, or trained weights with their parent, by name."""


def write_state(folder: Path, state: State, about: Mapping[str, Any]) -> None:
    """Write what a fit learned; `about` says of what (method, parameters, references used).

    Raises:
        WorkError: Its data are no JSON values.
    """
    check_json(state.data, "state.data")
    if state.tensors:
        from safetensors.numpy import save_file

        save_file(dict(state.tensors), folder / TENSORS)
    for name, model in state.models.items():
        if isinstance(model, Recipe):
            write_json(folder / MODELS / f"{name}.json", model.as_json())
        else:
            shutil.copytree(model.folder, folder / MODELS / name)
            write_json(folder / MODELS / f"{name}.json", {"parent": model.parent})
    write_json(folder / FIT, {**about, "data": dict(state.data), "models": sorted(state.models)})


def check_json(value: Any, where: str) -> None:
    """Refuse a value that JSON has no form for; numbers of numpy are none, and neither are NaN and infinity.

    Args:
        value: What a method gave.
        where: Names it, and its place within is added.

    Raises:
        WorkError: A value within it is none.
    """
    if isinstance(value, Mapping):
        for key, each in value.items():
            if not isinstance(key, str):
                raise _no_json(key, f"{where}, a key")
            check_json(each, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for place, each in enumerate(value):
            check_json(each, f"{where}[{place}]")
    elif not (value is None or isinstance(value, (str, int)) or (isinstance(value, float) and isfinite(value))):
        raise _no_json(value, where)


def _no_json(value: Any, where: str) -> WorkError:
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    what = f"{value} of type {name} is no JSON value"
    return WorkError(
        what, where=where, remedy="give texts, Python numbers (float(x), array.tolist()), lists and mappings"
    )


def read_state(folder: Path) -> State:
    """Return what a fit learned.

    Raises:
        WorkError: The folder holds no fit.
    """
    content = read_json(folder / FIT)
    tensors: dict[str, Any] = {}
    if (folder / TENSORS).exists():
        from safetensors.numpy import load_file

        tensors = load_file(folder / TENSORS)
    return State(content["data"], tensors, {name: _model(folder, name) for name in content["models"]})


def model_of(folder: Path, name: str) -> Recipe | Trained:
    """Return a model that a fit made: its recipe, or its trained weights.

    Raises:
        FailedInput: The fit is a recorded failure.
    """
    reason = failure_of(folder)
    if reason is not None:
        raise FailedInput(f"fit: {reason}")
    return _model(folder, name)


def _model(folder: Path, name: str) -> Recipe | Trained:
    content = read_json(folder / MODELS / f"{name}.json")
    return Trained(folder / MODELS / name, content["parent"]) if "parent" in content else Recipe.from_json(content)


def failure_of(folder: Path) -> str | None:
    """Return why a recorded fit, merge or student failed, or None when it did not.

    Raises:
        WorkError: The folder does not exist.
    """
    if not folder.is_dir():
        raise WorkError("folder is missing", where=str(folder), remedy="run the rule that makes it")
    return str(read_json(folder / FAILED)["reason"]) if (folder / FAILED).exists() else None
