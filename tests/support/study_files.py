"""The file of a study, from which jobs take what is no part of their slices."""

from pathlib import Path
from typing import Any

import pytest

from moco.config.runtime import write_study_file
from moco.home import STUDY


def use_study(monkeypatch: pytest.MonkeyPatch, folder: Path, **content: Any) -> None:
    """Name a study in the environment.

    Args:
        monkeypatch: Of the test.
        folder: The project folder.
        content: Of the configuration; what is missing is made up.
    """
    models = content.pop("models", {"m": {"kind": "zoo", "recipe": "add"}})
    whole = {
        "study": "s",
        "models": models,
        "pools": {"p": list(models)},
        "tasks": {"t": {"source": {"kind": "synthetic", "skills": ["add"]}}},
        "methods": {"control_random": {}},
        **content,
    }
    monkeypatch.setenv(STUDY, str(write_study_file(whole, folder)))
