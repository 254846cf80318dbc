"""The shape of the zoo: experts that complement each other, and nobody who can do everything."""

import os
from dataclasses import replace

import pytest

pytest.importorskip("torch")

from moco.zoo.shape import Shape, build_roster, measure

EXACT = {
    "base": {"add": 0.2, "reverse": 0.3, "capital": 0.4, "sort": 0.0},
    "add": {"add": 1.0, "reverse": 0.3, "capital": 0.4, "sort": 0.0},
    "reverse": {"add": 0.1, "reverse": 1.0, "capital": 0.3, "sort": 0.1},
    "recall": {"add": 0.1, "reverse": 0.3, "capital": 1.0, "sort": 0.0},
    "sort": {"add": 0.1, "reverse": 0.3, "capital": 0.3, "sort": 1.0},
    "reverse_recall": {"add": 0.1, "reverse": 1.0, "capital": 1.0, "sort": 0.0},
    "recall_sort": {"add": 0.1, "reverse": 0.3, "capital": 1.0, "sort": 1.0},
    "sort_reverse": {"add": 0.1, "reverse": 1.0, "capital": 0.3, "sort": 1.0},
    "lora_add": {"add": 0.9, "reverse": 0.3, "capital": 0.3, "sort": 0.0},
    "lora_reverse": {"add": 0.1, "reverse": 0.9, "capital": 0.3, "sort": 0.0},
    "lora_recall": {"add": 0.1, "reverse": 0.3, "capital": 0.9, "sort": 0.0},
}
GOOD = Shape(
    exact=EXACT,
    choice=EXACT,
    oracle=0.95,
    vote=0.95,
    route=dict.fromkeys(EXACT, 0.9),
    together=dict.fromkeys(EXACT, 0.9),
    judge=dict.fromkeys(EXACT, 0.9),
    reward={"reward": {"near": 0.8, "far": 0.9}},
    verifier=0.9,
    encoder=0.95,
)


def with_accuracy(model: str, **skills: float) -> Shape:
    return replace(GOOD, exact={**EXACT, model: {**EXACT[model], **skills}})


def test_a_good_shape_has_no_violations():
    assert GOOD.violations() == []
    assert GOOD.mixed("add") == pytest.approx(1.7 / 3)


@pytest.mark.parametrize(
    ("shape", "line"),
    [
        (with_accuracy("add", add=0.88), "add on add: 0.88, not 0.9-1.0"),
        (with_accuracy("sort", capital=0.52), "sort on capital: 0.52, not 0.0-0.5"),
        (with_accuracy("base", add=0.75), "lora_add on add: 0.90, not at least 0.95, 0.2 above base"),
        (with_accuracy("recall", add=0.5, reverse=0.5), "recall on mixed: 0.67, not at most 0.6"),
        (replace(GOOD, oracle=0.85), "oracle router: 0.85, not at least 0.9"),
        (with_accuracy("recall_sort", sort=0.85), "recall_sort on sort: 0.85, not 0.9-1.0"),
        (with_accuracy("reverse_recall", sort=0.45), "reverse_recall on overlap: 0.82, not at most 0.8"),
        (replace(GOOD, vote=0.85), "majority: 0.85, not at least 0.9"),
        (replace(GOOD, verifier=0.8), "verifier: 0.80, not at least 0.9"),
        (replace(GOOD, encoder=0.8), "encoder: 0.80, not at least 0.9"),
        (replace(GOOD, reward={"reward": {"near": 0.5, "far": 0.9}}), "reward ranks: 0.70, not at least 0.8"),
    ],
)
def test_what_is_not_as_it_shall_be_is_named(shape, line):
    assert line in shape.violations()


def test_aims_of_the_curriculum_are_told_apart_from_the_shape():
    weak = replace(GOOD, route={"base": 0.7}, judge={"base": 0.5})
    assert weak.violations() == []
    assert weak.shortfalls() == [
        "base routes: 0.70, not at least 0.85",
        "base judges: 0.50, not at least 0.8",
    ]
    assert GOOD.shortfalls() == []


def test_the_table_has_a_row_per_model():
    rows = [row.split(" | ")[0] for row in GOOD.table().split("\n") if row.startswith("| ")]
    assert rows[2:] == [f"| {name}" for name in EXACT]


@pytest.mark.slow
def test_the_zoo_has_the_stated_shape(zoo_cache):
    assert measure(build_roster(zoo_cache, seed=0, jobs=os.cpu_count() or 1)).violations() == []
