"""Recalled facts: the known weaknesses under both rule sets, accepted answers, lists of answers, names, details."""

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from moco.scoring.catalogue import scorer_for
from moco.scoring.f1_match import token_f1
from moco.tasks.item import Question, Reference

PAPER, STRICT = scorer_for("f1_match", "paper"), scorer_for("f1_match", "strict")
SPRINGFIELD = ["Springfield", "Springfield, Illinois", "Springfield, IL"]
MADRID = ["Madrid", "City of Madrid", "Madrid, Spain"]
SAMMY = ["Sammy Davis, Jr.", "Sammy Davis Jr."]


def question(task="popqa"):
    return Question("u", task, "test", "f1_match", "", "")


def reference(gold):
    if isinstance(gold, list):
        return Reference("u", gold, "aliases", meta={"output": json.dumps(gold)})
    return Reference("u", gold, "text")


def verdict(scorer, gold, reply, task=None):
    return scorer.score(question(task or ("popqa" if isinstance(gold, list) else "wikidyk")), reference(gold), reply)


def score(scorer, gold, reply, task=None):
    return verdict(scorer, gold, reply, task).score


@pytest.mark.parametrize(
    ("gold", "reply", "paper", "strict"),
    [
        (SPRINGFIELD, "IL", 1, 2 / 3),
        (MADRID, "Spain", 1, 2 / 3),
        (["Rio", "Rio de Janeiro, Brazil"], "Rio de Janeiro, Brazil", 6 / 7, 1),
        (["Paris", "”"], "", 0, 0),
        (["The A", "!"], "", 1, 0),
        ("Love, Actually", "“Love, Actually”", 0, 1),
        ("São Paulo", "Sao Paulo", 0.5, 1),
        ("Clipperton Island", "It is Clipperton Island, as far as I know.", 4 / 11, 1),
        (["politician"], "actor, politician and singer", 0.4, 0),
    ],
)
def test_known_weaknesses(gold, reply, paper, strict):
    assert score(PAPER, gold, reply) == pytest.approx(paper, abs=1e-12)
    assert score(STRICT, gold, reply) == pytest.approx(strict, abs=1e-12)


@pytest.mark.parametrize(
    ("gold", "reply", "expected"),
    [
        (SAMMY, "Jr", 1),
        (SAMMY, "Davis", 2 / 3),
        (SAMMY, "sammy davis jr", 1),
        (["O'Brien"], "OBrien", 1),
        ([], "", 1),
        ([], "anything", 0),
        (["The A", "A"], "B", 0),
        ("William Shakespeare", "shakespeare, william", 1),
        ("William Shakespeare", "It was William Shakespeare who wrote it.", 4 / 9),
        ("x x y", "y y", 0.4),
        (None, "", 1),
    ],
)
def test_original_overlap(gold, reply, expected):
    assert score(PAPER, gold, reply) == pytest.approx(expected, abs=1e-12)


def test_only_popqa_is_split_at_commas_by_the_original_rules():
    assert score(PAPER, SPRINGFIELD, "IL", task="popqa") == 1
    assert score(PAPER, SPRINGFIELD, "IL", task="wikidyk") < 0.5
    stored = Reference("u", ["x"], "aliases", meta={"output": '["de", "x"]'})
    assert PAPER.score(question(), stored, "de").score == 1
    assert PAPER.score(question(), Reference("u", ["de", "é"], "aliases"), "é").score == 1


FORMS = [
    "{}",
    "{}.",
    '"{}"',
    r"\box{{{}}}",
    r"\boxed{{\text{{{}}}}}",
    "<answer>{}</answer>",
    "The answer is {}.",
    "**Answer:** {}",
    "The final answer is: {}",
    "Final answer: {}.\n\nI hope this helps!",
    "I have thought about it.\n#### {}",
    "Let me think.\n\n{}",
    "It is {}.",
    "<think>Or Oslo?</think>{}",
    "La respuesta es {}.",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "gold",
    [
        "Clipperton Island",
        "J. R. R. Tolkien",
        "In Search of Lost Time",
        "Springfield, Illinois",
        "U.S. Route 66",
        "St. Paul's Cathedral",
        "Simon & Garfunkel",
        "Not My Type",
        "7/11",
        "Kramer vs. Kramer",
        "1967–1969",
    ],
)
def test_surface_forms(form, gold):
    found = verdict(STRICT, gold, form.format(gold))
    assert (found.score, found.details["exact"], found.details["contains"]) == (1, 1, 1), found
    assert score(STRICT, gold, form.format("Oslo")) == 0


