"""Progress on a terminal and without one, the time left, and what a job says and writes at its end."""

import io
import logging
import re

import pytest

from moco import progress
from moco.jobs import performance
from moco.jobs.fetch import fetch
from moco.jobs.performance import Account, Accounts, RequestProgress, job_perf_path
from moco.jobs.resident import Load, ResidentEngines
from moco.progress import Progress
from moco.records import JOB_PERF, Provenance, read_rows
from moco.store.generations import GENERATED, Measured, Partition, Stored


class Request:
    def __init__(self, key, width=10):
        self.key, self.width = key, width


def written(key, tokens=4, finish="stop"):
    return Stored(
        key=key,
        text="x",
        finish=finish,
        prompt_tokens=3,
        tokens=[7] * tokens,
        logprobs=[-0.1] * tokens,
        top_k=1,
        top_ids=[7] * tokens,
        top_logprobs=[-0.1] * tokens,
        tail=[0.0] * tokens,
        seconds=0.1,
    )


class Clock:
    """A clock that tests set."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    monkeypatch.setattr(performance, "time", made)
    return made


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_without_a_terminal_a_plain_line_appears_every_ten_seconds(clock, lines):
    requests = {f"k{n}": Request(f"k{n}") for n in range(40)}
    shown = RequestProgress("m: replies", requests, cached=10)
    for number, key in enumerate(requests):
        clock.now = 101.0 + number
        shown.made(written(key))
    assert lines() == [
        "m: replies 20/50 (10 in the store), 4 new tokens/s, about 30 s left",
        "m: replies 30/50 (10 in the store), 4 new tokens/s, about 20 s left",
        "m: replies 40/50 (10 in the store), 4 new tokens/s, about 10 s left",
        "m: replies 50/50 (10 in the store), 4 new tokens/s",
    ]


def test_on_a_terminal_one_line_is_rewritten_and_ends(clock, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    shown = RequestProgress("m: replies", {"a": Request("a"), "b": Request("b")}, cached=0)
    for key in "ab":
        clock.now += 2
        shown.made(written(key))
    assert screen.getvalue() == (
        "\r\033[Km: replies 1/2, 2 new tokens/s, about 2.0 s left\r\033[Km: replies 2/2, 2 new tokens/s\n"
    )


def test_a_log_line_takes_the_place_of_the_line_of_progress():
    screen = Terminal()
    handler = progress._Handler(screen)
    handler.emit(logging.makeLogRecord({"msg": "loaded m"}))
    assert screen.getvalue() == "\r\033[Kloaded m\n"
    plain = io.StringIO()
    progress._Handler(plain).emit(logging.makeLogRecord({"msg": "loaded m"}))
    assert plain.getvalue() == "loaded m\n"


def test_the_time_left_follows_the_tokens_that_requests_occupy(clock, lines):
    """One long request took ten seconds; nine that are a tenth as long take another nine, not ninety."""
    requests = {"long": Request("long", 1000)} | {f"k{n}": Request(f"k{n}", 100) for n in range(9)}
    shown = RequestProgress("m: replies", requests, cached=0)
    clock.now += 10
    shown.made(written("long"))
    assert lines() == ["m: replies 1/10, 0 new tokens/s, about 9.0 s left"]


def test_what_writes_nothing_shows_what_it_reads(clock, lines):
    shown = RequestProgress("judge: rewards", {"a": Request("a"), "b": Request("b")}, cached=0)
    clock.now += 10
    shown.made(Measured("a", [1.0], 500, 0.1))
    assert lines() == ["judge: rewards 1/2, 50 tokens/s read, about 10 s left"]


def test_the_clock_starts_when_the_model_is_loaded(clock, lines, tmp_path):
    def make(requests):
        clock.now += 1000  # loading
        return rows(requests)

    def rows(requests):
        for request in requests:
            clock.now += 10
            yield written(request.key)

    requests = {key: Request(key) for key in "ab"}
    fetch(Partition(tmp_path, GENERATED), requests, make, who="m", label="replies", flush_seconds=9)
    assert lines() == [
        "m: 2 replies, 0 in the store",
        "m: replies 1/2, 0 new tokens/s, about 10 s left",
        "m: replies 2/2, 0 new tokens/s",
    ]


def test_counters_of_methods_are_as_before(clock, lines):
    shown = Progress("search", 4)
    clock.now += 20
    shown.advance(2)
    assert lines() == ["search: 2/4, 0.1/s, about 20 s left"]


@pytest.fixture
def job(clock, tmp_path):
    """A job of a model that was loaded once, a judge, and two candidates of a search."""
    resident = ResidentEngines(tmp_path)
    accounts = Accounts(resident)
    for name in ("candidate-1", "candidate-2"):
        accounts.group(name, "candidates")
    with accounts.of("m") as account:
        clock.now += 3
        resident.loaded.append(Load("m", 3.0))
        clock.now += 4
        account.add([written("a", 6), written("b", 2), written("c", 9)], {"a", "b"})
    with accounts.of("m") as account:
        clock.now += 1
        account.add([written("a", 6)], set())
    with accounts.of("judge") as account:
        clock.now += 2
        account.add([Measured("x", [1.0], 50, 0.1)], {"x"})
    for name in ("candidate-1", "candidate-2"):
        with accounts.of(name) as account:
            resident.loaded.append(Load(name, 0.5))
            clock.now += 1
            account.add([written(name, 5)], {name})
    return accounts


def test_a_job_ends_with_a_line_per_model_and_writes_the_same(job, tmp_path, lines):
    path = tmp_path / "b/s0.parquet"
    about = {"system": "m", "tasks": ["t", "u"], "splits": ["test"], "seed": 1}
    job.close(path, about, Provenance("generate", {}))
    assert lines() == [
        "m in total: 4 items, 2 in the store; 8 new tokens, 2/s; 1 load in 3.0 s; 8.0 s in all",
        "judge in total: 1 item, 0 in the store; 50 tokens read, 25/s; no load; 2.0 s in all",
        "candidates in total: 2 items, 0 in the store; 10 new tokens, 10/s; 2 loads in 1.0 s; 2.0 s in all",
    ]
    rows = {row["model"]: row for row in read_rows(job_perf_path(path), JOB_PERF)}
    assert rows["m"] == {
        **{"job": "generate", "pool": None, "system": "m", "tasks": ["t", "u"], "splits": ["test"], "seed": 1},
        **{"model": "m", "items": 4, "cached": 2, "read_tokens": 6, "made_tokens": 8},
        **{"seconds": 5.0, "loads": 1, "load_seconds": 3.0},
    }
    assert (rows["judge"]["read_tokens"], rows["judge"]["loads"]) == (50, 0)
    assert rows["candidates"]["loads"] == 2


def test_given_texts_are_read_and_not_written():
    account = Account()
    account.add([written("a", 4, finish="scored")], {"a"})
    assert (account.read_tokens, account.made_tokens) == (7, 0)


def test_who_only_lent_its_weights_says_so():
    assert Account(loads=1, load_seconds=0.25).line() == "1 load in 0.2 s"


def test_a_line_fits_on_a_line():
    account = Account(123_456, 23_456, 9_000_000, 8_000_000, 5000, 3, 200)
    line = account.line()
    assert re.fullmatch(
        r"123,456 items, 23,456 in the store; 8,000,000 new tokens, 1,600/s; 3 loads in 3 min; .*", line
    )
    assert len(line) < 100
