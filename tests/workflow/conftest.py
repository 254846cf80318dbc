"""A finished small study that every test of the workflow starts from."""

import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from support.projects import Project, new_project
from support.warm import Warm

from moco.home import FORK_SERVER


@pytest.fixture(scope="session")
def finished(shared_folder: Path, zoo_cache: Path) -> Project:
    """A finished small study, made by the first process that needs it; tests copy it and leave it alone.

    Its jobs are forks, as by default; copies have warm ones, and must come to the same.
    """
    folder = shared_folder / "finished"
    with FileLock(f"{folder}.lock"):
        if folder.exists():
            return Project(folder, zoo_cache)
        draft = new_project(folder.with_name("unfinished") / "project", zoo_cache)
        draft.snakemake(**{FORK_SERVER: ""})
        draft.folder.rename(folder)
    return Project(folder, zoo_cache)


@pytest.fixture
def blank(finished: Project, warm: Warm, tmp_path: Path) -> Project:
    """The finished study's code and configuration without anything that it made."""
    project = finished.copy(tmp_path / "project", warm)
    for name in ("results", ".moco", ".snakemake"):
        shutil.rmtree(project.folder / name)
    return project


@pytest.fixture
def project(finished: Project, warm: Warm, tmp_path: Path) -> Project:
    """A copy of the finished study, to be changed."""
    return finished.copy(tmp_path / "project", warm)
