"""Claims of the page of evidence are those that the scores allow, and no others."""

import pytest
from support.studies import Study

from moco.analysis.comparison import Comparison
from moco.analysis.evidence import claims, methods_above, page


@pytest.fixture
def compared(tmp_path):
    study = Study(tmp_path)
    study.task("mixed")
    study.spec["pools"] = {"experts": ["a", "b"]}
    half = [1.0, 0.0] * 20
    study.single("a", "mixed", half)
    study.single("b", "mixed", [0.0, 1.0] * 18 + [0.0, 0.0] * 2)
    for variant, level, method, scores in (
        ("all-right", "text", "text_one", [1.0] * 40),
        ("all-right-too", "text", "text_one", [1.0] * 39 + [0.0]),
        ("same", "weight", "weight_two", half),
        ("a-bit-better", "api", "api_three", [*half[:-1], 1.0]),
        ("worse", "logit", "logit_four", [0.0] * 40),
        ("control", "control", "control_five", [1.0] * 40),
    ):
        study.method("experts", variant, level, "mixed", scores, method=method)
    return study


def test_a_method_is_above_when_its_whole_interval_is(compared):
    found = {claim.variant: claim for claim in claims(Comparison(compared.spec, compared.results), "experts", "mixed")}
    assert {name: claim.sign for name, claim in found.items()} == {
        "all-right": 1,
        "all-right-too": 1,
        "same": 0,
        "a-bit-better": 0,
        "worse": -1,
        "control": 1,
    }
    assert found["same"].gain.mean == 0
    assert found["all-right"].gain.mean == 0.5


def test_controls_do_not_count_and_variants_count_once(compared):
    assert methods_above(claims(Comparison(compared.spec, compared.results), "experts", "mixed")) == ["text_one"]


def test_the_oracle_router_takes_the_best_member_of_every_item(compared):
    oracle = Comparison(compared.spec, compared.results).oracle_router("experts", "mixed")
    assert oracle.estimate.mean == pytest.approx(38 / 40)


def test_the_page_says_what_was_found(compared):
    text = page(compared.spec, compared.results, "## The models\n\nTiny.")
    assert "**1 methods are above the best single model with their whole interval: `text_one`.**" in text
    assert "| worse | logit | 0.0 [0.0, 8.8] n=40 | -50.0 [" in text
    assert text.endswith("## The models\n\nTiny.\n")


def test_methods_that_no_block_compares_on_a_task_are_not_listed(compared):
    compared.task("other")
    for model in ("a", "b"):
        compared.single(model, "other", [1.0, 0.0])
    compared.method("experts", "same", "weight", "other", [1.0, 1.0], method="weight_two")
    section = page(compared.spec, compared.results).partition("task other")[2]
    assert "| same | weight |" in section
    assert "worse" not in section
    assert "not compared" not in section
