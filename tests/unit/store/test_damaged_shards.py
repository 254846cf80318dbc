"""Real damage to real shards: set aside with one line, and only what it held is made again."""

import dataclasses
import errno
import logging
import struct
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.shards import BEYOND_REPLIES, DAMAGES, brief, reply, shard_files

from moco.errors import WorkError
from moco.jobs.fetch import fetch
from moco.store import shard
from moco.store.generations import GENERATED, MEASURED, Measured, Partition, Stored, StoredReply
from moco.store.shard import write_shard
from moco.store.survey import damaged_shards

MINE = [f"mine{number:04d}" for number in range(1500)]
OTHERS = [f"other{number:04d}" for number in range(40)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A partition with two shards, the older one of several row groups."""
    monkeypatch.setattr(shard, "_GROUP_BYTES", 100_000)
    partition = Partition(tmp_path / "m", GENERATED)
    partition.write(reply(key, f"text of {key}") for key in MINE)
    partition.write(reply(key) for key in OTHERS)
    return partition.folder


def ask(folder, keys):
    """Return what a job gets, and which of its requests the model answered anew."""
    made = []

    def make(requests):
        for key in requests:
            made.append(key)
            yield reply(key, f"again {key}")

    rows, fresh = fetch(
        Partition(folder, GENERATED), {k: k for k in keys}, make, who="m", label="replies", flush_seconds=9
    )
    assert fresh == set(made)
    return rows, made


@pytest.mark.parametrize("damage", sorted(DAMAGES.keys() - BEYOND_REPLIES))
def test_a_damaged_shard_is_set_aside_and_its_requests_are_made_again(folder, damage, caplog):
    path = shard_files(folder)[0]
    before = DAMAGES[damage](path.read_bytes())
    assert before != path.read_bytes()
    path.write_bytes(before)
    caplog.set_level(logging.WARNING)
    rows, made = ask(folder, MINE[:5] + OTHERS)
    assert sorted(made) == MINE[:5]
    assert rows[MINE[0]].text == f"again {MINE[0]}"
    assert rows[OTHERS[0]] == brief(reply(OTHERS[0]))
    assert not path.exists()
    assert path.with_name(f"{path.name}.damaged").read_bytes() == before
    (line,) = [record.getMessage() for record in caplog.records]
    assert str(path) in line
    assert "set aside, its requests will be generated again" in line
    assert "\n" not in line
    caplog.clear()
    rows, made = ask(folder, MINE[:5] + OTHERS)
    assert made == []
    assert rows[MINE[0]].text == f"again {MINE[0]}"
    assert caplog.records == []


@pytest.mark.parametrize("damage", sorted(BEYOND_REPLIES))
def test_damage_to_what_is_not_read_harms_no_reply_and_verify_finds_it(folder, damage):
    path = shard_files(folder)[0]
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    rows, made = ask(folder, MINE)
    assert made == []
    assert rows == {key: brief(reply(key, f"text of {key}")) for key in MINE}
    found = list(damaged_shards(Partition(folder, GENERATED), repair=False))
    assert [damage.path for damage in found] == [path]


def test_damaged_alternatives_are_found_by_who_reads_them(folder, caplog):
    path = shard_files(folder)[0]
    path.write_bytes(DAMAGES["one bit in the middle of the data"](path.read_bytes()))
    partition = Partition(folder, GENERATED)
    assert partition.find(MINE + OTHERS).keys() == {*MINE, *OTHERS}
    assert partition.find(MINE + OTHERS, Stored) == {key: reply(key) for key in OTHERS}
    assert "set aside, its requests will be generated again" in caplog.text
    assert sorted(ask(folder, MINE + OTHERS)[1]) == MINE


def test_a_shard_of_another_name_is_set_aside(folder):
    path = shard_files(folder)[0]
    time, _, digest = path.stem.split("-")
    path = path.rename(path.with_name(f"{time}-{digest}.parquet"))
    assert sorted(ask(folder, MINE[:5] + OTHERS)[1]) == MINE[:5]
    assert path.with_name(f"{path.name}.damaged").exists()


@pytest.mark.parametrize("view", [StoredReply, Stored])
def test_no_single_bit_can_change_a_reply(tmp_path, view):
    partition = Partition(tmp_path / "m", GENERATED)
    partition.write([reply("a", "text"), reply("b")])
    path = shard_files(partition.folder)[0]
    whole = path.read_bytes()
    right = Partition(partition.folder, GENERATED).find(["a", "b"], view)
    assert right == {
        key: row if view is Stored else brief(row) for key, row in (("a", reply("a", "text")), ("b", reply("b")))
    }
    unharmed = 0
    for place in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        found = Partition(partition.folder, GENERATED).find(["a", "b"], view)
        assert found in ({}, right), f"byte {place}"
        unharmed += bool(found)
    assert unharmed < len(whole) / 7 / 4  # what is not read, and what nothing follows from


def test_a_page_that_reads_well_but_changed_is_damaged(tmp_path):
    """The columns that hardly compress lie in the file as they are, so that only a checksum can tell."""
    partition = Partition(tmp_path / "m", GENERATED)
    partition.write([dataclasses.replace(reply("a"), logprobs=[-0.123456, -0.654321, -2.5, -3.25])])
    path = shard_files(partition.folder)[0]
    whole = path.read_bytes()
    number = struct.pack("<d", -0.654321)
    assert whole.count(number) == 1
    path.write_bytes(whole.replace(number, struct.pack("<d", -0.654322)))
    assert pq.read_table(path)["logprobs"].to_pylist() == [[-0.123456, -0.654322, -2.5, -3.25]]
    assert Partition(partition.folder, GENERATED).find(["a"]) == {}


@pytest.mark.parametrize("wrong", ["another kind", "a column less", "a column of another type"])
def test_a_whole_shard_of_another_layout_is_set_aside(folder, wrong, caplog):
    if wrong == "another kind":
        Partition(folder, MEASURED).write([Measured("x", [1.0], 3, 0.1)])
    else:
        rows = pa.table({"key": ["x"], "text": ["y"]} if wrong == "a column less" else {"key": [1]})
        write_shard(folder, time.time_ns(), rows)
    rows, made = ask(folder, ["x", *MINE[:2]])
    assert made == ["x"]
    assert "has other columns" in caplog.text
    assert len(list(folder.glob("*.damaged"))) == 1


def test_a_reply_that_a_healthy_shard_holds_too_is_not_made_again(folder):
    other = Partition(folder.parent / "elsewhere", GENERATED)
    other.write([reply(MINE[3], "second")])
    copied = shard_files(other.folder)[0]
    copied.rename(folder / copied.name)
    oldest = shard_files(folder)[0]
    assert ask(folder, [MINE[3]])[0][MINE[3]].text == f"text of {MINE[3]}"
    oldest.write_bytes(DAMAGES["one bit in the footer"](oldest.read_bytes()))
    rows, made = ask(folder, [MINE[3]])
    assert made == []
    assert rows[MINE[3]].text == "second"


def test_a_machine_that_cannot_read_sets_nothing_aside(folder, monkeypatch):
    def refuse(*_arguments, **_options):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("pyarrow.parquet.ParquetFile.__init__", refuse)
    with pytest.raises(WorkError, match=r"cannot be read .*Too many open files"):
        Partition(folder, GENERATED).find(MINE[:1])
    monkeypatch.undo()
    assert ask(folder, MINE + OTHERS)[1] == []


def test_rows_of_every_row_group_come_back_in_place(folder):
    keys = [MINE[place] for place in (1499, 3, 1000, 999, 1001)]
    partition = Partition(folder, GENERATED)
    for _ in range(2):
        assert partition.find(keys, Stored) == {key: reply(key, f"text of {key}") for key in keys}
        keys = keys[:1] + keys[3:]
    assert Partition(folder, GENERATED).find(MINE[1200:]).keys() == set(MINE[1200:])
