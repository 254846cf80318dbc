import csv
import subprocess
import sys

import pytest

from moco.analysis.statistics import Interval
from moco.analysis.tables import TABLES, make_table, write_table
from moco.errors import RequestError

COSTS = ("tokens/item", "GFLOPs/item", "loads", "fit GFLOPs")


def main_table(study):
    """Return rows of the main table by (pool, system), each a dict by column."""
    table = make_table("moco_main", study.spec, study.results)
    return table, {row[:2]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


@pytest.fixture(scope="module")
def zoo_table(shared_zoo):
    return main_table(shared_zoo)


def means(row):
    return {name: cell.mean if isinstance(cell, Interval) else cell for name, cell in row.items()}


def test_rows_and_columns_stand_in_order(zoo_table):
    table, _ = zoo_table
    assert table.columns[3:] == (
        "sums",
        "words",
        "rhymes",
        "chat",
        "average over tasks",
        "average over domains",
        *COSTS,
    )
    assert [row[:3] for row in table.rows] == [
        ("zoo", "add", "single"),
        ("zoo", "recall", "single"),
        ("zoo", "best single (test)", "oracle"),
        ("zoo", "mean single", "single"),
        ("zoo", "route", "api"),
        ("zoo", "debate", "text"),
        ("zoo", "vote", "text"),
        ("zoo", "fuse", "logit"),
        ("zoo", "soup", "weight"),
    ]


@pytest.mark.parametrize(
    ("system", "sums", "words", "rhymes", "chat", "tasks", "domains"),
    [
        ("add", 0.8, 0.0, 0.2, -1.0, 1 / 3, 0.45),
        ("recall", 0.0, 0.4, 0.6, 3.0, 1 / 3, 0.25),
        ("best single (test)", 0.8, 0.4, 0.6, 3.0, 0.6, 0.65),
        # `add` is in the pool twice.
        ("mean single", 1.6 / 3, 0.4 / 3, 1 / 3, 1 / 3, 1 / 3, (1.6 / 3 + 0.7 / 3) / 2),
        ("vote", 1.0, 0.8, 1.0, 5.0, 2.8 / 3, 0.95),
        ("debate", 0.4, 0.2, 0.2, 0.0, 0.8 / 3, 0.3),
    ],
)
def test_means_and_averages(zoo_table, system, sums, words, rhymes, chat, tasks, domains):
    _, rows = zoo_table
    found = list(means(rows["zoo", system]).values())[3:-4]
    assert found == pytest.approx([sums, words, rhymes, chat, tasks, domains])


def test_cells_know_their_items_seeds_and_unit(zoo_table):
    _, rows = zoo_table
    row = rows["zoo", "vote"]
    assert row["sums"] == Interval(1.0, pytest.approx(0.5655, abs=1e-4), 1.0, 5)
    assert (row["words"].n, row["words"].seeds, row["words"].low < 0.8 <= row["words"].high) == (5, 1, True)
    assert (row["chat"].percent, row["sums"].percent) == (False, True)
    assert (row["average over tasks"].n, rows["zoo", "mean single"]["sums"].n) == (15, 5)


def test_failed_and_not_applicable_cells_say_so_and_leave_no_average(zoo_table):
    _, rows = zoo_table
    route, fuse = rows["zoo", "route"], rows["zoo", "fuse"]
    assert route["rhymes"] == "failed: timeout"
    assert (route["average over tasks"], route["average over domains"]) == ("-", "-")
    assert fuse["chat"] == "not applicable: no reference & no options"
    # The reward task is in no average, so that nothing is missing.
    assert fuse["average over tasks"].mean == 1.0


def test_a_task_that_does_not_apply_leaves_no_average(zoo):
    zoo.spec["methods"] = [each for each in zoo.spec["methods"] if (each["variant"], each["task"]) != ("vote", "sums")]
    zoo.not_applicable("zoo", "vote", "sums", "wrong type")
    _, rows = main_table(zoo)
    assert rows["zoo", "vote"]["sums"] == "not applicable: wrong type"
    assert rows["zoo", "vote"]["average over tasks"] == rows["zoo", "vote"]["average over domains"] == "-"
    assert rows["zoo", "vote"]["words"].mean == 0.8


def test_notes_say_what_the_numbers_are(zoo_table):
    table, _ = zoo_table
    text = "\n".join(table.notes)
    for part in ("Scorer: strict", "Seeds: 1 (1)", "Class: exact", "95% percentile bootstrap", "2,000", "oracle"):
        assert part in text
    assert "in no average, because the scores are no accuracies: chat." in text
    assert "copies counted" in text
    assert "overage" not in text


def test_coverage_gate(study):
    study.task("t")
    study.spec["pools"] = {"p": ["a"]}
    study.single("a", "t", [1, 0, "invalid", 1, 1])
    study.method("p", "m", "text", "t", [1, 0, "invalid", "failed x", 1])
    assert main_table(study)[1]["p", "m"]["t"] == "failed: x"
    study.spec["min_coverage"] = 0.75
    table, rows = main_table(study)
    assert (rows["p", "m"]["t"].mean, rows["p", "m"]["t"].n) == (2 / 3, 3)
    assert "Coverage: a number needs 75.0% of the valid items answered." in table.notes
    assert "Numbers over answered items only, with their coverage: p/m/t 75.0%." in table.notes
    study.spec["min_coverage"] = 0.76
    assert main_table(study)[1]["p", "m"]["t"] == "failed: x"


def test_without_valid_items_there_is_no_number_even_at_coverage_zero(study):
    study.task("t")
    study.spec["pools"] = {"p": ["a"]}
    study.spec["min_coverage"] = 0.0
    study.single("a", "t", ["invalid", "invalid"])
    study.method("p", "m", "text", "t", ["failed x", "invalid"])
    _, rows = main_table(study)
    assert (rows["p", "a"]["t"], rows["p", "m"]["t"]) == ("failed: no valid items", "failed: x")


def test_best_and_mean_single_need_every_model(zoo):
    zoo.single("other", "sums", ["failed x"] * 5)
    zoo.spec["pools"] = {"zoo": ["add", "recall", "other"]}
    _, rows = main_table(zoo)
    assert rows["zoo", "best single (test)"]["sums"] == rows["zoo", "mean single"]["sums"] == "-"
    assert rows["zoo", "other"]["words"] == "not compared"


def test_pools_with_tasks_of_their_own(study):
    for task in ("t", "u"):
        study.task(task)
        study.single("a", task, [1, 0])
    study.spec["pools"] = {"p": ["a"], "q": ["a"]}
    study.method("p", "m", "text", "t", [1, 1])
    study.method("q", "m", "text", "u", [0, 0])
    _, rows = main_table(study)
    assert {name: value for name, value in means(rows["p", "m"]).items() if name not in COSTS} | {"level": ""} == {
        "pool": "p", "system": "m", "level": "", "t": 1.0, "u": "not compared", "average over tasks": 1.0
    }  # fmt: skip
    assert rows["q", "m"]["average over tasks"].mean == 0.0
    assert rows["q", "a"]["t"] == "not compared"


def test_only_tasks_without_accuracies_have_no_average(study):
    study.task("chat", type="reward_model")
    study.spec["pools"] = {"p": ["a"]}
    study.single("a", "chat", [1, 2])
    table, rows = main_table(study)
    assert table.columns == ("pool", "system", "level", "chat", *COSTS)
    assert rows["p", "a"]["chat"].mean == 1.5


def test_written_files(zoo):
    write_table("moco_main", zoo.spec, zoo.results)
    folder = zoo.results / "tables"
    assert sorted(path.name for path in folder.iterdir()) == ["moco_main.csv", "moco_main.md", "moco_main.tex"]
    with (folder / "moco_main.csv").open(newline="") as stream:
        rows = {row["system"]: row for row in csv.DictReader(stream)}
    assert float(rows["vote"]["words_mean"]) == 0.8
    assert (rows["vote"]["words_n"], rows["vote"]["words_seeds"]) == ("5", "1")
    assert (rows["route"]["rhymes_mean"], rows["route"]["rhymes_text"]) == ("", "failed: timeout")
    assert "| zoo | vote | text | 100.0 [56.6, 100.0] n=5 | 80.0 [" in (folder / "moco_main.md").read_text()
    assert r"not applicable: no reference \& no options" in (folder / "moco_main.tex").read_text()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_table("moco_main", zoo.spec, zoo.results)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_order_of_the_plan_has_no_effect_on_numbers(zoo):
    _, before = main_table(zoo)
    zoo.spec["methods"].reverse()
    zoo.spec["singles"].reverse()
    assert main_table(zoo)[1] == before


def test_unknown_table_suggests_a_name(zoo, plan):
    with pytest.raises(RequestError, match="did you mean moco_main"):
        write_table("moco_mian", zoo.spec, zoo.results)
    assert set(plan.tables) == {*TABLES} - {"moco_measures"}  # whose task types the study has not


def test_tables_and_figure_names_load_neither_matplotlib_nor_torch():
    code = (
        "import sys, moco.analysis.tables, moco.analysis.figures, moco.analysis.report\n"
        "print(*(name for name in ('matplotlib', 'torch') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_what_no_rule_scores_is_not_scored_and_no_zero(study):
    study.task("sums")
    study.task("prose", type="text_generation")
    study.spec["pools"] = {"p": ["a", "b"]}
    for model, scores in (("a", [1, 0]), ("b", [0, 0])):
        study.single(model, "sums", scores)
        study.single(model, "prose", ["unscored", "unscored"])
    study.method("p", "vote", "text", "sums", [1, 1])
    study.method("p", "vote", "text", "prose", ["unscored", "unscored"])
    table, rows = main_table(study)
    assert [rows["p", name]["prose"] for name in ("a", "vote")] == ["not scored"] * 2
    assert means(rows["p", "vote"])["average over tasks"] == 1
    assert any("'not scored'" in note for note in table.notes)
    study.single("c", "prose", ["unscored", "failed gone"])
    study.spec["pools"] = {"p": ["c"]}
    assert main_table(study)[1]["p", "c"]["prose"] == "failed: gone"


def test_negative_rewards_are_shown_in_their_own_unit_and_in_no_average(study):
    study.task("chat", type="reward_model")
    study.task("sums")
    study.spec["pools"] = {"p": ["a"]}
    study.single("a", "chat", [-7.5, -2.5])
    study.single("a", "sums", [1, 0])
    study.method("p", "vote", "text", "chat", [3.5, 8.5])
    study.method("p", "vote", "text", "sums", [1, 0])
    _, rows = main_table(study)
    cell = rows["p", "vote"]["chat"]
    assert (cell.mean, cell.percent) == (6.0, False)
    assert means(rows["p", "a"])["chat"] == -5.0
    assert means(rows["p", "vote"])["average over tasks"] == 0.5
