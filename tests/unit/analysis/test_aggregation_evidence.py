"""Aggregation where the vote is wrong, with numbers worked out by hand."""

import pytest
from support.studies import Study

from moco import paths
from moco.analysis.aggregation import where_the_vote_is_wrong
from moco.analysis.comparison import Comparison
from moco.analysis.expectations import expectations
from moco.records import write_json

# Some member is right and the vote is wrong: under seed 1 on items 0, 1 and 2, under seed 2 on item 0 alone.
MEMBERS = {"a": ([1, 0, 0, 1, 0, 1], [1, 0, 0, 1, 0, 1]), "b": ([0, 1, 1, 1, 0, 1], [0, 0, 0, 1, 0, 1])}
VOTE = ([0, 0, 0, 1, 0, 1], [0, 0, 0, 1, 0, 1])
LEARNT = ([1, 1, 0, 1, 0, 0], [0, 1, 1, 1, 0, 1])
UNTRAINED = ([0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0])


@pytest.fixture
def aggregated(tmp_path):
    study = Study(tmp_path)
    study.task("mixed")
    study.spec["seeds"] = [1, 2]
    study.spec["pools"] = {"p": ["a", "b"]}
    for model, seeds in MEMBERS.items():
        study.single(model, "mixed", *seeds)
    study.method("p", "vote", "text", "mixed", *VOTE, method="text_majority_vote")
    for variant, seeds, steps in (("learnt", LEARNT, 60), ("before", UNTRAINED, 0)):
        study.method("p", variant, "text", "mixed", *seeds, method="text_agglm")
        folder = tmp_path / paths.fit_folder("p", "mixed", variant, 1) / "mixed" / "models" / "aggregate"
        write_json(folder / "training.json", {"steps": steps})
    return study


def test_only_cases_with_a_right_member_and_a_wrong_vote_count(aggregated):
    comparison = Comparison(aggregated.spec, aggregated.results)

    def found(variant):
        return where_the_vote_is_wrong(comparison, aggregated.results, "p", variant, "mixed", "vote")

    # Item 0: 1 and 0 under its two seeds; items 1 and 2 under the first seed alone: 1 and 0.
    assert (found("learnt").mean, found("learnt").n) == (pytest.approx((0.5 + 1 + 0) / 3), 3)
    assert found("before").mean == 0
    assert found("vote").mean == 0


def test_copies_and_votes_that_are_never_wrong_have_no_such_cases(aggregated):
    comparison = Comparison(aggregated.spec, aggregated.results)
    assert where_the_vote_is_wrong(comparison, aggregated.results, "p", "vote", "mixed", "learnt") is not None
    right = [[1] * 6, [1] * 6]
    aggregated.method("p", "always", "text", "mixed", *right, method="text_majority_vote")
    comparison = Comparison(aggregated.spec, aggregated.results)
    assert where_the_vote_is_wrong(comparison, aggregated.results, "p", "learnt", "mixed", "always") is None
    aggregated.spec["pools"] = {"p": ["a", "a"]}
    comparison = Comparison(aggregated.spec, aggregated.results)
    assert where_the_vote_is_wrong(comparison, aggregated.results, "p", "learnt", "mixed", "vote") is None


def test_what_was_trained_is_measured_by_the_vote_and_by_what_it_was_before(aggregated):
    # The best single model is `a`, with 3 of 6 items.
    aggregated.method("p", "duels", "text", "mixed", *VOTE, method="text_sparta")
    comparison = Comparison(aggregated.spec, aggregated.results)
    found = {each.what: each for each in expectations(comparison, aggregated.results, "p", "mixed")}
    assert {what: each.limit for what, each in found.items()} == {
        "learnt is right where some member is right and vote is wrong": 0.3,
        "learnt is not below vote": -0.03,
        "learnt is above before": 0.0,
        "duels is not below the best single model": -0.03,
    }
    # By item, means over seeds: learnt 0.5, 1, 0.5, 1, 0, 0.5; vote 0, 0, 0, 1, 0, 1; before 0, 0, 0, 0.5, 0, 0.
    assert found["learnt is not below vote"].found.mean == pytest.approx((3.5 - 2) / 6)
    assert found["learnt is above before"].found.mean == pytest.approx((3.5 - 0.5) / 6)
    assert found["duels is not below the best single model"].found.mean == pytest.approx((2 - 3) / 6)
