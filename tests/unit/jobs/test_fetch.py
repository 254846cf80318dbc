"""Work that is shared with other processes: what they store is taken from them, and nothing is stored twice."""

import logging
import time
from collections import Counter
from dataclasses import dataclass

import pyarrow.parquet as pq
import pytest
from support.shards import reply, shard_files

from moco.engines.backlog import Backlog
from moco.engines.memory import work_in_batches
from moco.jobs.fetch import fetch
from moco.store.generations import GENERATED, Partition


@dataclass(frozen=True)
class Asked:
    key: str
    width: int = 1


REQUESTS = {key: Asked(key) for key in (f"k{number:02d}" for number in range(20))}
KEYS = list(REQUESTS)


def other(folder, keys) -> None:
    """Store replies as another process would that looks first."""
    partition = Partition(folder, GENERATED)
    partition.refresh()
    partition.write(reply(key, "theirs") for key in keys)


def stored(folder) -> Counter:
    return Counter(key for path in shard_files(folder) for key in pq.read_table(path)["key"].to_pylist())


class Model:
    """Answers in batches of two; `meanwhile` is called with the number of batches so far before each."""

    def __init__(self, meanwhile) -> None:
        self._meanwhile = meanwhile
        self.batches: list[list[str]] = []

    def make(self, backlog):
        yield from work_in_batches(backlog, 2, 100, self._work, who="m")

    def _work(self, batch):
        self.batches.append([request.key for request in batch])
        self._meanwhile(len(self.batches) - 1)
        for request in batch:
            yield reply(request.key, "mine")

    @property
    def made(self) -> list[str]:
        return [key for batch in self.batches for key in batch]


def run(folder, model, flush_seconds=1e-9):
    return fetch(
        Partition(folder, GENERATED), REQUESTS, model.make, who="m", label="replies", flush_seconds=flush_seconds
    )


def test_rows_reach_the_disk_in_time_and_at_the_end_even_after_an_error(tmp_path):
    def make(_backlog):
        yield reply("k00")
        assert shard_files(tmp_path) == []
        time.sleep(0.06)
        yield reply("k01")
        assert len(shard_files(tmp_path)) == 1
        yield reply("k02")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fetch(Partition(tmp_path, GENERATED), REQUESTS, make, who="m", label="replies", flush_seconds=0.05)
    assert set(Partition(tmp_path, GENERATED).find(KEYS)) == set(KEYS[:3])


def test_what_another_process_stores_is_not_made(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="moco")
    model = Model(lambda number: other(tmp_path, KEYS[10:17]) if number == 1 else None)
    rows, made = run(tmp_path, model)
    assert model.made == [*KEYS[:10], *KEYS[17:]]
    assert made == set(model.made)
    assert {key: row.text for key, row in rows.items()} == {
        key: "theirs" if key in KEYS[10:17] else "mine" for key in KEYS
    }
    assert "m: 7 replies came from another process meanwhile" in caplog.text
    assert set(stored(tmp_path).values()) == {1}


def test_batches_are_cut_anew_so_that_they_stay_full(tmp_path):
    model = Model(lambda number: other(tmp_path, KEYS[5:20:2]) if number == 1 else None)
    run(tmp_path, model)
    assert [len(batch) for batch in model.batches] == [2] * 6


def test_what_both_have_made_is_stored_once_and_the_stored_one_counts(tmp_path):
    model = Model(lambda number: other(tmp_path, KEYS[:1]) if number == 0 else None)
    rows, made = run(tmp_path, model)
    assert rows["k00"].text == "theirs"
    assert rows["k01"].text == "mine"
    assert made == set(KEYS)
    assert sorted(model.made) == KEYS
    assert stored(tmp_path) == Counter(KEYS)


def test_what_is_taken_while_its_batch_is_under_way_is_stored_once(tmp_path):
    """The second row of the batch comes after the look at the first one's flush has found it."""
    model = Model(lambda number: other(tmp_path, KEYS[1:2]) if number == 0 else None)
    rows, made = run(tmp_path, model)
    assert rows["k01"].text == "theirs"
    assert "k01" in made
    assert stored(tmp_path) == Counter(KEYS)


def test_a_process_that_was_overtaken_goes_on_where_the_other_comes_last(tmp_path):
    """The other process is always one batch ahead in everybody's order: only the first batch is made twice."""
    model = Model(lambda number: other(tmp_path, KEYS[2 * number : 2 * number + 2]))
    rows, _ = run(tmp_path, model)
    assert model.batches[0] == KEYS[:2]
    assert all(batch[0] >= "k10" for batch in model.batches[1:3])
    assert set(rows) == set(KEYS)
    assert stored(tmp_path) == Counter(KEYS)
    assert len(model.batches) <= 7


def test_an_undisturbed_process_keeps_everybody_s_order(tmp_path):
    model = Model(lambda _number: None)
    run(tmp_path, model)
    assert model.made == KEYS


def test_nothing_is_left_where_another_process_stores_all(tmp_path):
    model = Model(lambda number: other(tmp_path, KEYS) if number == 0 else None)
    rows, made = run(tmp_path, model)
    assert model.made == KEYS[:2]
    assert made == set(KEYS[:2])
    assert {row.text for row in rows.values()} == {"theirs"}


def test_requests_under_way_skip_what_is_taken_and_change_their_order():
    backlog = Backlog(REQUESTS)
    waiting = backlog.waiting()
    assert [next(waiting).key for _ in range(3)] == KEYS[:3]
    backlog.take({"k03", "k10"})
    assert next(waiting).key == "k04"
    backlog.overtaken()
    jumped = next(waiting).key
    assert jumped >= "k12"
    rest = [request.key for request in waiting]
    assert sorted([jumped, *rest]) == [key for key in KEYS[5:] if key != "k10"]
    assert len(backlog) == len(REQUESTS)
    assert list(backlog) == list(REQUESTS.values())
