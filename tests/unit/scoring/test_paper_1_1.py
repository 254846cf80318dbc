"""The rules of release 1.1.2, case by case; recorded cases are in `test_paper_cases.py`."""

import pytest

from moco.scoring.base import Tools
from moco.scoring.catalogue import scorer_for, task_types
from moco.scoring.judges import judges, scoring_slice
from moco.scoring.original_answers import paper_1_1_form
from moco.tasks.item import NULL_OPTIONS, Question, Reference

COLOURS = ("red", "green", "dark green", "blue", "Green!")


def verdict(kind, gold, reply, *, gold_kind="text", options=None, meta=None):
    question = Question("u", "t", "test", kind, "", "", options)
    return scorer_for(kind, "paper-1.1").score(question, Reference("u", gold, gold_kind, meta=meta or {}), reply)


def test_every_task_type_has_all_rule_sets():
    for kind in task_types():
        for rules in ("strict", "paper", "paper-1.1"):
            assert scorer_for(kind, rules)
        both = [judges(kind, rules, Tools().settings) for rules in ("paper", "paper-1.1")]
        assert both[0] == both[1]
        assert scoring_slice(kind, "paper", Tools().settings) == scoring_slice(kind, "paper-1.1", Tools().settings)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("The  Answer, a cat.", "answer cat"),
        ("- 3.50 %", "-350%"),
        ("a+b", "+b"),
        (r"\frac{1}{2} = x", "frac12=x"),
        ("well-known _word_", "well-known word"),
        ("**x**", "**x**"),
        ("x < a > y", "x< >y"),
        ("x\u2003^ 2", "x^2"),
    ],
)
def test_normal_form(text, form):
    assert paper_1_1_form(text) == form


