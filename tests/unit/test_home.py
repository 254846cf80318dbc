"""Where the project of a results folder is: its store and its work in progress."""

from pathlib import Path

import pytest

from moco.config.runtime import write_study_file
from moco.home import STUDY, home, store_root, work_root

pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.mark.parametrize("results", ["results", "results/study", "elsewhere"])
def test_the_store_lies_beside_the_folder_of_results(tmp_path, results):
    assert store_root(tmp_path / results) == tmp_path / ".moco/store"
    assert work_root(tmp_path / results) == tmp_path / ".moco/work"


def test_the_project_is_where_the_study_s_file_lies(tmp_path, clean_environment):
    study = write_study_file({"study": "s"}, tmp_path / "project")
    clean_environment.setenv(STUDY, str(study))
    assert home(tmp_path / "far/away/results") == tmp_path / "project"
    assert store_root(tmp_path / "far/results") == tmp_path / "project/.moco/store"


def test_the_environment_moves_the_store_and_nothing_else(tmp_path, clean_environment):
    clean_environment.setenv("MOCO_STORE", "~/store")
    clean_environment.setenv("HOME", str(tmp_path / "me"))
    assert store_root(tmp_path / "results") == tmp_path / "me/store"
    assert work_root(tmp_path / "results") == tmp_path / ".moco/work"


def test_results_on_another_disk_do_not_move_the_store(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "project").mkdir()
    (tmp_path / "project/results").symlink_to(tmp_path / "disk")
    assert home(tmp_path / "project/results/study") == tmp_path / "project"


def test_relative_folders_are_those_of_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert home(Path("results/study")) == tmp_path
    assert home(Path("other/../results")) == tmp_path
