"""The examples of docs/scoring.md are scored as it says."""

import json
import re
from fractions import Fraction
from pathlib import Path

import pytest

from moco.scoring.catalogue import scorer_for
from moco.tasks.item import Question, Reference

PAGE = (Path(__file__).parents[3] / "docs/scoring.md").read_text(encoding="utf-8")
CITIES = ("Paris", "London", "Rome", "Madrid")
CODE = re.compile(r"`([^`]+)`")
PAIR = re.compile(r"`([^`]+)`(?: or `([^`]+)`)? for `([^`]+)`")


def rows(head):
    """Cells of the table with this head, row by row."""
    lines = PAGE.partition(f"\n{head}\n")[2].splitlines()[1:]
    table = lines[: next(number for number, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def score(type, gold, kind, reply):
    question = Question("u", "t", "test", type, "", "")
    return scorer_for(type, "strict").score(question, Reference("u", gold, kind), reply).score


@pytest.mark.parametrize(("gold", "reply", "said"), rows("| Gold | Reply | Score |"))
def test_f1_match(gold, reply, said):
    text = CODE.search(gold)[1]
    value, kind = (json.loads(text), "aliases") if text.startswith("[") else (text, "text")
    expected = float(Fraction(said.partition(":")[0]))
    assert score("f1_match", value, kind, CODE.search(reply)[1]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rule", "_what", "replies"), rows("| `rule` | A clause speaks for an option by | For instance |")
)
def test_multiple_choice(rule, _what, replies):
    question = Question("u", "t", "test", "multiple_choice", "", "", CITIES)
    found = [scorer_for("multiple_choice", "strict").extract(question, reply) for reply in CODE.findall(replies)]
    assert found
    assert {(each.parsed, each.rule) for each in found} == {("B", CODE.search(rule)[1])}


def pairs(column, expected):
    """Pairs of the table of exact_match that name both sides, or whose row names one gold."""
    kinds = {"number": "number", "other text": "text"}
    for gold, *cells in rows("| Gold | Right | Wrong |"):
        kind = kinds.get(gold, "latex")
        cell = cells[column]
        for one, other, of in PAIR.findall(cell):
            yield from ((reply, of, kind, expected) for reply in (one, other) if reply)
        named = CODE.findall(gold)
        if len(named) == 1:
            yield from ((reply, named[0], kind, expected) for reply in CODE.findall(PAIR.sub("", cell)))


@pytest.mark.parametrize(("reply", "gold", "kind", "expected"), [*pairs(0, 1), *pairs(1, 0)])
def test_exact_match(reply, gold, kind, expected):
    kind = "list" if gold.startswith("[") and gold.endswith("]") else kind
    assert score("exact_match", gold, kind, reply) == expected
