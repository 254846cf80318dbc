import json

import pytest

from moco.analysis.tables import make_table
from moco.config.load import load_study
from moco.config.tasks import TaskEntry
from moco.errors import WorkError
from moco.tasks.prepare import prepare
from moco.workflow.check import machine_problems
from moco.workflow.plan import Plan


def rows(*pairs):
    return [{"input": question, "output": gold} for question, gold in pairs]


FIRST = {
    "dev": rows(("a", "1"), ("A", "2"), ("b", "1"), ("c", None)),
    "test": rows(("d", "1"), ("e", "2"), ("f", "1"), ("b", "1")),
}
SECOND = {"dev": rows(("D", "1"), ("x", "1")), "test": rows(("c", "7"), ("y", "8"), ("  A ", "9"))}


@pytest.fixture
def results(tmp_path):
    for name, data in (("first", FIRST), ("second", SECOND)):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        entry = TaskEntry(source={"kind": "moco", "path": str(path)}, type="exact_match")
        prepare(name, entry, tmp_path / "results/tasks" / name, None)
    return tmp_path / "results"


def table(results, *tasks):
    return make_table("data_quality", {"study": "s", "tasks": {task: {} for task in tasks}}, results)


def test_counts_by_split(results):
    made = table(results, "first", "second")
    found = {row[:2]: dict(zip(made.columns, row, strict=True)) for row in made.rows}
    assert list(found) == [("first", "dev"), ("first", "test"), ("second", "dev"), ("second", "test")]
    dev, test = found["first", "dev"], found["first", "test"]
    assert (dev["items"], dev["valid"], dev["broken"], dev["left out"]) == (3, 2, "no gold 1", "conflict 1")
    assert (test["items"], test["left out"], test["groups"]) == (3, "seen 1", 0)
    assert test["same gold (%)"] == pytest.approx(2 / 3)
    assert found["second", "test"]["same gold (%)"] == pytest.approx(1 / 3)
    assert (test["shared items"], test["shared with"]) == (1, "second 1")  # d
    assert (found["second", "test"]["shared items"], found["second", "test"]["shared with"]) == (2, "first 2")  # a, c
    assert (dev["shared items"], found["second", "dev"]["shared items"]) == (2, 1)
    lengths = [found["second", "test"][name] for name in ("median length", "90% length", "longest")]
    suffix = len("\n\nGive the final answer directly inside \\box{answer}.")
    assert lengths == [1 + suffix, 1 + suffix, 3 + suffix]


def test_the_note_names_tasks_that_give_test_items_away(results):
    text = "\n".join(table(results, "first", "second").notes)
    assert "1 of first in second, 2 of second in first" in text
    assert "seen: asks what an item of dev or train asks" in text
    assert "another task of this study learns from" not in "\n".join(table(results, "first").notes)


def test_what_a_limit_leaves_out_and_bad_rows_are_counted(tmp_path):
    items = [*rows(*((f"q{n}", "1") for n in range(6))), {"input": "no gold"}]
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"dev": rows(("a", "1")), "test": items}), encoding="utf-8")
    source = {"kind": "moco", "path": str(path)}
    entry = TaskEntry(source=source, type="exact_match", bad_rows="drop", limit={"test": 4})
    prepare("t", entry, tmp_path / "results/tasks/t", None)
    made = table(tmp_path / "results", "t")
    place = made.columns.index("left out")
    assert [(row[1], row[2], row[place]) for row in made.rows] == [("dev", 1, "-"), ("test", 4, "bad_row 1, limit 2")]
    text = "\n".join(made.notes)
    assert "limit: is beyond the `limit` of the task" in text
    assert "bad_row: is a row of the file that is no item" in text


def test_constant_letters_and_golds_that_are_no_answers(tmp_path):
    choices = {"A": "red", "B": "blue"}
    items = [{"question": f"q{n}", "choices": choices, "answer": answer} for n, answer in enumerate("AABAA")]
    data = {"choice": {"dev": items[:1], "test": items[1:]}, "refusal": {"dev": [{"input": "a", "category": "x"}]}}
    data["refusal"]["test"] = [{"input": "b", "category": "x"}]
    for name, kind in (("choice", "multiple_choice"), ("refusal", "noncompliance")):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(data[name]), encoding="utf-8")
        entry = TaskEntry(source={"kind": "moco", "path": str(path)}, type=kind)
        prepare(name, entry, tmp_path / "tasks" / name, None)
    made = table(tmp_path, "choice", "refusal")
    place = made.columns.index("same gold (%)")
    assert [row[place] for row in made.rows] == [1.0, 0.75, "-", "-"]


def test_missing_files_are_one_line(tmp_path):
    with pytest.raises(WorkError, match="file is missing"):
        table(tmp_path, "first")


@pytest.fixture
def study(results):
    tmp_path = results.parent

    def made(methods):
        sources = {
            name: {"source": {"kind": "moco", "path": str(tmp_path / f"{name}.json")}, "type": "exact_match"}
            for name in ("first", "second")
        }
        content = {
            "study": "s",
            "models": {"base": {"kind": "zoo"}, "add": {"kind": "zoo"}},
            "pools": {"p": ["base", "add"]},
            "tasks": sources,
            "methods": methods,
        }
        path = tmp_path / "study.yaml"
        path.write_text(json.dumps(content), encoding="utf-8")
        return load_study(path)

    return made


def test_the_check_warns_of_tasks_that_give_test_items_away(study, tmp_path, capsys):
    from moco.cli import main

    problems = [
        problem for problem in machine_problems(study({"control_best_single": {}}), tmp_path) if problem.warning
    ]
    assert [(problem.key, problem.what.split(",")[0]) for problem in problems] == [
        ("tasks.first", "dev or train of second hold 1 of its test items"),
        ("tasks.second", "dev or train of first hold 2 of its test items"),
    ]
    assert main(["check", str(tmp_path / "study.yaml"), "--results", str(tmp_path / "r")]) == 0
    said = capsys.readouterr()
    assert said.err.count("warning: ") == 2
    assert "is ready" in said.out
    assert not any(problem.warning for problem in machine_problems(study({}), tmp_path))


def test_the_table_needs_prepared_tasks_only(study):
    plan = Plan(study({"control_best_single": {}}))

    class Wildcards:
        table = "data_quality"

    inputs = plan.tabulate.inputs(Wildcards())
    assert {path.split("/")[1] for path in inputs} == {"tasks"}
    assert {path.split("/")[2] for path in inputs} == {"first", "second"}
    assert "<results>/tasks/first/dropped.parquet" in inputs
    Wildcards.table = "moco_main"
    assert plan.tabulate.inputs(Wildcards()) == [
        f"<results>/analysis/benchmark/{name}.parquet"
        for name in ("scores", "costs", "replies", "students", "curves", "jobs_perf")
    ]
