"""Expectations of the page of evidence, with numbers worked out by hand."""

import json

import pytest
from support.studies import Study, cost

from moco import paths
from moco.analysis.comparison import Comparison
from moco.analysis.evidence import page
from moco.analysis.expectation import Expectation
from moco.analysis.expectations import (
    above_best_single,
    above_random,
    cascade_curve,
    expectations,
    ranked_right,
)
from moco.analysis.statistics import Interval
from moco.records import ANSWERS, Provenance, write_rows

FIRST = [1.0, 0.0, 0.0, 0.0] * 10
SECOND = [1.0, 1.0, 1.0, 0.0] * 10


@pytest.fixture
def ladder(tmp_path):
    """A pool of two models, with cascades that send half and a quarter of the items on to the second."""
    study = Study(tmp_path)
    study.task("mixed")
    study.spec["pools"] = {"ladder": ["small", "large"]}
    study.single("small", "mixed", FIRST)
    study.single("large", "mixed", SECOND)
    for variant, scores, sent in (
        ("half", [1.0, 1.0, 1.0, 0.0] * 10, 20),
        ("quarter", [1.0, 1.0, 0.0, 0.0] * 10, 10),
    ):
        costs = [cost(model="small", calls=40), cost(model="large", calls=sent)]
        study.method("ladder", variant, "api", "mixed", scores, costs=costs, method="api_cascade")
    return study


def found(study, pool, task="mixed"):
    return {each.what: each for each in expectations(Comparison(study.spec, study.results), study.results, pool, task)}


def test_a_curve_is_compared_with_sending_as_many_items_on_at_random(ladder):
    quarter, half = cascade_curve(Comparison(ladder.spec, ladder.results), "ladder", "mixed")
    assert (quarter.variant, quarter.calls, half.variant, half.calls) == ("quarter", 0.25, "half", 0.5)
    # Alone they score 0.25 and 0.75: at random 0.375 and 0.5 are to be had.
    assert quarter.gain.mean == pytest.approx(0.5 - 0.375)
    assert half.gain.mean == pytest.approx(0.75 - 0.5)
    assert (quarter.share.mean, half.share.mean) == (pytest.approx(2 / 3), pytest.approx(1))
    # Equal scores of the same items: their ratio does not vary.
    assert (half.share.low, half.share.high) == (1, 1)
    assert quarter.share.low < 2 / 3 < quarter.share.high


def test_a_cascade_is_expected_to_reach_enough_with_fewer_calls_and_to_lie_above_random_deferral(ladder):
    enough, above = found(ladder, "ladder").values()
    assert "half reaches 95% of the second model's score with at most 60% of its calls" in enough.what
    assert (enough.found.mean, enough.limit) == (1, 0.95)
    assert above.what == "the curve of 2 cascades lies above random deferral"
    assert above.found.mean == pytest.approx((0.125 + 0.25) / 2)
    assert above.limit == 0
    assert above.verdict == "holds with its whole interval"


def test_a_point_with_too_many_calls_does_not_count(ladder):
    costs = [cost(model="small", calls=40), cost(model="large", calls=25)]
    ladder.method("ladder", "more", "api", "mixed", SECOND, costs=costs, method="api_cascade")
    ladder.spec["methods"] = [each for each in ladder.spec["methods"] if each["variant"] != "half"]
    enough, _ = found(ladder, "ladder").values()
    assert "quarter" in enough.what
    assert enough.verdict == "does not hold"


def test_a_pool_of_three_has_no_curve(ladder):
    ladder.spec["pools"]["ladder"] = ["small", "large", "small"]
    assert cascade_curve(Comparison(ladder.spec, ladder.results), "ladder", "mixed") == []


