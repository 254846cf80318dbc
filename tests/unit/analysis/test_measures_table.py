"""Measures within tasks of which one score does not say all."""

import json

import pytest

from moco import paths
from moco.analysis.tables import make_table, tables_of
from moco.records import SCORES, Provenance, read_rows, write_rows


def with_details(study, task, details):
    """Give the items of the only single model details of their own."""
    path = study.folder / paths.scores("strict", paths.generation("add", task, "test", 1, "s0"))
    rows = read_rows(path, SCORES)
    for row, of_item in zip(rows, details, strict=True):
        row["details_json"] = json.dumps(of_item)
    write_rows(path, SCORES, rows, Provenance("score"))


def means(study):
    table = make_table("moco_measures", study.spec, study.results)
    return {row[4]: (row[5].mean, row[5].n) for row in table.rows}


def test_accuracy_by_prompt_and_by_instruction(study):
    study.task("follow", type="ifeval")
    study.single("add", "follow", [1, 0, 0, "invalid"])
    counts = [(1, 1, 1, 1), (3, 2, 1, 3), (2, 0, 0, 1)]
    names = ("instructions", "followed", "loose", "followed_loose")
    with_details(study, "follow", [*(dict(zip(names, each, strict=True)) for each in counts), {}])
    assert means(study) == {
        "prompt level": (pytest.approx(1 / 3), 3),
        "instruction level": (pytest.approx(3 / 6), 3),
        "prompt level, loose": (pytest.approx(2 / 3), 3),
        "instruction level, loose": (pytest.approx(5 / 6), 3),
    }


def test_the_original_rules_have_a_share_of_instructions(study):
    study.task("follow", type="ifeval")
    study.single("add", "follow", [1, 0.5])
    with_details(study, "follow", [{"instructions": 1, "followed": 1}, {"instructions": 2, "followed": 1}])
    assert means(study) == {"share of instructions": (0.75, 2)}


def test_the_two_kinds_of_items_of_drug_design_are_never_averaged(study):
    study.task("drugs", type="smdd")
    study.spec["pools"] = {"zoo": ["add"]}
    study.single("add", "drugs", [0.5, 0.7, 1])
    details = [{"pharmacophore": 0.5}, {"pharmacophore": 0.7}, {"lead_opt_constraints": 1, "broken": "x"}]
    with_details(study, "drugs", details)
    assert means(study) == {
        "pharmacophore": (pytest.approx(0.6), 2),
        "lead optimisation, constraints only": (1.0, 1),
    }
    main = make_table("moco_main", study.spec, study.results)
    cells = [row[main.columns.index("drugs")] for row in main.rows]
    assert cells[0] == "see moco_measures"
    assert not [cell for cell in cells if not isinstance(cell, str)]
    assert "average over tasks" not in main.columns


def test_only_studies_with_such_tasks_have_the_table(study):
    study.task("sums")
    assert "moco_measures" not in tables_of(study.spec)
    study.task("follow", type="ifeval")
    assert "moco_measures" in tables_of(study.spec)
