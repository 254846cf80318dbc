"""A study whose jobs are forks is the one whose jobs are processes of their own."""

import csv
import re
import shutil

import psutil
import pytest
from support.projects import Project

from moco.home import FORK_SERVER

pytestmark = pytest.mark.slow

HEAVY = 200
"""Megabytes: more than a job has that imports no torch, and less than the process has that all forks come from."""


@pytest.fixture(scope="module")
def forked(finished, tmp_path_factory) -> Project:
    project = finished.copy(tmp_path_factory.mktemp("forked") / "project")
    for name in ("results", ".moco", ".snakemake"):
        shutil.rmtree(project.folder / name)
    project.edit("moco/cli/forks.py", "code = self._run(", 'print("a fork", file=sys.stderr); code = self._run(')
    project.snakemake(**{FORK_SERVER: "", "TMPDIR": str(project.folder)})
    return project


def test_all_files_are_the_same(finished, forked):
    assert forked.run("moco", "verify", str(finished.results), str(forked.results)).returncode == 0


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
