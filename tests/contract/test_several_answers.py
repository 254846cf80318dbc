"""Several answers per item: independent runs of a method, whatever the method, in the rounds of one."""

from collections import Counter

import pytest

from moco import paths
from moco.config.engine import EngineSettings
from moco.config.models import LocalModel
from moco.config.tasks import TaskEntry
from moco.engines.plain import generate_plain
from moco.methods.answering import AnswerJob
from moco.methods.catalogue import make_method
from moco.methods.fitting import FitJob
from moco.models.resolve import resolve
from moco.records import ANSWERS, CALLS, GENERATIONS, PERF, read_rows, write_rows
from moco.records.files import Provenance
from moco.scoring.files import score_plain
from moco.tasks.prepare import prepare

POOL = ["one", "one", "two"]
ANSWERS_PER_ITEM = 3
DECODING = {"decoding_name": "default", "decoding": {"max_new_tokens": 4, "temperature": 1.5, "top_p": 1.0}}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, tiny_checkpoint):
    """A task, two random models, and so many plain responses that every run has its own."""
    root = tmp_path_factory.mktemp("several")
    folder = root / "results"
    source = {"kind": "synthetic", "skills": ["add"], "items": {"dev": 3, "test": 3}}
    prepare("t", TaskEntry(source=source), folder / paths.task_folder("t"), {})
    for seed, name in enumerate(("one", "two")):
        entry = LocalModel(kind="local", path=str(tiny_checkpoint("base", seed)))
        resolve(name, entry, EngineSettings(), root).write(folder / paths.model_json(name))
    generate_plain(folder, [("one", "t"), ("two", "t")], ["dev", "test"], list(range(6)), 1, DECODING)
    for name, sample in (("one", 0), ("one", 1), ("two", 0)):
        source = paths.generation(name, "t", "dev", "default", 1, sample)
        score_plain(folder, "t", "dev", source, {"scorer": "strict", "type": "exact_match"})
    return folder


def answered(folder, method, answers):
    made = make_method(method, {})
    spec = {
        "method": method,
        "params": made.params.slice(),
        "pool": POOL,
        "tasks": {"t": {"type": "exact_match", "answers": answers}},
        "scorer": "strict",
        **DECODING,
    }
    if made.needs(len(POOL)).fit is not None:
        FitJob(folder, spec, "p", method, 1).run()
    AnswerJob(folder, spec, "p", method, 1).run("test")
    where = ("p", "t", method, 1, "test")
    calls = folder / paths.calls(*where)
    loads = Counter(row["model"] for row in read_rows(paths_perf(calls), PERF) if row["kind"] == "load")
    return read_rows(folder / paths.answers(*where), ANSWERS), read_rows(calls, CALLS), loads


def paths_perf(path):
    return path.with_name(path.name.replace(".parquet", "_perf.parquet"))


def plain(folder, name, sample):
    rows = read_rows(folder / paths.generation(name, "t", "test", "default", 1, sample), GENERATIONS)
    return {row["uid"]: row["text"] for row in rows}


def test_every_answer_rests_on_samples_of_its_own(prepared):
    rows, calls, _ = answered(prepared, "control_best_single", ANSWERS_PER_ITEM)
    assert Counter(row["answer"] for row in rows) == {0: 3, 1: 3, 2: 3}
    samples = {}
    for call in calls:
        samples.setdefault(call["uid"], []).append(call["sample"])
    model, first = calls[0]["model"], calls[0]["sample"]
    step = POOL.count(model)
    assert all(found == [first + step * run for run in range(ANSWERS_PER_ITEM)] for found in samples.values())
    for row in rows:
        assert row["text"] == plain(prepared, model, first + step * row["answer"])[row["uid"]]
    assert all(sorted(c["call"] for c in calls if c["uid"] == uid) == [0, 1, 2] for uid in samples)


@pytest.mark.parametrize("method", ["control_random", "control_best_single", "text_multiagent_refine"])
def test_the_first_of_several_answers_is_the_only_one_of_one(prepared, method):
    one, _, _ = answered(prepared, method, 1)
    several, _, _ = answered(prepared, method, ANSWERS_PER_ITEM)
    assert [row for row in several if row["answer"] == 0] == one
    assert len(several) == ANSWERS_PER_ITEM * len(one)


def test_requests_of_different_runs_are_different_requests_in_the_same_rounds(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("MOCO_STORE", str(tmp_path / "a"))
    _, single, once = answered(prepared, "text_multiagent_refine", 1)
    monkeypatch.setenv("MOCO_STORE", str(tmp_path / "b"))
    rows, calls, loads = answered(prepared, "text_multiagent_refine", ANSWERS_PER_ITEM)
    own = [call for call in calls if call["kind"] == "own"]
    assert len({call["key"] for call in own}) == len(own) == ANSWERS_PER_ITEM * sum(c["kind"] == "own" for c in single)
    assert {call["round"] for call in own} == {call["round"] for call in single if call["kind"] == "own"}
    assert loads == once
    assert len({row["text"] for row in rows}) > len({row["uid"] for row in rows})


def test_one_failed_sample_fails_the_answer_that_needs_it_alone(prepared):
    path = prepared / paths.generation("two", "t", "test", "default", 1, 1)
    rows = read_rows(path, GENERATIONS)
    broken = [{**rows[0], "status": "failed", "reason": "gone", "text": None}, *rows[1:]]
    write_rows(path, GENERATIONS, broken, Provenance("generate"))
    try:
        found, _, _ = answered(prepared, "control_random", ANSWERS_PER_ITEM)
    finally:
        write_rows(path, GENERATIONS, rows, Provenance("generate"))
    assert [(row["uid"], row["answer"]) for row in found if row["status"] == "failed"] == [(rows[0]["uid"], 1)]