def test_routers_are_measured_by_the_oracle_router(tmp_path):
    study = Study(tmp_path)
    study.task("mixed")
    study.spec["pools"] = {"pair": ["a", "b"]}
    study.single("a", "mixed", [1.0, 0.0, 0.0, 0.0] * 10)
    study.single("b", "mixed", [0.0, 1.0, 0.0, 1.0] * 10)
    study.method("pair", "tuned", "api", "mixed", [1.0, 1.0, 0.0, 1.0] * 9 + [0.0] * 4, method="api_trained_router")
    study.method("pair", "other", "api", "mixed", [0.0] * 40, method="api_nudging")
    [(what, each)] = found(study, "pair").items()
    assert what == "tuned reaches 90% of the oracle router's score"
    assert each.found.mean == pytest.approx(27 / 30)
    assert each.limit == 0.9


@pytest.mark.parametrize(
    ("low", "mean", "verdict"),
    [
        (0.76, 0.8, "holds with its whole interval"),
        (0.7, 0.8, "holds in the mean"),
        (0.7, 0.75, "holds in the mean"),
        (0.6, 0.74, "does not hold"),
    ],
)
def test_verdicts(low, mean, verdict):
    assert Expectation("x", Interval(mean, low, 0.9, 10), 0.75).verdict == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.2, "holds with its whole interval"),
        (-0.1, 0.2, "not separable"),
        (0.0, 0.0, "not separable"),
        (-0.3, -0.1, "does not hold"),
    ],
)
def test_a_gain_holds_with_its_whole_interval_only(low, high, verdict):
    assert Expectation("x", Interval((low + high) / 2, low, high, 10), 0.0, is_gain=True).verdict == verdict


def judged(study, seed, verdicts):
    """Let variant `blend` have these winners for the three pairs of each item."""
    pairs = [[0, 1], [0, 2], [1, 2]]
    rows = []
    for number, winners in enumerate(verdicts):
        told = [{"pair": pair, "winner": winner} for pair, winner in zip(pairs, winners, strict=True)]
        row = {**dict.fromkeys(ANSWERS.columns.names), "task": "mixed", "uid": f"mixed/test/{number}", "answer": 0}
        row |= {
            "status": "ok",
            "text": "",
            "has_extracted": False,
            "models": [],
            "record_json": json.dumps({"verdicts": told}),
        }
        rows.append(row)
    path = study.folder / paths.answers("three", "mixed", "blend", seed, "test")
    write_rows(path, ANSWERS, rows, Provenance("answer"))


@pytest.fixture
def ranked(tmp_path):
    study = Study(tmp_path)
    study.task("mixed")
    study.spec |= {"pools": {"three": ["a", "b", "c"]}, "seeds": [1, 2]}
    study.single("a", "mixed", [1.0, 1.0, 0.0], [0.0, 1.0, 0.0])
    study.single("b", "mixed", [0.0, 1.0, 0.0], [1.0, 1.0, 0.0])
    study.single("c", "mixed", [0.0, 1.0, 1.0], [0.0, 1.0, 1.0])
    study.method("three", "blend", "text", "mixed", [0.0] * 3, [0.0] * 3, method="text_llm_blender")
    # Item 0: in seed 1 a is better than both others, in seed 2 b is. Item 1 tells nothing. Item 2: c is better.
    judged(study, 1, [[0, 2, 1], [0, 0, 1], [0, 2, None]])
    judged(study, 2, [[1, 0, 1], [0, 0, 1], [0, 2, 2]])
    return study


def test_a_ranker_is_right_where_it_names_the_better_answer_of_its_seed(ranked):
    study = ranked
    measured = ranked_right(Comparison(study.spec, study.results), study.results, "three", "blend", "mixed")
    # Item 0: a over b yes, a over c no; b over a yes, b over c yes. Item 2: c over a yes, b undecided; twice yes.
    assert measured.mean == pytest.approx((3 / 4 + 3.5 / 4) / 2)
    assert (measured.n, measured.seeds) == (2, 2)
    [what] = found(study, "three")
    assert what.startswith("the untuned ranker of blend")
    (study.results / paths.fit_folder("three", "mixed", "blend", 1) / "mixed/models/ranker").mkdir(parents=True)
    [what] = found(study, "three")
    assert what.startswith("the tuned ranker of blend")


