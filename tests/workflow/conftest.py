"""A finished small study that every test of the workflow starts from."""

import shutil
from pathlib import Path

import pytest

from support.projects import Project, new_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, zoo_cache: Path) -> Project:
    """A finished small study; tests copy it and leave it alone."""
    project = new_project(tmp_path_factory.mktemp("finished") / "project", zoo_cache)
    project.snakemake("--printshellcmds")
    return project


@pytest.fixture
def blank(finished: Project, tmp_path: Path) -> Project:
    """The finished study's code and configuration without anything that it made."""
    project = finished.copy(tmp_path / "project")
    for name in ("results", ".moco", ".snakemake"):
        shutil.rmtree(project.folder / name)
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished study, to be changed."""
    return finished.copy(tmp_path / "project")
