"""A full disk: one line, nothing half-written, and the next run goes on from what is finished."""

import errno
import os
import subprocess
import sys

import pytest
from support.shards import brief, reply, shard_files

from moco.errors import WorkError
from moco.jobs.fetch import fetch
from moco.records import write_json
from moco.store.generations import GENERATED, Partition

KEYS = [f"k{number:03d}" for number in range(60)]


def noise(key: str) -> str:
    """Return text that does not compress, the same for a key."""
    import random

    return random.Random(key).randbytes(8000).hex()


def job(folder, made: list[str]):
    def make(requests):
        for key in requests:
            made.append(key)
            yield reply(key, noise(key))

    partition = Partition(folder, GENERATED)
    return fetch(partition, {key: key for key in KEYS}, make, who="m", label="replies", flush_seconds=1e-9)[0]


def resumed(folder, finished: int) -> None:
    """Check that the next run makes what is missing, and only that."""
    assert not list(folder.rglob("*.tmp"))
    assert not list(folder.rglob("*.damaged"))
    made: list[str] = []
    found = job(folder, made)
    assert found == {key: brief(reply(key, noise(key))) for key in KEYS}
    assert made == KEYS[finished:]


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_small_file_system_that_fills(small_disk):
    made: list[str] = []
    with pytest.raises(WorkError, match=r"no room to write it .*No space left.*run again") as stop:
        job(small_disk / "m", made)
    assert "\n" not in str(stop.value)
    finished = len(shard_files(small_disk))
    assert 5 < finished < len(made) < len(KEYS)
    subprocess.run(["mount", "-o", "remount,size=9m", str(small_disk)], check=True)
    resumed(small_disk / "m", finished)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_for_a_while(tmp_path, monkeypatch, number):
    write, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 7:
            raise OSError(number, os.strerror(number))
        write(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkError, match="no room to write it"):
        job(tmp_path / "m", [])
    monkeypatch.undo()
    assert len(shard_files(tmp_path)) == 7
    resumed(tmp_path / "m", 7)


_LIMITED = """
import resource, sys
from pathlib import Path

from moco.errors import WorkError
from moco.store.generations import GENERATED, Partition
from support.shards import brief, reply

partition = Partition(Path(sys.argv[1]), GENERATED)
partition.write([reply("small")])
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
try:
    partition.write([reply("large", bytes(range(256)).hex() + str(list(range(20_000))))])
except WorkError as error:
    print(error)
"""


def test_a_limit_on_the_size_of_files(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(tmp_path)], capture_output=True, text=True, env=environment, check=True
    )
    assert "no room to write it (File too large)" in done.stdout
    assert len(list(tmp_path.iterdir())) == 1
    assert set(Partition(tmp_path, GENERATED).find(["small", "large"])) == {"small"}


def test_record_files_say_so_too(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkError, match=r"x\.json: no room to write it \(No space left on device\)"):
        write_json(tmp_path / "x.json", {})
    assert not list(tmp_path.iterdir())
