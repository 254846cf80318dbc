"""Killed at random in every stage, again and again, and run again each time: the result of an undisturbed run."""

import csv
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

import pytest
from filelock import FileLock
from support.killing import Command, kill
from support.projects import Project, new_project
from support.stores import stored_keys

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc"),
]

CONFIG = "config/test/chaos.yaml"
STAGES = ("zoo", "tune", "generate", "fit specialists", "fit search")
AFTER = ("merge", "answer", "score", "collect", "tabulate", "plot", "report")
LEAST = 2
KILLS = int(os.environ.get("MOCO_TEST_KILLS", "12"))
"""How often it is killed; by hand, MOCO_TEST_KILLS=50 takes four times as long."""


class Chaos:
    """A study that is killed and run again.

    Args:
        project: The study.
        seconds: CPU time of an undisturbed job of a stage.
        kills: How often it is killed, at least `LEAST` times in every stage.
        seed: Of everything random.
    """

    def __init__(self, project: Project, seconds: dict[str, float], kills: int, seed: int) -> None:
        self._project, self._seconds = project, seconds
        self._random = random.Random(f"chaos {seed}")
        further = self._random.choices(STAGES, k=kills - LEAST * len(STAGES))
        self._shares = {stage: LEAST + further.count(stage) for stage in STAGES}
        self._kills = kills
        self.log = project.folder / "chaos.log"
        self.hits: Counter[str] = Counter()
        self.ways: Counter[str] = Counter()

    def run(self) -> None:
        """Kill the study as often as planned, and on until every stage was hit enough.

        A stage that is over leaves its kills to what comes after it, one that just ended to what runs.
        """
        while self.hits.total() < self._kills or not all(map(self._hit_enough, STAGES)):
            assert self.hits.total() < 2 * self._kills, f"killed in {dict(self.hits)}"
            command = Command(self._project, "snakemake", "--cores", "2", log=self.log)
            awaited = self._awaited()
            job = command.wait_for_job(awaited)
            assert job is not None, f"it ended after {dict(self.hits)}: {self.log.read_text()[-3000:]}"
            job.wait_until_it_used(self._delay(job.work))
            self.hits[self._kill(command, awaited)] += 1

    def _awaited(self) -> tuple[str, ...]:
        """Return what to wait for: stages that have not had their share, those first that were not hit enough.

        What has had its share runs undisturbed until all were hit enough, since it may stand before one that was not.
        """
        awaited = sorted((stage for stage in STAGES if self.hits[stage] < self._shares[stage]), key=self._hit_enough)
        return (*awaited, *((*STAGES, *AFTER) if all(map(self._hit_enough, STAGES)) else ()))

    def _hit_enough(self, stage: str) -> bool:
        return self.hits[stage] >= LEAST

    def _delay(self, work: str) -> float:
        """Return after which CPU time to kill: rather early, and before a stage could end that was not hit enough.

        Most of a job's first part is spent on imports, so killed there again and again it gets on by little.
        """
        most = self._seconds.get(work, 2.0)
        return most * self._random.random() ** 2 * (1.0 if self._hit_enough(work) else 0.5)

    def _kill(self, command: Command, awaited: Sequence[str]) -> str:
        """Kill one job or everything, and return the work that was hit, of several the one that is awaited most."""
        jobs = sorted(command.jobs(), key=lambda job: [*awaited, job.work].index(job.work))
        if jobs and self._random.random() < 0.25:
            kill(jobs[0].pid)
            command.wait()
            self.ways["one process"] += 1
        else:
            command.kill()
            assert command.processes() == []
            self._unlock()
            self.ways["all processes"] += 1
        return jobs[0].work if jobs else "between jobs"

    def _unlock(self) -> None:
        """Unlock the folder: first as README.md says, then by taking away what that has taken away."""
        if not self.ways["all processes"]:
            self._project.snakemake("--unlock")
        else:
            for path in (self._project.folder / ".snakemake/locks").iterdir():
                path.unlink()


def cpu_seconds(project: Project) -> dict[str, float]:
    """Return the mean CPU time of the jobs of each stage."""
    found: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for path in (project.results / "benchmarks").rglob("*.tsv"):
        stage = path.relative_to(project.results / "benchmarks").parts[0]
        stage = f"fit {path.name.partition('.')[0]}" if stage == "fit" else stage
        if stage in found:
            found[stage] += [
                float(row["cpu_time"]) for row in csv.DictReader(path.read_text().splitlines(), delimiter="\t")
            ]
    return {stage: fmean(seconds) for stage, seconds in found.items()}


def locked(folder: Path) -> Iterator[Path]:
    """Yield the lock files below a folder that somebody holds."""
    for path in folder.rglob("*.lock"):
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except TimeoutError:
            yield path
        else:
            lock.release()


def outputs(project: Project) -> set[Path]:
    """Return the names of all files of the results folder but unfinished ones, which nothing reads."""
    files = (path for path in project.results.rglob("*") if path.is_file())
    return {path.relative_to(project.results) for path in files if not path.name.endswith(".tmp")}


def check_equal(chaotic: Project, undisturbed: Project) -> None:
    """Check that a study ended as if nothing had happened."""
    assert (
        chaotic.run("moco", "verify", str(undisturbed.results), str(chaotic.results), check=False).stdout == "equal\n"
    )
    assert outputs(chaotic) == outputs(undisturbed)
    keys = stored_keys(chaotic)
    assert len(keys) == len(set(keys)), "a stored request was made again"
    assert set(keys) == set(stored_keys(undisturbed))
    store = chaotic.folder / ".moco/store"
    assert not list(store.rglob("*.damaged"))
    chaotic.run("moco", "store", "verify")
    assert list(locked(chaotic.folder.parent)) == []
    assert not list((chaotic.folder / ".snakemake/locks").glob("*"))
    assert not list((chaotic.cache / "zoo/.work").glob("*"))
    assert "Nothing to be done" in chaotic.planned().output


def test_a_study_that_is_killed_again_and_again_ends_as_an_undisturbed_one(tmp_path):
    # What is killed and when; a failure shows it.
    seed = int(os.environ.get("MOCO_TEST_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"MOCO_TEST_CHAOS_SEED={seed}")
    undisturbed = new_project(tmp_path / "undisturbed/project", tmp_path / "undisturbed/cache", CONFIG)
    undisturbed.snakemake()
    project = new_project(tmp_path / "chaos/project", tmp_path / "chaos/cache", CONFIG)
    chaos = Chaos(project, cpu_seconds(undisturbed), KILLS, seed)
    chaos.run()
    project.snakemake()
    report = f"killed {dict(chaos.ways)}, in {dict(chaos.hits)}"
    print(report)
    assert all(chaos.hits[stage] >= LEAST for stage in STAGES), report
    assert chaos.hits.total() >= KILLS
    check_equal(project, undisturbed)