def test_the_page_has_the_curve_and_what_was_expected(ladder, ranked):
    text = page(ladder.spec, ladder.results)
    assert "| quarter | 25.0 | 50.0 [" in text
    assert "| half | 50.0 | 75.0 [" in text
    assert "| the curve of 2 cascades lies above random deferral | 18.8 [" in text
    assert "| 0.0 | holds with its whole interval |" in text
    assert "curve" not in page(ranked.spec, ranked.results)


def test_a_text_method_counts_where_it_gains_most_over_random_choice(tmp_path):
    study = Study(tmp_path)
    study.spec["pools"] = {"pair": ["a", "b"], "half": ["a", "c"]}
    for task in ("one", "two"):
        study.task(task)
        study.single("a", task, [1.0, 0.0, 1.0, 0.0] * 10)
        study.single("b", task, [0.0, 0.0, 1.0, 0.0] * 10)
    # A member drawn at random has 0.5, 0, 1, 0 of four items: 0.375 on average.
    study.method("pair", "plain", "text", "one", [1.0, 0.0, 1.0, 0.0] * 10, method="text_x")
    study.method("pair", "better", "text", "two", [1.0, 0.0, 1.0, 1.0] * 10, method="text_x")
    study.method("half", "best", "text", "two", [1.0] * 40, method="text_x")  # nobody knows what c replies
    study.method("pair", "worse", "text", "one", [0.0] * 40, method="text_y")
    study.method("pair", "router", "api", "one", [1.0] * 40, method="api_z")
    comparison = Comparison(study.spec, study.results)
    good, bad = above_random(comparison)
    # Routers are no text methods.
    assert good.what == "text_x beats random choice somewhere: better with pair on two"
    assert good.found.mean == pytest.approx(0.75 - 0.375)
    assert good.verdict == "holds with its whole interval"
    assert bad.what.startswith("text_y")
    assert (bad.found.mean, bad.verdict) == (pytest.approx(-0.375), "does not hold")
    assert "## Text methods and random choice" in page(study.spec, study.results)


def test_a_text_method_counts_where_it_gains_most_over_the_best_single_model(tmp_path):
    study = Study(tmp_path)
    study.spec["pools"] = {"pair": ["a", "b"]}
    study.task("one")
    for model in ("a", "b"):
        study.single(model, "one", [1.0, 0.0] * 20)
    study.method("pair", "good", "text", "one", [1.0, 0.0, 1.0, 1.0] * 10, method="text_x")
    study.method("pair", "best", "text", "one", [1.0] * 40, method="text_x")
    study.method("pair", "worse", "text", "one", [0.0] * 40, method="text_y")
    better, worse = above_best_single(Comparison(study.spec, study.results))
    assert better.what == "text_x beats the best single model somewhere: best with pair on one"
    assert better.found.mean == pytest.approx(0.5)
    assert (worse.found.mean, worse.verdict) == (-0.5, "does not hold")
    text = page(study.spec, study.results)
    assert "**1 text methods are above the best single model somewhere" in text


def test_tuned_methods_shall_not_make_things_worse(tmp_path):
    study = Study(tmp_path)
    study.task("one")
    study.spec["pools"] = {"pair": ["a", "b"]}
    for model in ("a", "b"):
        study.single(model, "one", [1.0, 0.0] * 100)
    study.method("pair", "same", "text", "one", [1.0, 0.0] * 100, method="text_sparta")
    study.method("pair", "less", "text", "one", [1.0, 0.0, 0.0, 0.0] * 50, method="text_multiagent_finetuning")
    expected = found(study, "pair", "one")
    same, less = (expected[f"{name} is not below the best single model"] for name in ("same", "less"))
    assert (same.limit, same.found.mean, same.verdict) == (-0.03, 0.0, "holds with its whole interval")
    assert (less.found.mean, less.verdict) == (-0.25, "does not hold")
