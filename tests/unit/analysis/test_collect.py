"""What is collected of a study: rows of all tasks under all rule sets, costs, and what jobs did."""

import time

import pyarrow as pa
import pytest
from support.studies import SIZE, Study, call, cost, reply, write_scores

from moco import paths
from moco.analysis.collect import collect
from moco.analysis.results import load_scores
from moco.errors import WorkError
from moco.records import (
    ALL_COSTS,
    ALL_CURVES,
    ALL_JOBS_PERF,
    ALL_REPLIES,
    ALL_SCORES,
    ALL_STUDENTS,
    CALLS,
    COSTS,
    CURVE,
    GENERATIONS,
    JOB_PERF,
    SCORES,
    Provenance,
    read_rows,
    read_table,
    write_json,
    write_rows,
    write_table,
)
from moco.records.costs import flops

PLAIN = paths.generation("m", "both-0a1b2c", "test", 7, "s0")
ANSWERS = paths.answers("p", "both-0a1b2c", "vote", 7, "test")
SINGLE = {"kind": "single", "pool": "", "name": "m", "level": "single", "method": "", "batch": "both-0a1b2c", "seed": 7}
METHOD = {**SINGLE, "kind": "method", "pool": "p", "name": "vote", "level": "text", "method": "text_majority_vote"}


def entry(about, replies, spent, read):
    scores = {rules: paths.scores(rules, replies) for rules in ("strict", "paper")}
    return {**about, "scores": scores, "spent": spent, "replies": read}


CALLS_FILE = paths.calls("p", "both-0a1b2c", "vote", 7, "test")
COSTS_FILE = paths.costs("p", "both-0a1b2c", "vote", 7, "test")
ENTRIES = [entry(SINGLE, PLAIN, PLAIN, PLAIN), entry(METHOD, ANSWERS, COSTS_FILE, CALLS_FILE)]
WORK = [{"path": paths.job_perf(PLAIN), "pool": "", "name": "m", "level": "single", "part": "plain responses"}]


@pytest.fixture
def results(tmp_path):
    """A batch of two tasks that a model and a method answered, scored under two rule sets."""
    write_scores(tmp_path / paths.scores("strict", PLAIN), {"t": [1, "failed gone"], "u": [0]})
    write_scores(tmp_path / paths.scores("paper", PLAIN), {"t": [0, "failed gone"], "u": ["unparsed"]})
    write_scores(tmp_path / paths.scores("strict", ANSWERS), {"t": [[1, 0], 0], "u": [1]})
    write_scores(tmp_path / paths.scores("paper", ANSWERS), {"t": [[1, 1], 0], "u": ["invalid"]})
    again = {**reply("t", 0, 1, (10, 2)), "sample": 1}
    replies = [reply("t", 0, 1, (10, 2)), again, reply("t", 1, "failed gone", (0, 0)), reply("u", 0, 0, (20, 5))]
    replies.append(reply("v", 0, "failed gone", (0, 0)))
    write_rows(tmp_path / PLAIN, GENERATIONS, replies, Provenance("generate"))
    write_json(tmp_path / paths.model_json("m"), {"parameters": SIZE})
    costs = [{"task": "t", **cost(calls=4)}, {"task": "u", **cost(stage="fit", parameters=None, calls=1)}]
    write_rows(tmp_path / ENTRIES[1]["spent"], COSTS, costs, Provenance("answer"))
    calls = [{**call("t/test/0", finish="length"), "task": "t"}, {**call("u/test/0"), "task": "u"}]
    write_rows(tmp_path / CALLS_FILE, CALLS, calls, Provenance("answer"))
    job = {"job": "generate", "pool": None, "system": "m", "tasks": ["t", "u"], "splits": ["test"], "seed": 7}
    job |= {"model": "m", "items": 4, "cached": 1, "read_tokens": 30, "made_tokens": 7, "seconds": 2.5}
    job |= {"loads": 1, "load_seconds": 0.5}
    write_rows(tmp_path / paths.job_perf(PLAIN), JOB_PERF, [job], Provenance("generate"))
    return tmp_path


def collected(results, name, schema):
    collect({"scorer": "strict", "entries": ENTRIES, "work": WORK}, results, "benchmark")
    return read_rows(results / f"analysis/benchmark/{name}.parquet", schema)