def test_the_best_alias_counts():
    assert score(STRICT, ["association football", "football", "soccer"], "Soccer") == 1
    assert score(STRICT, SAMMY, "Sammy Davis, Jr.") == 1
    assert score(STRICT, ["日本", "Japan"], "日本") == 1
    assert score(STRICT, ["Romania", "🇷🇴"], "🇷🇴") == 1


def test_details_tell_exact_from_contained():
    found = verdict(STRICT, "Oslo", "The answer is the lovely city Oslo")
    assert found.score == pytest.approx(0.5)
    assert found.details == {"exact": 0, "contains": 1, "candidates": 1}
    assert verdict(STRICT, "Oslo", "The answer is Osloite").details["contains"] == 0
    long = " ".join(["word"] * 20)
    assert verdict(STRICT, "Oslo", f"Answer: {long} Oslo").details["contains"] == 0


@pytest.mark.parametrize(
    ("reply", "expected", "candidates"),
    [
        ("Paris or Rome", 1, 2),
        ("Rome or Paris", 0, 2),
        ("Paris; Rome; Oslo", 1, 3),
        ("Rome, Oslo and Paris", 0, 3),
        ("Paris / Rome", 1, 2),
        ("It is Paris and it is lovely", 1, 2),
    ],
)
def test_of_several_answers_the_first_counts(reply, expected, candidates):
    found = verdict(STRICT, ["Paris"], reply)
    assert (found.score, found.details["candidates"]) == (expected, candidates)


def test_separators_within_an_accepted_answer_separate_nothing():
    assert score(STRICT, "Simon & Garfunkel", "Simon and Garfunkel") == pytest.approx(0.8)
    assert score(STRICT, "salt and pepper", "pepper and salt") == 1
    assert score(STRICT, "1,000 trees", "about 1,000 trees") == pytest.approx(0.8)


@pytest.mark.parametrize("reply", ["", "  \n", "...", r"\boxed{}", "<think>Paris", "“”"])
def test_no_answer(reply):
    for gold in ("Paris", ["Paris", "."], "the"):
        found = verdict(STRICT, gold, reply)
        assert (found.score, found.status) == (0, "unparsed")


def test_an_article_may_be_the_answer():
    assert score(STRICT, "The The", "The The") == 1


@pytest.mark.parametrize("gold", [None, [], ["!", "."], "..."])
def test_items_without_an_answer_are_left_out(gold):
    assert verdict(STRICT, gold, "x").status == "invalid"
    assert STRICT.score(question(), Reference("u", "x", "text", valid=False), "x").status == "invalid"


def test_given_answers_are_compared_as_they_are():
    for scorer in (PAPER, STRICT):
        found = scorer.score_extracted(question(), reference(["Answer: Paris"]), "Answer: Paris")
        assert (found.score, found.rule) == (1, "given")
        assert scorer.score_extracted(question(), reference(["Paris"]), None).status == "unparsed"


def test_equal_answers_have_one_normal_form():
    forms = {
        STRICT.normal_form(question(), text) for text in ("São Paulo", "sao paulo!", "the Sao  Paulo", "It's São Paulo")
    }
    assert len(forms) == 1


@given(st.text(alphabet="ab cd", max_size=20), st.text(alphabet="ab cd", max_size=20))
def test_f1_is_symmetric_and_1_only_for_the_same_words(one, other):
    assert token_f1(one, other) == pytest.approx(token_f1(other, one))
    assert (token_f1(one, other) == 1) == (sorted(one.split()) == sorted(other.split()))


@given(st.text(max_size=60))
@example("A-{0")
def test_any_reply_has_a_score(reply):
    for scorer in (PAPER, STRICT):
        assert 0 <= score(scorer, SAMMY, reply) <= 1
        form = scorer.normal_form(question(), reply)
        assert scorer.normal_form(question(), form) == form


@pytest.mark.parametrize("unit", ["answer is ", "a, ", "A. ", " or ", "it is ", r"\boxed{", "(", " / "])
def test_long_replies_are_read_quickly(unit):
    started = time.process_time()
    for scorer in (PAPER, STRICT):
        score(scorer, SAMMY, unit * (100_000 // len(unit)))
    assert time.process_time() - started < 1.0


def test_rules_of_a_dataset_hold_under_any_name_of_the_task():
    renamed = Reference("u", MADRID, "aliases", meta={"output": json.dumps(MADRID), "registered_dataset": "popqa"})
    other = Reference("u", MADRID, "aliases", meta={"output": json.dumps(MADRID)})
    assert PAPER.score(question("recall"), renamed, "Spain").score == 1
    assert PAPER.score(question("recall"), other, "Spain").score < 1
