"""Several answers per item: a question for each, whatever the method, in the rounds of one."""

from collections import Counter

import pytest
from support.real_study import RealStudy

from moco import paths
from moco.records import ANSWERS, CALLS, GENERATIONS, PERF, read_rows, write_rows
from moco.records.files import Provenance

POOL = ["one", "one", "two"]
ANSWERS_PER_ITEM = 3


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, tiny_checkpoint):
    """Two random models and a task, once with one answer per item and once with several; one store serves both."""
    folder = tmp_path_factory.mktemp("several")

    def study(answers):
        source = {"kind": "synthetic", "skills": ["add"], "items": {"dev": 3, "test": 3}}
        models = {
            name: {"kind": "local", "path": str(tiny_checkpoint("base", seed)), "description": name}
            for seed, name in enumerate(("one", "two"))
        }
        content = {
            "study": "s",
            "models": models,
            "pools": {"p": POOL},
            "tasks": {"t": {"source": source, "answers": answers}},
            "decoding": {"default": {"max_new_tokens": 4, "temperature": 1.5, "top_p": 1.0}},
            "methods": {"control_random": {}, "control_best_single": {}, "text_multiagent_refine": {}},
        }
        return RealStudy(folder, content)

    return {answers: study(answers) for answers in (1, ANSWERS_PER_ITEM)}


def answered(prepared, method, answers):
    study = prepared[answers]
    study.run("p", method)
    where = ("p", study.batch("p", method, "t"), method, 1, "test")
    answers_file = study.results / paths.answers(*where)
    loads = Counter(row["model"] for row in read_rows(paths_perf(answers_file), PERF) if row["kind"] == "load")
    return read_rows(answers_file, ANSWERS), read_rows(study.results / paths.calls(*where), CALLS), loads


def paths_perf(path):
    return path.with_name(path.name.replace(".parquet", "_perf.parquet"))


def plain_file(prepared, name, sample):
    study = prepared[ANSWERS_PER_ITEM]
    batch = study.batch("p", "control_random", "t")
    return study.results / paths.generation(name, batch, "test", 1, paths.block_of(sample))


def plain(prepared, name, sample):
    rows = read_rows(plain_file(prepared, name, sample), GENERATIONS)
    return {row["uid"]: row["text"] for row in rows if row["sample"] == sample}


def test_every_answer_rests_on_samples_of_its_own(prepared):
    rows, calls, _ = answered(prepared, "control_best_single", ANSWERS_PER_ITEM)
    assert Counter(row["answer"] for row in rows) == {0: 3, 1: 3, 2: 3}
    samples = {}
    for call in calls:
        samples.setdefault(call["uid"], []).append(call["sample"])
    model, first = calls[0]["model"], calls[0]["sample"]
    step = POOL.count(model)
    assert all(found == [first + step * answer for answer in range(ANSWERS_PER_ITEM)] for found in samples.values())
    for row in rows:
        assert row["text"] == plain(prepared, model, first + step * row["answer"])[row["uid"]]
    assert all(sorted(c["call"] for c in calls if c["uid"] == uid) == [0, 1, 2] for uid in samples)


@pytest.mark.parametrize("method", ["control_random", "control_best_single", "text_multiagent_refine"])
def test_the_first_of_several_answers_is_the_only_one_of_one(prepared, method):
    one, _, _ = answered(prepared, method, 1)
    several, _, _ = answered(prepared, method, ANSWERS_PER_ITEM)
    assert [row for row in several if row["answer"] == 0] == one
    assert len(several) == ANSWERS_PER_ITEM * len(one)


def test_requests_for_different_answers_are_different_requests_in_the_same_rounds(prepared, tmp_path, monkeypatch):
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
    path = plain_file(prepared, "two", 1)
    prepared[ANSWERS_PER_ITEM].make(str(path.relative_to(prepared[ANSWERS_PER_ITEM].results)))
    rows = read_rows(path, GENERATIONS)
    place = next(place for place, row in enumerate(rows) if row["sample"] == 1)
    broken = [*rows]
    broken[place] = {**rows[place], "status": "failed", "reason": "gone", "text": None}
    write_rows(path, GENERATIONS, broken, Provenance("generate"))
    try:
        found, _, _ = answered(prepared, "control_random", ANSWERS_PER_ITEM)
    finally:
        write_rows(path, GENERATIONS, rows, Provenance("generate"))
    assert [(row["uid"], row["answer"]) for row in found if row["status"] == "failed"] == [(rows[place]["uid"], 1)]
