"""Many shards become few: every reply stays what it was, for jobs that read and write meanwhile too."""

import os
import subprocess
import sys

import pytest
from filelock import FileLock
from support.shards import DAMAGES, reply, shard_files

from moco.store import compact as compaction
from moco.store.compact import compact
from moco.store.generations import GENERATED, MEASURED, Measured, Partition, Stored


def keys(first: int, count: int) -> list[str]:
    return [f"k{number:04d}" for number in range(first, first + count)]


def written(folder, *spans: tuple[int, int]) -> Partition:
    """Return a partition whose shards were written by jobs that knew nothing of each other."""
    for shard, (first, count) in enumerate(spans):
        other = Partition(folder.with_name(f"job{shard}"), GENERATED)
        other.write(reply(key, f"{key} of {shard}") for key in keys(first, count))
        (path,) = shard_files(other.folder)
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
    return Partition(folder, GENERATED)


def everything(folder, count: int = 100) -> dict:
    return Partition(folder, GENERATED).find(keys(0, count), Stored)


def test_small_shards_become_one_and_the_older_reply_still_counts(tmp_path):
    partition = written(tmp_path / "m", (0, 10), (5, 10), (0, 10), (20, 10))
    before = everything(partition.folder)
    assert before["k0007"].text == "k0007 of 0"
    done = compact(partition)
    assert done.shards == (4, 1)
    assert done.bytes[1] < done.bytes[0]
    (path,) = shard_files(partition.folder)
    assert everything(partition.folder) == before
    assert partition.find(keys(0, 100), Stored) == before
    assert len(before) == 25
    assert compact(Partition(partition.folder, GENERATED)).shards == (1, 1)
    assert shard_files(partition.folder) == [path]


def test_large_shards_stay_and_groups_are_bounded(tmp_path, monkeypatch):
    partition = written(tmp_path / "m", (0, 300), (300, 5), (305, 5), (310, 5), (2, 2), (315, 5))
    paths = shard_files(partition.folder)
    before = everything(partition.folder, 400)
    monkeypatch.setattr("moco.store.compact.SMALL_BYTES", paths[0].stat().st_size)
    monkeypatch.setattr("moco.store.compact.FULL_BYTES", sum(path.stat().st_size for path in paths[1:4]))
    compact(partition)
    after = shard_files(partition.folder)
    assert after[0] == paths[0]
    assert len(after) == 3
    assert everything(partition.folder, 400) == before


def test_a_shard_that_is_all_repeats_leaves(tmp_path):
    partition = written(tmp_path / "m", (0, 10), (0, 10))
    assert compact(partition).shards == (2, 1)
    assert everything(partition.folder)["k0003"].text == "k0003 of 0"


def test_a_damaged_shard_takes_no_healthy_reply_with_it(tmp_path):
    partition = written(tmp_path / "m", (0, 10), (5, 10), (30, 2))
    oldest = shard_files(partition.folder)[0]
    oldest.write_bytes(DAMAGES["one bit in the middle of the data"](oldest.read_bytes()))
    compact(partition)
    found = everything(partition.folder)
    assert set(found) == {*keys(5, 10), *keys(30, 2)}
    assert found["k0005"].text == "k0005 of 1"
    assert len(list(partition.folder.glob("*.damaged"))) == 1


def test_killed_between_writing_and_removing_loses_nothing(tmp_path, monkeypatch):
    partition = written(tmp_path / "m", (0, 10), (5, 10), (20, 5))
    before = everything(partition.folder)

    def killed(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        compact(partition)
    monkeypatch.undo()
    assert everything(partition.folder) == before
    compact(Partition(partition.folder, GENERATED))
    assert len(shard_files(partition.folder)) == 1
    assert everything(partition.folder) == before


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    partition = written(tmp_path / "m", (0, 10), (20, 5))
    before, paths = everything(partition.folder), shard_files(partition.folder)

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compaction, "write_shard", full)
    with pytest.raises(OSError, match="No space"):
        compact(partition)
    assert shard_files(partition.folder) == paths
    assert everything(partition.folder) == before


def test_an_open_reader_finds_what_moved(tmp_path):
    partition = written(tmp_path / "m", (0, 10), (10, 10))
    reader = Partition(partition.folder, GENERATED)
    reader.refresh()
    before = everything(partition.folder)
    compact(partition)
    assert reader.find(keys(0, 30), Stored) == before
    reader.write([reply("k0001", "again"), reply("new")])
    assert everything(partition.folder)["k0001"].text == "k0001 of 0"


def test_two_compactions_do_not_meet(tmp_path):
    partition = written(tmp_path / "m", (0, 10), (10, 10))
    with FileLock(partition.folder / ".compact.lock"):
        assert compact(partition) is None
    assert len(shard_files(partition.folder)) == 2


def test_rewards_are_compacted_too(tmp_path):
    for number in range(3):
        Partition(tmp_path / "m", MEASURED).write([Measured(f"k{number}", [float(number)], 3, 0.1)])
    compact(Partition(tmp_path / "m", MEASURED))
    assert len(shard_files(tmp_path / "m")) == 1
    assert Partition(tmp_path / "m", MEASURED).find(["k2"]) == {"k2": Measured("k2", [2.0], 3, 0.1)}


_WRITER = """
import sys
from pathlib import Path
from support.shards import reply
from moco.store.generations import GENERATED, Partition

partition = Partition(Path(sys.argv[1]), GENERATED)
for number in range(150):
    key = f"{sys.argv[2]}{number}"
    partition.write([reply(key)])
    assert partition.find([key, f"{sys.argv[2]}0"]).keys() == {key, f"{sys.argv[2]}0"}, key
"""


@pytest.mark.slow
def test_compaction_beside_processes_that_read_and_write(tmp_path):
    folder = tmp_path / "m"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    workers = [subprocess.Popen([sys.executable, "-c", _WRITER, str(folder), name], env=environment) for name in "ab"]
    rounds = 0
    while any(worker.poll() is None for worker in workers):
        if folder.exists() and compact(Partition(folder, GENERATED)).shards[0] > 1:
            rounds += 1
    assert [worker.returncode for worker in workers] == [0, 0]
    assert rounds > 3
    expected = {f"{name}{number}": reply(f"{name}{number}") for name in "ab" for number in range(150)}
    compact(Partition(folder, GENERATED))
    assert Partition(folder, GENERATED).find(expected, Stored) == expected
    assert len(shard_files(folder)) == 1
    assert not list(folder.glob("*.damaged"))