def test_scores_are_rows_of_every_task_answer_and_rule_set(results):
    rows = collected(results, "scores", ALL_SCORES)
    names = ("kind", "pool", "name", "level", "seed", "scorer", "task", "uid", "answer", "status", "reason", "score")
    single, method = ("single", "", "m", "single", 7), ("method", "p", "vote", "text", 7)
    assert [tuple(row[name] for name in names) for row in rows] == [
        (*single, "strict", "t", "t/test/0", 0, "ok", None, 1.0),
        (*single, "strict", "t", "t/test/1", 0, "failed", "gone", None),
        (*single, "strict", "u", "u/test/0", 0, "ok", None, 0.0),
        (*single, "paper", "t", "t/test/0", 0, "ok", None, 0.0),
        (*single, "paper", "t", "t/test/1", 0, "failed", "gone", None),
        (*single, "paper", "u", "u/test/0", 0, "unparsed", None, 0.0),
        (*method, "strict", "t", "t/test/0", 0, "ok", None, 1.0),
        (*method, "strict", "t", "t/test/0", 1, "ok", None, 0.0),
        (*method, "strict", "t", "t/test/1", 0, "ok", None, 0.0),
        (*method, "strict", "u", "u/test/0", 0, "ok", None, 1.0),
        (*method, "paper", "t", "t/test/0", 0, "ok", None, 1.0),
        (*method, "paper", "t", "t/test/0", 1, "ok", None, 1.0),
        (*method, "paper", "t", "t/test/1", 0, "ok", None, 0.0),
        (*method, "paper", "u", "u/test/0", 0, "invalid", None, None),
    ]
    assert {row["rule"] for row in rows} == {"x"}


def test_a_single_model_costs_its_replies_task_by_task(results):
    rows = [row for row in collected(results, "costs", ALL_COSTS) if row["kind"] == "single"]
    counts = ("task", "calls", "items", "prompt_tokens", "completion_tokens", "loads", "flops")
    assert [tuple(row[name] for name in counts) for row in rows] == [
        ("t", 2, 1, 20, 4, 1, 2 * SIZE * 24),  # of two replies to one item; a failed one costs nothing
        ("u", 1, 1, 20, 5, 1, 2 * SIZE * 25),
        ("v", 0, 0, 0, 0, 0, 0),
    ]
    facts = ("pool", "name", "level", "seed", "stage", "scope", "role", "model")
    assert {tuple(row[name] for name in facts) for row in rows} == {
        ("", "m", "single", 7, "answer", "task", "member", "m")
    }
    assert [row["parameters"] for row in rows] == [SIZE, SIZE, 0]


def test_of_a_file_with_more_tasks_those_of_the_entry_are_taken(results):
    collect(
        {"scorer": "strict", "entries": [{**each, "tasks": ["u"]} for each in ENTRIES], "work": []},
        results,
        "benchmark",
    )
    for name, schema in (("scores", ALL_SCORES), ("costs", ALL_COSTS)):
        rows = read_rows(results / f"analysis/benchmark/{name}.parquet", schema)
        assert {(row["kind"], row["task"]) for row in rows} == {("single", "u"), ("method", "u")}


def test_a_served_model_of_unknown_size_costs_unknown_work_and_no_load(results):
    write_json(results / paths.model_json("m"), {"parameters": None, "server": {"name": "far"}})
    row = collected(results, "costs", ALL_COSTS)[0]
    assert (row["parameters"], row["flops"], row["loads"], row["prompt_tokens"]) == (None, None, 0, 20)


def test_a_model_that_gave_no_reply_needs_no_description(results):
    failed = [reply("t", 0, "failed gone", (0, 0)), reply("u", 0, "failed gone", (0, 0))]
    write_rows(results / PLAIN, GENERATIONS, failed, Provenance("generate"))
    write_json(results / paths.model_json("m"), {"failed": "no such repository"})
    rows = [row for row in collected(results, "costs", ALL_COSTS) if row["kind"] == "single"]
    assert [(row["task"], row["calls"], row["flops"], row["loads"]) for row in rows] == [("t", 0, 0, 0), ("u", 0, 0, 0)]


def test_costs_of_methods_and_accounts_of_jobs_are_taken_as_they_are(results):
    rows = [row for row in collected(results, "costs", ALL_COSTS) if row["kind"] == "method"]
    facts = ("name", "seed", "task", "stage", "model", "parameters", "calls", "flops")
    assert [tuple(row[name] for name in facts) for row in rows] == [
        ("vote", 7, "t", "answer", "add", SIZE, 4, flops("answer", SIZE, 48)),
        ("vote", 7, "u", "fit", "add", None, 1, None),
    ]
    [job] = read_rows(results / "analysis/benchmark/jobs_perf.parquet", ALL_JOBS_PERF)
    assert (job["pool"], job["name"], job["level"], job["part"]) == ("", "m", "single", "plain responses")
    assert (job["tasks"], job["seed"], job["items"], job["seconds"]) == (["t", "u"], 7, 4, 2.5)


