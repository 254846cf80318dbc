"""The table of scorers: the same answers under two rule sets."""

import csv

import pytest

from moco.analysis.report import write_report
from moco.analysis.tables import make_table, tables_of, write_table


@pytest.fixture
def scored_twice(study):
    study.task("sums")
    study.task("chat", type="reward_model")
    study.spec["pools"] = {"zoo": ["add"]}
    study.single("add", "sums", [1, 0, 1, "invalid", "unparsed"])
    study.single("add", "chat", [-2.0, 4.0])
    study.method("zoo", "vote", "text", "sums", [1, 1, "failed killed"])
    study.method("zoo", "soup", "weight", "sums", [1, 1, 0, 0], [1, 0, 0, 0])
    study.rescored("", "add", "sums", [0, 0, 1, 1, 1])
    study.rescored("", "add", "chat", [-2.0, 4.5])
    study.rescored("zoo", "vote", "sums", [1, 1, "failed killed"])
    study.rescored("zoo", "soup", "sums", ["unparsed", 1, 0, 0], [1, "unparsed", 0, "unparsed"])
    return study


def rows_of(study):
    table = make_table("scorer_difference", study.spec, study.results)
    return table, {row[1:4:2]: dict(zip(table.columns[4:], row[4:], strict=True)) for row in table.rows}


def test_rows_are_singles_and_then_methods(scored_twice):
    table, _ = rows_of(scored_twice)
    assert [row[:5] for row in table.rows] == [
        ("-", "add", "single", "sums", "paper"),
        ("-", "add", "single", "chat", "paper"),
        ("zoo", "vote", "text", "sums", "paper"),
        ("zoo", "soup", "weight", "sums", "paper"),
    ]
    assert table.columns[5:] == (
        "mean (strict)",
        "mean (compared)",
        "difference",
        "items that differ",
        "parsed (strict)",
        "parsed (compared)",
        "invalid (strict)",
        "invalid (compared)",
    )


def test_only_items_scored_under_both_count(scored_twice):
    row = rows_of(scored_twice)[1]["add", "sums"]
    assert (row["mean (strict)"].mean, row["mean (strict)"].n) == (0.5, 4)
    assert (row["mean (compared)"].mean, row["mean (compared)"].n) == (0.5, 4)
    assert row["difference"].mean == 0
    assert row["difference"].low < 0 < row["difference"].high
    assert row["items that differ"] == 0.5
    assert (row["parsed (strict)"], row["parsed (compared)"]) == (0.75, 1.0)
    assert (row["invalid (strict)"], row["invalid (compared)"]) == (1, 0)


def test_every_further_rule_set_has_rows_of_its_own(study):
    study.task("sums")
    study.spec["pools"] = {"zoo": ["add"]}
    study.single("add", "sums", [1, 0, 1])
    study.rescored("", "add", "sums", [0, 0, 1])
    study.rescored("", "add", "sums", [1, "invalid", 0], rules="paper-1.1")
    assert study.spec["also_score"] == ["paper", "paper-1.1"]
    table = make_table("scorer_difference", study.spec, study.results)
    assert [(row[4], row[6].mean, row[6].n, row[-1]) for row in table.rows] == [
        ("paper", pytest.approx(1 / 3), 3, 0),
        ("paper-1.1", 0.5, 2, 1),
    ]


def test_scores_are_means_over_seeds_and_the_difference_has_a_sign(scored_twice):
    row = rows_of(scored_twice)[1]["soup", "sums"]
    assert (row["mean (strict)"].mean, row["mean (compared)"].mean) == (0.375, 0.25)
    assert (row["difference"].mean, row["difference"].seeds, row["items that differ"]) == (-0.125, 2, 0.25)
    assert (row["parsed (strict)"], row["parsed (compared)"]) == (1.0, 5 / 8)


def test_scores_that_are_no_accuracies_keep_their_unit(scored_twice):
    row = rows_of(scored_twice)[1]["add", "chat"]
    assert (row["difference"].mean, row["difference"].percent) == (0.25, False)


def test_failed_results_say_so(scored_twice):
    row = rows_of(scored_twice)[1]["vote", "sums"]
    assert (row["mean (strict)"], row["mean (compared)"], row["difference"]) == (
        "failed: killed",
        "failed: killed",
        "-",
    )


def test_the_caption_says_that_only_the_scoring_differs(scored_twice):
    table, _ = rows_of(scored_twice)
    assert "same answers" in table.notes[0]
    assert "only the rules" in table.notes[0]


def test_a_study_with_one_rule_set_has_no_such_table(shared_zoo, scored_twice):
    assert "scorer_difference" in tables_of(scored_twice.spec)
    assert "scorer_difference" not in tables_of(shared_zoo.spec)


def test_file_and_report(scored_twice):
    write_table("scorer_difference", scored_twice.spec, scored_twice.results)
    with (scored_twice.folder / "tables/scorer_difference.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert (rows[0]["items that differ"], rows[0]["difference_mean"]) == ("0.5", "0.0")
    path = scored_twice.results / "report.html"
    write_report(scored_twice.spec, scored_twice.results, path, {})
    assert "scores under other rules" in path.read_text()
