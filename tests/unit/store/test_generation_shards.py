"""Shards: appended by any number of writers, never changed, set aside when damaged."""

import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from moco.store.generations import GENERATED, GenerationStore, Measured, Partition, Stored


def stored(key: str, text: str = "x", seconds: float = 0.1) -> Stored:
    return Stored(
        key=key,
        text=text,
        finish="stop",
        prompt_tokens=3,
        tokens=[5, 1],
        logprobs=[-0.1, -0.2],
        top_k=2,
        top_ids=[5, 6, 1, 2],
        top_logprobs=[-0.1, -3.0, -0.2, -2.5],
        tail=[0.01, 0.02],
        seconds=seconds,
    )


def shards(partition: Partition) -> list:
    return sorted(partition.folder.glob("*.parquet"))


def test_replies_come_back_whole(tmp_path):
    rows = [stored("a", "é\n"), stored("b", "")]
    Partition(tmp_path / "m", GENERATED).write(rows)
    found = Partition(tmp_path / "m", GENERATED).find(["b", "a", "c", "a"], Stored)
    assert found == {"a": rows[0], "b": rows[1]}


def test_an_empty_store_finds_nothing_and_makes_no_folder(tmp_path):
    assert Partition(tmp_path / "m", GENERATED).find(["a"]) == {}
    Partition(tmp_path / "m", GENERATED).write([])
    assert not (tmp_path / "m").exists()


def test_shards_are_appended_and_seen_by_readers_that_are_open(tmp_path):
    reader, writer = Partition(tmp_path, GENERATED), Partition(tmp_path, GENERATED)
    writer.write([stored("a")])
    assert set(reader.find(["a", "b"])) == {"a"}
    before = shards(writer)[0].read_bytes()
    writer.write([stored("b")])
    assert set(reader.find(["a", "b"])) == {"a", "b"}
    assert len(shards(writer)) == 2
    assert shards(writer)[0].read_bytes() == before


def test_a_known_reply_is_not_stored_again(tmp_path):
    partition = Partition(tmp_path, GENERATED)
    partition.write([stored("a", "first")])
    partition.write([stored("a", "second"), stored("b")])
    assert [pq.read_table(path)["key"].to_pylist() for path in shards(partition)] == [["a"], ["b"]]
    partition.write([stored("b")])
    assert len(shards(partition)) == 2


def test_the_first_answer_wins_when_two_writers_made_the_same(tmp_path):
    one, other = Partition(tmp_path, GENERATED), Partition(tmp_path, GENERATED)
    one.refresh()
    other.refresh()
    one.write([stored("a", "first")])
    other.write([stored("a", "second"), stored("b")])
    fresh = Partition(tmp_path, GENERATED)
    assert fresh.find(["a"])["a"].text == "first"
    assert set(fresh.find(["b"])) == {"b"}


_WRITER = """
import sys
from pathlib import Path
from tests_shared import stored
from moco.store.generations import GENERATED, Partition

partition = Partition(Path(sys.argv[1]), GENERATED)
start = int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for number in range(start, start + 20):
    partition.write([stored(f"k{number}", sys.argv[2])])
"""


def test_two_processes_write_at_once_and_nothing_is_lost(tmp_path):
    code = _WRITER.replace("from tests_shared import stored", _stored_source())
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "m"), str(start)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for start in (0, 10)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    found = Partition(tmp_path / "m", GENERATED).find([f"k{number}" for number in range(30)])
    assert len(found) == 30
    assert not list((tmp_path / "m").glob(".*"))
    again = Partition(tmp_path / "m", GENERATED).find([f"k{number}" for number in range(30)])
    assert again == found


def _stored_source() -> str:
    import inspect

    return "from moco.store.generations import Stored\n" + inspect.getsource(stored)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "no key column"])
def test_an_unreadable_shard_is_set_aside_and_its_keys_are_missing(tmp_path, damage):
    Partition(tmp_path, GENERATED).write([stored("a")])
    Partition(tmp_path, GENERATED).write([stored("b")])
    path = shards(Partition(tmp_path, GENERATED))[0]
    if damage == "no key column":
        pq.write_table(pq.read_table(path).drop_columns(["key"]), path)
    else:
        data = path.read_bytes()
        path.write_bytes({"truncated": data[:-20], "empty": b"", "text": b"hello"}[damage])
    reader = Partition(tmp_path, GENERATED)
    assert set(reader.find(["a", "b"])) == {"b"}
    assert not path.exists()
    assert path.with_name(path.name + ".damaged").exists()
    reader.write([stored("a", "again")])
    assert Partition(tmp_path, GENERATED).find(["a"])["a"].text == "again"


def test_a_shard_whose_bytes_changed_is_set_aside_even_when_it_reads_well(tmp_path):
    writer = Partition(tmp_path, GENERATED)
    writer.write([stored("a", "true")])
    path = shards(writer)[0]
    other = Partition(tmp_path / "other", GENERATED)
    other.write([stored("a", "false")])
    path.write_bytes(shards(other)[0].read_bytes())
    for reader in (writer, Partition(tmp_path, GENERATED)):
        assert reader.find(["a"]) == {}
    assert [entry.suffix for entry in tmp_path.iterdir() if entry.is_file()] == [".damaged"]


def test_a_shard_that_vanishes_under_a_reader_is_a_miss(tmp_path):
    writer, reader = Partition(tmp_path, GENERATED), Partition(tmp_path, GENERATED)
    writer.write([stored("a"), stored("b")])
    reader.refresh()
    shards(writer)[0].unlink()
    assert reader.find(["a"]) == {}


def test_files_that_a_killed_writer_left_are_ignored(tmp_path):
    Partition(tmp_path, GENERATED).write([stored("a")])
    (tmp_path / ".00000000000000000001-0123456789abcdef.parquet.77.tmp").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("x")
    assert set(Partition(tmp_path, GENERATED).find(["a"])) == {"a"}
    assert (tmp_path / "notes.txt").exists()


def test_every_model_has_a_part_of_its_own(tmp_path):
    store = GenerationStore(tmp_path)
    store.partition("aa" * 32).write([stored("k", "of a")])
    store.partition("ab" * 32).write([stored("k", "of b")])
    fresh = GenerationStore(tmp_path)
    assert fresh.partition("aa" * 32).find(["k"])["k"].text == "of a"
    assert fresh.partition("ab" * 32).find(["k"])["k"].text == "of b"
    assert fresh.partition("aa" * 32) is fresh.partition("aa" * 32)


def test_rewards_and_vectors_lie_beside_replies_and_are_never_mistaken_for_them(tmp_path):
    store = GenerationStore(tmp_path)
    store.partition("ab" * 32).write([stored("a")])
    store.measures("ab" * 32).write([Measured("a", [0.5, -1.25], 7, 0.1)])
    again = GenerationStore(tmp_path)
    assert again.partition("ab" * 32).find(["a"], Stored)["a"] == stored("a")
    assert again.measures("ab" * 32).find(["a", "b"]) == {"a": Measured("a", [0.5, -1.25], 7, 0.1)}
    assert again.measures("cd" * 32).find(["a"]) == {}