def test_cut_replies_are_counted_by_task(results):
    rows = collected(results, "replies", ALL_REPLIES)
    names = ("name", "task", "replies", "cut", "answers", "cut_answers", "unread", "cut_prompts")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("m", "t", 2, 0, 1, 0, 0, 0),
        ("m", "u", 1, 0, 1, 0, 0, 0),
        ("vote", "t", 1, 1, 1, 1, 0, 0),
        ("vote", "u", 1, 0, 1, 0, 0, 0),
    ]


@pytest.mark.parametrize(
    "path", [paths.scores("paper", ANSWERS), PLAIN, ENTRIES[1]["spent"], paths.job_perf(PLAIN), paths.model_json("m")]
)
def test_a_missing_file_is_one_line(results, path):
    (results / path).unlink()
    with pytest.raises(WorkError, match="missing") as caught:
        collect({"scorer": "strict", "entries": ENTRIES, "work": WORK}, results, "benchmark")
    assert caught.value.where == str(results / path)
    assert "\n" not in str(caught.value)
    assert not (results / "analysis/benchmark/jobs_perf.parquet").exists()


def test_missing_files_are_counted_and_the_first_is_named(tmp_path):
    study = Study(tmp_path)
    study.task("t")
    for model in ("a", "b", "c"):
        study.single(model, "t", [1, 0])
    for model in ("b", "c"):
        (tmp_path / paths.scores("strict", paths.generation(model, "t", "test", 1, "s0"))).unlink()
    with pytest.raises(WorkError, match="2 of 9 files are missing") as caught:
        load_scores(study.spec, study.results)
    assert "/b/" in caught.value.where


@pytest.mark.parametrize("path", [paths.scores("paper", ANSWERS), PLAIN])
def test_a_damaged_file_is_one_line(results, path):
    (results / path).write_bytes(b"x")
    with pytest.raises(WorkError, match="damaged") as caught:
        collect({"scorer": "strict", "entries": ENTRIES, "work": WORK}, results, "benchmark")
    assert caught.value.where == str(results / path)


def test_nothing_to_collect_leaves_readable_files(tmp_path):
    collect({"scorer": "strict", "entries": [], "work": []}, tmp_path, "benchmark")
    for name, schema in (
        ("scores", ALL_SCORES),
        ("costs", ALL_COSTS),
        ("replies", ALL_REPLIES),
        ("students", ALL_STUDENTS),
        ("curves", ALL_CURVES),
        ("jobs_perf", ALL_JOBS_PERF),
    ):
        assert read_rows(tmp_path / f"analysis/benchmark/{name}.parquet", schema) == []


def test_curves_are_collected_of_all_models_below_a_folder_with_whose_they_are(results):
    for folder, values in (("fits/p/b/v/seed7/t/models/one", [2.0, 1.0]), ("fits/p/b/v/seed7/t/models/two", [3.0])):
        rows = [{"step": at, "metric": "loss", "value": value} for at, value in enumerate(values, start=1)]
        write_rows(results / folder / "curve.parquet", CURVE, rows, Provenance("train"))
    fit = {"pool": "p", "name": "v", "seed": 7, "folder": "fits/p/b/v/seed7"}
    untrained = {"pool": "", "name": "tuned", "seed": None, "folder": "tuned/tuned"}
    collect({"scorer": "strict", "entries": [], "work": [], "trained": [fit, untrained]}, results, "benchmark")
    rows = read_rows(results / "analysis/benchmark/curves.parquet", ALL_CURVES)
    of_one = {"pool": "p", "name": "v", "seed": 7, "model": "t/models/one", "metric": "loss"}
    assert rows == [
        {**of_one, "step": 1, "value": 2.0},
        {**of_one, "step": 2, "value": 1.0},
        {**of_one, "model": "t/models/two", "step": 1, "value": 3.0},
    ]


