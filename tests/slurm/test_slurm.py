"""A study through a real SLURM: what is submitted, which GPUs jobs hold, and that results are those of one machine."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from slurm import cluster as slurm_cluster
from slurm.cluster import Cluster, obstacle
from support.projects import BIN, Planned, Project, new_project
from support.stores import stored_keys

from moco.machine import findings

PARTITIONS = {"zoo": "cpu", "generate": "gpu", "fit": "cpu", "answer": "gpu"}
"""Where jobs of each rule that is submitted belong; this fit runs no model."""
# This cluster keeps no accounts, and its jobs take seconds.
COMMAND = (
    str(BIN / "snakemake"),
    "--workflow-profile",
    "profiles/slurm",
    "--slurm-status-command",
    "squeue",
    "--slurm-init-seconds-before-status-checks",
    "5",
    "--latency-wait",
    "10",
)


@dataclass(frozen=True)
class Run:
    """A study that went through SLURM.

    Attributes:
        project: Its folder.
        planned: What Snakemake said.
        survived: Keys of the replies that were stored when a job was cancelled.
        cancelled: Number of that job.
    """

    project: Project
    planned: Planned
    survived: list[str]
    cancelled: int


@dataclass(frozen=True)
class Job:
    """A job as SLURM remembers it."""

    number: int
    rule: str
    wildcards: str
    partition: str
    state: str
    started: datetime
    ended: datetime


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Start a SLURM; without one tests are skipped, or fail where MOCO_REQUIRE_SLURM is set."""
    reason = obstacle()
    if reason and "MOCO_REQUIRE_SLURM" not in os.environ:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="moco-slurm-"))
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def ran(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, zoo_cache: Path) -> Run:
    """Run a study, and cancel a job that asks models as soon as it has stored a reply."""
    project = new_project(tmp_path_factory.mktemp("slurm") / "project", zoo_cache, "config/test/slurm.yaml")
    output = project.folder / "output.txt"
    with output.open("w") as stream:
        process = subprocess.Popen(
            COMMAND, cwd=project.folder, env=project.environment, stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        answering = _wait_for(process, lambda: [job for job in jobs(cluster, "RUNNING") if _is_answer(job)])
        plain = len(stored_keys(project))
        _wait_for(process, lambda: len(stored_keys(project)) > plain)
        cluster.command("scancel", str(answering[0].number))
        _wait_for(process, lambda: answering[0].number in {job.number for job in jobs(cluster, "CANCELLED")})
        survived = stored_keys(project)
        process.wait(timeout=600)
    finally:
        process.kill()
    assert process.returncode == 0, output.read_text()[-6000:]
    return Run(project, Planned(output.read_text()), survived, answering[0].number)


def _wait_for(process: subprocess.Popen, happened: Callable[[], Any]) -> Any:
    while process.poll() is None:
        if found := happened():
            return found
        time.sleep(0.05)
    raise AssertionError(f"snakemake ended with {process.returncode} before")


def _is_answer(job: "Job") -> bool:
    return job.rule == "answer"


def jobs(cluster: Cluster, states: str = "all") -> list[Job]:
    lines = cluster.command("squeue", f"--states={states}", "--noheader", "--format=%i|%k|%P|%T|%S|%e").splitlines()
    found = []
    for line in lines:
        number, comment, partition, state, started, ended = line.split("|")
        rule, _, wildcards = comment.removeprefix("rule_").partition("_wildcards_")
        times = (datetime.fromisoformat(text) for text in (started, ended))
        found.append(Job(int(number), rule, wildcards, partition, state, *times))
    return found


@pytest.mark.slow
def test_jobs_that_run_models_are_submitted(cluster, ran):
    expected = {rule: count for rule, count in ran.planned.counts.items() if rule in PARTITIONS}
    completed = jobs(cluster, "COMPLETED")
    assert expected.keys() == PARTITIONS.keys()
    assert Counter(job.rule for job in completed) == expected
    assert {(job.rule, job.partition) for job in completed} == set(PARTITIONS.items())
    assert {job.number for job in jobs(cluster)} - {job.number for job in completed} == {ran.cancelled}


@pytest.mark.slow
def test_jobs_at_the_same_time_hold_distinct_gpus(cluster, ran):
    asking = [job for job in jobs(cluster) if job.rule == "generate"]
    together = [
        (one, other)
        for one, other in combinations(asking, 2)
        if max(one.started, other.started) < min(one.ended, other.ended)
    ]
    assert together, "no jobs ran at the same time"
    held = {}
    for log in (ran.project.results / "logs/generate").rglob("*.log"):
        model, batch, split = log.relative_to(ran.project.results / "logs/generate").parts[:3]
        [job] = [job for job in asking if job.wildcards.startswith(f"{model}_{batch}_{split}_")]
        held[job] = gpu(log)
    assert set(held.values()) == {"0", "1"}
    assert all(held[one] != held[other] for one, other in together)


def gpu(log: Path) -> str | None:
    """Return the GPU that a job held, as its log says."""
    found = re.search(r"^GPU (\d+)$", log.read_text(), re.MULTILINE)
    return found[1] if found else None


@pytest.mark.slow
def test_a_cancelled_job_is_submitted_again_and_goes_on_from_the_store(ran):
    keys = stored_keys(ran.project)
    assert set(ran.survived) < set(keys)
    assert len(keys) == len(set(keys)), "a stored request was generated again"
    (log,) = (ran.project.results / "logs/answer").rglob("*.log")
    found = [int(count) for count in re.findall(r"(\d+) in the store", log.read_text())]
    assert max(found) > 0


@pytest.mark.slow
def test_results_are_those_of_one_machine(ran, tmp_path, zoo_cache, warm):
    local = new_project(tmp_path / "project", zoo_cache, "config/test/slurm.yaml", warm)
    local.snakemake("--workflow-profile", "profiles/local", "--resources", "gpu=2", MOCO_DEVICES="2")
    assert local.run("moco", "verify", str(ran.project.results), str(local.results)).stdout == "equal\n"
    for rule, partition in PARTITIONS.items():
        held = {gpu(log) for log in (local.results / "logs" / rule).rglob("*.log")}
        assert held, rule
        assert held <= ({"0", "1"} if partition == "gpu" else {None}), rule


@pytest.mark.slow
def test_doctor_knows_the_partitions_of_a_cluster(cluster, tmp_path):
    assert cluster.running()
    (finding,) = [finding for finding in findings(tmp_path) if finding.name == "slurm"]
    assert "partitions cpu (gpu:pretended:2), gpu (gpu:pretended:2);" in finding.found
    assert "slurm-status-command: squeue" in finding.allows


def test_what_is_missing_for_a_cluster_is_named_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm_cluster, "_search_path", lambda: str(tmp_path))
    assert obstacle() == "munged, slurmctld, slurmd, sbatch not found: apt-get install slurm-wlm munge"
