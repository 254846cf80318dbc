"""Work through the store, beside other processes: what is there is not made, and what was stored first counts."""

import time
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from support.shards import reply, shard_files

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
    """Store replies as another process would that began before anything was stored."""
    Partition(folder, GENERATED).write(reply(key, "theirs") for key in keys)


class Model:
    """Answers in batches of two; `meanwhile` is called with the number of batches so far before each."""

    def __init__(self, meanwhile) -> None:
        self._meanwhile = meanwhile
        self.batches: list[list[str]] = []

    def make(self, requests):
        yield from work_in_batches(requests, 2, 100, self._work, who="m")

    def _work(self, batch):
        self.batches.append([request.key for request in batch])
        self._meanwhile(len(self.batches) - 1)
        for request in batch:
            yield reply(request.key, "mine")

    @property
    def made(self) -> list[str]:
        return [key for batch in self.batches for key in batch]


def run(folder, model, turn=None):
    return fetch(
        Partition(folder, GENERATED), REQUESTS, model.make, who="m", label="replies", flush_seconds=1e-9, turn=turn
    )


def test_rows_reach_the_disk_in_time_and_at_the_end_even_after_an_error(tmp_path):
    def make(_requests):
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


def test_what_another_process_stored_first_counts(tmp_path):
    """The other has stored two replies when this process stores its own, which it began before."""
    model = Model(lambda number: other(tmp_path, KEYS[8:10]) if number == 3 else None)
    rows, made = run(tmp_path, model)
    assert model.made == KEYS
    assert made == set(KEYS)
    assert {key: row.text for key, row in rows.items()} == {
        key: "theirs" if key in KEYS[8:10] else "mine" for key in KEYS
    }
    assert Partition(tmp_path, GENERATED).find(KEYS) == rows


def test_what_this_process_stored_first_counts(tmp_path):
    model = Model(lambda number: other(tmp_path, KEYS[:4]) if number == 3 else None)
    rows, _ = run(tmp_path, model)
    assert {row.text for row in rows.values()} == {"mine"}
    assert Partition(tmp_path, GENERATED).find(KEYS) == rows


def test_what_is_stored_at_the_beginning_is_not_made(tmp_path):
    other(tmp_path, KEYS[5:])
    model = Model(lambda _number: None)
    rows, made = run(tmp_path, model)
    assert model.made == KEYS[:5]
    assert made == set(KEYS[:5])
    assert {key for key, row in rows.items() if row.text == "theirs"} == set(KEYS[5:])


def test_who_waited_for_a_turn_looks_again(tmp_path):
    @contextmanager
    def turn():
        other(tmp_path, KEYS)
        yield

    model = Model(lambda _number: None)
    rows, made = run(tmp_path, model, turn=turn())
    assert (model.batches, made) == ([], set())
    assert {row.text for row in rows.values()} == {"theirs"}