def test_a_million_rows_are_collected_in_seconds(tmp_path):
    count = 250_000
    uids = pa.array([f"t{number % 50}/test/{number}" for number in range(count)])
    tasks = pa.array([f"t{number % 50}" for number in range(count)]).sort()

    def long(schema, **columns):
        nothing = {field.name: pa.nulls(count, field.type) for field in schema.columns}
        values = {**nothing, "task": tasks, "uid": uids, "status": pa.repeat("ok", count), **columns}
        return pa.table(values, schema=schema.columns)

    tokens = {name: pa.repeat(pa.scalar(3, pa.int32()), count) for name in ("prompt_tokens", "completion_tokens")}
    write_table(tmp_path / PLAIN, GENERATIONS, [long(GENERATIONS, **tokens)], Provenance("generate"))
    write_json(tmp_path / paths.model_json("m"), {"parameters": SIZE})
    scores = long(SCORES, score=pa.repeat(1.0, count), answer=pa.repeat(pa.scalar(0, pa.int32()), count))
    for rules in ("strict", "paper"):
        write_table(tmp_path / paths.scores(rules, PLAIN), SCORES, [scores], Provenance("score"))
    spec = {"scorer": "strict", "entries": [{**ENTRIES[0], "seed": seed} for seed in (1, 2)], "work": []}
    started = time.process_time()
    collect(spec, tmp_path, "benchmark")
    assert time.process_time() - started < 5  # rows as Python objects take longer
    assert len(read_table(tmp_path / "analysis/benchmark/scores.parquet", ALL_SCORES, ["uid"])) == 4 * count
    costs = read_rows(tmp_path / "analysis/benchmark/costs.parquet", ALL_COSTS)
    assert [(row["calls"], row["prompt_tokens"]) for row in costs] == [(count // 50, 3 * count // 50)] * 100


def test_a_round_costs_what_it_learns_from_and_the_training_of_its_students(results):
    answers = "answers/p/both-0a1b2c/vote/seed7/distill_costs.parquet"
    rows = [{"task": task, **cost(calls=4)} for task in ("t", "u")]
    write_rows(results / answers, COSTS, rows, Provenance("answer"))
    for place, note in ((1, {"tokens": 100, "written": 0}), (2, {"tokens": 60, "written": 40, "teacher_flops": 5})):
        whole = {"examples": 8, "updates": 2, "teacher_flops": 0, **note}
        write_json(results / f"evolution/r/r1/students/{place}/training.json", whole)
        write_json(results / paths.model_json(f"r--r1--{place}"), {"parameters": SIZE})
    write_json(results / "evolution/r/r1/students/3/failed.json", {"reason": "x"})
    made = {"pool": "r--r1", "name": "r", "seed": 7, "task": "t", "students": "evolution/r/r1/students"}
    made |= {"models": ["r--r1--1", "r--r1--2", "r--r1--3"], "read": {"answers": answers}, "own": [["m", PLAIN, 0]]}
    collect({"scorer": "strict", "entries": ENTRIES, "work": WORK, "rounds": [made]}, results, "evolution")
    rows = [row for row in read_rows(results / "analysis/evolution/costs.parquet", ALL_COSTS) if row["kind"] == "round"]
    assert {(row["pool"], row["name"], row["level"], row["seed"], row["task"]) for row in rows} == {
        ("r--r1", "r", "round", 7, "t")
    }
    assert [(row["stage"], row["model"], row["calls"]) for row in rows] == [
        ("answer", cost()["model"], 4),
        ("answer", "m", 1),  # of two samples, the one that was learnt
        ("train", "r--r1--1", 2),
        ("train", "r--r1--2", 2),
    ]
    assert [row["flops"] for row in rows[1:]] == [2 * SIZE * 12, 6 * SIZE * 100, 6 * SIZE * 60 + 2 * SIZE * 40 + 5]


def test_students_are_collected_with_their_losses_and_distances_and_round_0_with_its_own(results):
    folder = "evolution/r/r1/students"
    held_out = {"examples": 2, "before": 3.0, "after": 1.5, "tokens": 10}
    for place, note in ((1, {"held_out": held_out}), (2, {})):
        whole = {"examples": 8, "updates": 2, "teacher_flops": 0, "tokens": 100, "written": 0, **note}
        write_json(results / f"{folder}/{place}/training.json", whole)
        write_json(results / paths.model_json(f"r--r1--{place}"), {"parameters": SIZE})
    write_json(results / f"{folder}/distances.json", {"parents": [0.5, 0.5], "students": [0.25, 0.25]})
    made = {"pool": "r--r1", "name": "r", "seed": 7, "task": "t", "students": folder, "read": {}, "own": []}
    made |= {"models": ["r--r1--1", "r--r1--2"], "before": {"pool": "both", "models": ["m", "n"]}}
    collect({"scorer": "strict", "entries": ENTRIES, "work": WORK, "rounds": [made]}, results, "evolution")
    rows = read_rows(results / "analysis/evolution/students.parquet", ALL_STUDENTS)
    measured = ("pool", "model", "held_out", "loss_before", "loss_after", "distance")
    assert [tuple(row[name] for name in measured) for row in rows] == [
        ("both", "m", None, None, None, 0.5),
        ("both", "n", None, None, None, 0.5),
        ("r--r1", "r--r1--1", 2, 3.0, 1.5, 0.25),
        ("r--r1", "r--r1--2", 0, None, None, 0.25),
    ]
    costs = read_rows(results / "analysis/evolution/costs.parquet", ALL_COSTS)
    assert [row["flops"] for row in costs if row["kind"] == "round"] == [6 * SIZE * 100 + 2 * SIZE * 10, 6 * SIZE * 100]