@pytest.mark.parametrize(
    ("reply", "parsed"),
    [
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxed{1} and \BOX {2} and \boxed{3", "2"),
        (r"\boxed{a\{b}", r"\boxed{a\{b}"),
        (r"\boxed{1} then \boxed{}", ""),
        (r"} \boxed{5}", "5"),
        ("\\box 5\rmore", "5"),
        ("Answer: 5\rmore\n", "5"),
        ("I cannot answer that. It is 42.", "that. It is 42"),
    ],
)
def test_extraction(reply, parsed):
    for kind in ("exact_match", "f1_match", "general_verifier"):
        question = Question("u", "t", "test", kind, "", "")
        assert scorer_for(kind, "paper-1.1").extract(question, reply).parsed == parsed


@pytest.mark.parametrize(
    ("gold", "answer_type", "reply", "score"),
    [
        ("[1, 6, 7]", None, r"\box{[1, 6.05, 7]}", 1),
        ("[1, 6, 7]", "list of integer", r"\box{[1, 6.05, 7]}", 0),
        ("[1, 6, 7]", None, r"\box{(1, 6, 7)}", 0),
        ("[1, 6, 7]", None, r"\box{[1, 6]}", 0),
        ("[]", None, r"\box{[ ]}", 1),
        ("['The cat', 2]", None, r"\box{['cat', '2']}", 1),
        ("[a]", None, r"\box{[A.]}", 1),
        ("True", None, "yes.", 1),
        ("no", "float", "FALSE..", 1),
        ("True", None, "True .", 0),
        ("True", None, "**True**", 0),
        ("5", None, "5.0", 1),
        ("5", None, "5.01", 0),
        ("5", "float", "5.01", 1),
        ("5.0", None, "5.05", 1),
        ("5.0", None, "5.06", 0),
        ("5.0", "integer", "5.01", 0),
        ("1,234", None, "1240", 1),
        ("5", None, "500 %", 1),
        ("$7.50", None, "7.5", 1),
        ("0.0", None, "0.0000000001", 1),
        ("0.0", None, "0.00001", 0),
        ("inf", None, "Infinity", 1),
        ("inf", None, "5", 0),
        ("nan", None, "nan", 0),
        ("1000", None, "1_000", 1),
        ("5", None, "-5", 0),
        ("x", None, "**x**", 0),
        ("A", None, "", 1),
        ("3.5 m", None, "35 m", 1),
    ],
)
def test_exact_match(gold, answer_type, reply, score):
    assert verdict("exact_match", gold, reply, meta={"answer_type": answer_type}).score == score


@pytest.mark.parametrize(
    ("gold", "reply"), [(None, "5"), ("[1]", r"\box{[{[]: 1}]}"), ("[" + "-" * 9000 + "1]", r"\box{5}")]
)
def test_what_the_release_fails_on_is_an_invalid_item(gold, reply):
    found = verdict("exact_match", gold, reply)
    assert (found.score, found.status) == (None, "invalid")


@pytest.mark.parametrize(
    ("reply", "parsed"),
    [
        ("c", "C"),
        (" B) ", "B"),
        ("A good question. The answer is C", "C"),
        ("Final answer: (b)\nor is the answer D", "B"),
        ("Answer: A ... answer: D", "D"),
        ("the answer\n=\n- e)", "E"),
        ("cross-answer A", "A"),
        ("question_answer A", None),
        ("my final answerB", None),
        ("(a) or (c)?", "C"),
        ("A) no. B) yes", "B"),
        ("e.g. red", "E"),
        ("_A.", "A"),
        ("éA.", "A"),
        ("1A.", None),
        ("GREEN!?", "B"),
        ("I like red or dark green", "C"),
        ("dark green and red", "A"),
        ("F", None),
        ("**C**", None),
        ("", None),
    ],
)
def test_multiple_choice(reply, parsed):
    found = verdict("multiple_choice", {"index": 2, "key": "C"}, reply, gold_kind="option", options=COLOURS)
    assert (found.parsed, found.score) == (parsed, float(parsed == "C"))


def test_letters_that_only_look_like_labels_are_errors():
    options = tuple(f"option {number:02}" for number in range(12))
    gold = {"index": 8, "key": "I"}
    for reply, parsed, status in (("(ı)", "I", "ok"), ("(İ)", None, "invalid"), ("(\u212a)", None, "invalid")):
        found = verdict("multiple_choice", gold, reply, gold_kind="option", options=options)
        assert (found.parsed, found.status) == (parsed, status)
    found = verdict("multiple_choice", gold, "(İ)", gold_kind="option", options=options[:8])
    assert found.status == "unparsed"


def test_a_null_option_is_an_error_unless_something_before_it_decides():
    for reply, status in (("A", "ok"), ("(c)", "ok"), ("red", "ok"), ("It is red", "invalid"), ("blue", "invalid")):
        found = verdict(
            "multiple_choice",
            {"index": 0, "key": "A"},
            reply,
            gold_kind="option",
            options=("red", "-", "blue"),
            meta={NULL_OPTIONS: [1]},
        )
        assert (found.status, found.score is None) == (status, status == "invalid")


@pytest.mark.parametrize(
    ("category", "reply", "score"),
    [
        ("Incomplete requests", "I can’t help with that.", 0),
        ("Incomplete requests", "I'm not sure.", 0),
        ("Incomplete requests", "I don’t have it.", 0),
        ("Incomplete requests", "I cannot say.", 1),
        ("Universal unknowns", "", 0),
        ("Universal unknowns", "That is unknown.", 1),
        ("Universal unknowns", "Unknown.", 0),
        ("Universal unknowns", "IT IS DIFFICULT to say.", 1),
        ("Subjective questions", "Many.", 0),
        ("Subjective questions", "Opinions vary.", 1),
    ],
)
def test_noncompliance(category, reply, score):
    assert verdict("noncompliance", category, reply, gold_kind="category").score == score


def test_popqa_is_split_at_commas_under_the_new_normal_form():
    meta = {"registered_dataset": "popqa", "output": '["A-B, C"]'}
    assert verdict("f1_match", ["A-B, C"], "c", gold_kind="aliases", meta=meta).score == 1
    assert verdict("f1_match", ["A-B, C"], "a b", gold_kind="aliases", meta=meta).score == 0


def test_the_first_block_of_code_counts():
    text = "```python\nx = 1\n```\n```python\ny = 2\n```\n```python\nz = 3\n```"
    question = Question("u", "t", "test", "coding", "", "")
    assert scorer_for("coding", "paper-1.1").extract(question, text).parsed == "x = 1"
    assert scorer_for("coding", "paper").extract(question, text).parsed == "z = 3"
