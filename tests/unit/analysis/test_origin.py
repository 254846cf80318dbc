"""Where a page was made."""

import shutil
import subprocess
from pathlib import Path

import pytest

import moco
from moco.analysis.origin import commit


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a package and without changes."""
    for name in ("moco", "workflow", "config"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("x = 1\n")
    who = ["-c", "user.name=n", "-c", "user.email=e@x"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "m"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    monkeypatch.setattr(moco, "__file__", str(tmp_path / "moco/__init__.py"))
    return tmp_path


def test_a_checkout_has_a_commit_and_says_whether_its_code_was_changed(checkout: Path):
    head = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    assert commit() == head[:12]
    (checkout / "notes.txt").write_text("notes")
    assert commit() == head[:12]
    (checkout / "workflow/__init__.py").write_text("x = 2\n")
    assert commit() == f"{head[:12]} with changes"


def test_a_package_that_is_installed_below_a_repository_is_no_part_of_it(checkout: Path, monkeypatch):
    shutil.copytree(checkout / "moco", checkout / "venv/moco")
    monkeypatch.setattr(moco, "__file__", str(checkout / "venv/moco/__init__.py"))
    assert commit() == f"no checkout, moco {moco.__version__}"
