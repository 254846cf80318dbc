"""Two processes ask for overlapping requests at once: nothing breaks, and what is stored is not made again."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.shards import brief, reply, shard_files

from moco.store.compact import compact
from moco.store.generations import GENERATED, Partition
from moco.store.survey import damaged_shards

pytestmark = pytest.mark.slow

_JOB = """
import json, sys, time
from pathlib import Path
from moco.jobs.fetch import fetch
from moco.store.generations import GENERATED, Partition
from support.shards import reply

folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
keys = [f"k{number:03d}" for number in range(first, first + count)]
partition = Partition(folder, GENERATED)
made = []

def make(requests):
    for key in requests:
        time.sleep(0.005)
        made.append(key)
        yield reply(key, f"by {first}")

print("ready", flush=True)
sys.stdin.readline()
found, _ = fetch(partition, {key: key for key in keys}, make, who="m", label="x", flush_seconds=0.02)
print(json.dumps({"made": made, "found": sorted(found)}))
"""


def start(folder: Path, first: int, count: int) -> subprocess.Popen:
    job = subprocess.Popen(
        [sys.executable, "-c", _JOB, str(folder), str(first), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert job.stdout.readline() == "ready\n"
    return job


def go(job: subprocess.Popen) -> None:
    job.stdin.write("go\n")
    job.stdin.flush()


def end(job: subprocess.Popen) -> dict:
    said, _ = job.communicate()
    assert job.returncode == 0
    return json.loads(said)


def stored(folder: Path) -> list[str]:
    return [key for path in shard_files(folder) for key in pq.read_table(path, columns=["key"])["key"].to_pylist()]


def test_jobs_that_start_together(tmp_path):
    jobs = [start(tmp_path / "m", first, 80) for first in (0, 40)]
    for job in jobs:
        go(job)
    said = [end(job) for job in jobs]
    overlap = set(said[0]["found"]) & set(said[1]["found"])
    repeated = {key for key, times in Counter(stored(tmp_path)).items() if times > 1}
    assert repeated <= overlap
    assert len(overlap) == 40
    partition = Partition(tmp_path / "m", GENERATED)
    assert not list(damaged_shards(partition, repair=False))
    found = partition.find(f"k{number:03d}" for number in range(120))
    assert len(found) == 120
    assert all(row in (brief(reply(key, "by 0")), brief(reply(key, "by 40"))) for key, row in found.items())
    third = start(tmp_path / "m", 0, 120)
    go(third)
    assert end(third)["made"] == []
    compact(partition)
    assert sorted(stored(tmp_path)) == sorted(found)
    assert Partition(tmp_path / "m", GENERATED).find(found) == found


def test_a_job_that_starts_later_repeats_only_what_is_in_flight(tmp_path):
    early, late = start(tmp_path / "m", 0, 120), start(tmp_path / "m", 60, 90)
    go(early)
    while len(stored(tmp_path)) < 75:
        time.sleep(0.01)
    finished = set(stored(tmp_path))
    go(late)
    made_early, made_late = end(early)["made"], end(late)["made"]
    assert len(made_early) == 120
    assert not finished & set(made_late)
    counts = Counter(stored(tmp_path))
    assert set(counts) == {f"k{number:03d}" for number in range(150)}
    assert {key for key, times in counts.items() if times > 1} <= set(made_early) - finished


def test_a_killed_job_leaves_what_it_flushed_to_the_other(tmp_path):
    killed, other = start(tmp_path / "m", 0, 120), start(tmp_path / "m", 0, 120)
    go(killed)
    while len(stored(tmp_path)) < 30:
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    survived = stored(tmp_path)
    go(other)
    said = end(other)
    assert len(said["found"]) == 120
    assert sorted([*survived, *said["made"]]) == said["found"]
    assert not list(damaged_shards(Partition(tmp_path / "m", GENERATED), repair=False))
