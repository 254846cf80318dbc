"""A study whose jobs are forks is the one whose jobs are processes of their own."""

import csv
import re

import psutil
import pytest
from support.projects import Project, new_project

from moco.home import FORK_SERVER

pytestmark = pytest.mark.slow

HEAVY = 200
"""Megabytes: more than a job has that imports no torch, and less than the process has that all forks come from."""


@pytest.fixture(scope="module")
def unmade(zoo_cache, tmp_path_factory) -> Project:
    """A study with a method of every level, of which nothing is made."""
    project = new_project(tmp_path_factory.mktemp("unmade") / "project", zoo_cache)

    def change(config):
        del config["tasks"]["quiz"], config["methods"]["fuse-options"]
        del config["methods"]["control_random"], config["methods"]["refine-2"]

    project.edit_config(change)
    return project


@pytest.fixture(scope="module")
def forked(unmade, tmp_path_factory) -> Project:
    project = unmade.copy(tmp_path_factory.mktemp("forked") / "project")
    project.edit("moco/cli/forks.py", "code = self._run(", 'print("a fork", file=sys.stderr); code = self._run(')
    project.snakemake(**{FORK_SERVER: "", "TMPDIR": str(project.folder)})
    return project


def test_all_files_are_the_same(unmade, forked, tmp_path):
    processes = unmade.copy(tmp_path / "project")
    processes.snakemake(**{FORK_SERVER: "off"})
    assert "a fork" not in "".join(path.read_text() for path in (processes.results / "logs").rglob("*.log"))
    assert forked.run("moco", "verify", str(processes.results), str(forked.results)).stdout == "equal\n"


def test_its_jobs_were_forks(forked):
    """All but the first light ones, which did not wait."""
    logs = {path: path.read_text() for path in (forked.results / "logs").rglob("*.log")}
    without = {
        path.relative_to(forked.results / "logs").parts[0] for path, text in logs.items() if "a fork" not in text
    }
    assert without <= {"prepare", "zoo", "resolve", "tabulate"}
    assert all(re.match(r"(a fork\n)?MOCO_STUDY=\S+ moco \w+ ", text) for text in logs.values())


def test_benchmarks_measure_the_forks(forked):
    rows = [
        next(csv.DictReader(path.read_text().splitlines(), delimiter="\t"))
        for path in (forked.results / "benchmarks").rglob("*.tsv")
    ]
    # A job that ended before Snakemake looked a second time was seen as its command alone, which is light.
    assert max(float(row["max_rss"]) for row in rows if row["max_rss"] != "NA") > HEAVY


def test_nothing_is_left(forked):
    assert not list(forked.folder.glob("moco-*"))
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if "moco.cli.forks" in command and str(forked.folder) in command]
