"""The original rules, case by case: constructed cases here, recorded ones from a file named by the environment."""

import json
import os
from pathlib import Path

import pytest

from moco.scoring.base import Tools
from moco.scoring.cases import disagreements, read_cases
from moco.scoring.catalogue import scorer_for
from moco.tasks.item import Question, Reference

CASES = "MOCO_SCORER_CASES"
TYPES = ("exact_match", "f1_match", "multiple_choice", "noncompliance")
"""Recorded programs are run in `test_coding_execution.py`."""


def question_and_reference(task_type, item):
    if task_type == "exact_match":
        return Question("u", "t", "test", task_type, "", ""), Reference("u", item["output"], "text")
    options = tuple(item["choices"].values())
    index = list(item["choices"]).index(item["answer"])
    gold = {"index": index, "key": item["answer"]}
    return Question("u", "t", "test", task_type, "", "", options), Reference("u", gold, "option")


FILES = {"paper": "scorer_cases.jsonl", "paper-1.1": "scorer_cases_1_1.jsonl"}
"""Names beside the file that the variable names."""


@pytest.fixture(scope="module")
def recorded(request, tmp_path_factory):
    rules = request.param
    if not os.environ.get(CASES):
        pytest.skip(f"{CASES} does not name a file of recorded cases")
    source = Path(os.environ[CASES])
    source = source if rules == "paper" else source.with_name(FILES[rules])
    if not source.is_file():
        pytest.skip(f"{source} does not exist")
    rows = source.read_text(encoding="utf-8").splitlines()
    path = tmp_path_factory.mktemp("cases") / "cases.jsonl"
    # Cases of other types run code or ask models.
    path.write_text("\n".join(row for row in rows if json.loads(row)["task_type"] in TYPES), encoding="utf-8")
    cases, bad = read_cases(path, rules)
    assert bad == {}
    return rules, cases


@pytest.mark.parametrize("task_type", TYPES)
@pytest.mark.parametrize("recorded", FILES, indirect=True)
def test_recorded_cases_agree(recorded, task_type):
    rules, found = recorded
    cases = [each for each in found if each.task_type == task_type]
    assert cases
    assert disagreements(cases, rules, Tools()) == ([], {})
    scorer = scorer_for(task_type, rules)
    for each in cases:
        question, reference = each.case.question, each.case.reference
        extraction = scorer.extract(question, each.case.text)
        assert scorer.score_extracted(question, reference, extraction.parsed).score == each.recorded["score"]


CITIES = {"A": "Paris", "B": "Rome", "C": "Canada", "D": "Spain"}
DIGITS = {"A": "1", "B": "5", "C": "15", "D": "51"}
NUMBERED = {"1": "ice", "2": "water", "3": "steam"}


@pytest.mark.parametrize(
    ("choices", "answer", "reply", "parsed", "score"),
    [
        (CITIES, "C", "C", "C", 1.0),
        (CITIES, "C", "C\nbecause it is the only country in North America", None, 0.0),
        (CITIES, "C", "As an AI model I choose C.", "C", 1.0),
        (CITIES, "C", "A dog is not a country.", "A", 0.0),
        (CITIES, "C", "CANADA!", "C", 1.0),
        (CITIES, "C", "Ｃ", None, 0.0),
        (CITIES, "C", "<think>A) maybe</think>C", "A", 0.0),
        (CITIES, "C", "the answer is option c", None, 0.0),
        (DIGITS, "C", "x = 15", "A", 0.0),
        (NUMBERED, "2", "2", None, 0.0),
        (NUMBERED, "2", "B", "B", 0.0),
        (NUMBERED, "2", "2) water", "B", 0.0),
    ],
)
def test_multiple_choice(choices, answer, reply, parsed, score):
    question, reference = question_and_reference("multiple_choice", {"choices": choices, "answer": answer})
    verdict = scorer_for("multiple_choice", "paper").score(question, reference, reply)
    assert (verdict.parsed, verdict.score) == (parsed, score)
    assert verdict.status == ("unparsed" if parsed is None else "ok")


@pytest.mark.parametrize(
    ("gold", "reply", "parsed", "score"),
    [
        (r"\frac{1}{2}", r"\boxed{\frac{1}{2}}", r"\frac{1", 0.0),
        ("5", "The answer is -5.", "5", 1.0),
        ("A", "The.", "The.", 1.0),
        ("42", "I cannot answer that. It is 42.", "that. It is 42", 0.0),
        ("42", "Answer:\n\n42\n", "42", 1.0),
        ("42", "Answer:\n\n42", "42", 1.0),
        ("5", r"\fbox{5}", r"\fbox{5}", 0.0),
        ("5", r"\BOX{5}", "5", 1.0),
        ("5", r"\box{5", r"\box{5", 0.0),
        ("5", "\\box 5\nand more", "5", 1.0),
        ("yes", "Answer: yes<br>\n", "yes<br>", 0.0),
        ("12", "Final answer - 12", "12", 1.0),
        ("3", r"\boxed{\boxed{3}}", r"\boxed{3", 0.0),
        ("x", "answer: x <\ny\n", "x <", 1.0),
        ("x y", "answer: <<x>>\n", "<<x>>", 0.0),
        (None, "", "", 1.0),
        (":", "the answer is:", ":", 1.0),
        ("", "final answer: .\n", "final answer: .", 0.0),
        ("5", "Answer: 5\rand more\n", "5", 1.0),
        ("5", "the answer is 5\rand more", "5", 1.0),
        ("5", "\\box\r\n5\rand more", "5", 1.0),
        ("5 6", "\\box{5\r6}", "5\r6", 1.0),
        ("5 6", "5\r6", "5\r6", 1.0),
        ("5 6", "Answer: 5\v6\n", "5\v6", 1.0),
        ("5 6", "Answer: 5\x856\n", "5\x856", 1.0),
        ("5", "Answer:\r5\n", "5", 1.0),
    ],
)
def test_exact_match(gold, reply, parsed, score):
    question, reference = question_and_reference("exact_match", {"output": gold})
    verdict = scorer_for("exact_match", "paper").score(question, reference, reply)
    assert (verdict.parsed, verdict.score) == (parsed, score)


def test_given_answers_are_not_extracted_again():
    question, reference = question_and_reference("exact_match", {"output": "the answer is 5"})
    verdict = scorer_for("exact_match", "paper").score_extracted(question, reference, "Answer is 5")
    assert (verdict.score, verdict.rule) == (1.0, "given")
    assert scorer_for("exact_match", "paper").score_extracted(question, reference, None).status == "unparsed"


def test_original_rules_score_broken_items_too():
    reference = Reference("u", None, "none", valid=False)
    verdict = scorer_for("exact_match", "paper").score(Question("u", "t", "test", "exact_match", "", ""), reference, "")
    assert verdict.score == 1.0
