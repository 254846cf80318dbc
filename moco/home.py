"""The project folder: where `results/` and `.moco/` lie, and what relative paths in files are relative to."""

import os
from pathlib import Path

STUDY = "MOCO_STUDY"
"""Environment variable with the absolute path of the study's file, `.moco/studies/{digest}.json` of the project."""

FORK_SERVER = "MOCO_FORK_SERVER"
"""Environment variable with the socket of the process that forks jobs; `off`: every job is a process of its own."""

FORK_NAME = "moco-{}"
"""What a fork is called, with the number of the process whose command it runs."""


def home(results: Path) -> Path:
    """Return the project folder of a results folder.

    It is the one whose `.moco` holds the study's file; without one, for tools that are typed by hand, the folder that
    holds `results/`. Symbolic links are kept: results on another disk do not move the store.
    """
    study = os.environ.get(STUDY)
    if study:
        return Path(study).absolute().parents[2]
    folder = Path(os.path.abspath(results)).parent  # noqa: PTH100 - resolves `..`, but no links
    return folder.parent if folder.name == "results" else folder


def store_root(results: Path) -> Path:
    """Return the store's folder: `$MOCO_STORE`, or `.moco/store` of the project."""
    given = os.environ.get("MOCO_STORE")
    return Path(given).expanduser() if given else home(results) / ".moco" / "store"


def work_root(results: Path) -> Path:
    """Return the folder for work in progress."""
    return home(results) / ".moco" / "work"
