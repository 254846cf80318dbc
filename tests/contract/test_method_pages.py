"""What every method says of itself in its docstring, held to what it does; a new method is tested without a line here."""

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from support.contexts import World, answer_context
from test_method_contract import CASES, DEV_SCORES, POOLS, every_method, types_of

from moco.methods.base import Answer, State
from moco.methods.calls import SHARED
from moco.methods.catalogue import make_method, method_class
from moco.methods.pages import HEADINGS, about, cost_formula, lacking, page, titles

BOUND_NOT_REACHED = {"text_bbmas"}
"""Methods that make as many calls as they may only where replies are read at the last attempt, time after time."""
FUNCTIONS = {"__builtins__": {}, "min": min, "max": max, "sum": sum, "len": len}


@dataclass(frozen=True)
class Ran:
    """What came out of a case."""

    name: str
    settings: Mapping[str, Any]
    members: int
    items: int
    state: State
    answers: Sequence[Answer]
    calls: Sequence[Mapping[str, Any]]


def run(method, world, name):
    state, needs = world.fit(method), method.needs(world.pool)
    ctx = answer_context(models=world.models, questions=world.test, needs=needs, fitted=state.models, method=method.id)
    answers = list(method.answer(ctx, state))
    return Ran(name, method.params.model_dump(), len(world.models), len(world.test), state, answers, ctx.calls)


@cache
def runs_of(id):
    """Every case of a method, run."""
    return [run(*case.values, case.id) for case in CASES if case.values[0].id == id]


def runs_with_more(id, formula):
    """The method with every whole number that the formula names raised by one."""
    for name, field in method_class(id).Params.model_fields.items():
        if field.annotation is int and re.search(rf"\b{name}\b", formula):
            changed = {name: field.default + 1}
            world = World(POOLS["three"], types_of(id, changed)[0], dev_scores=DEV_SCORES)
            yield run(make_method(id, changed), world, f"{id} with {changed}")


def keys_in(value):
    """Keys of a JSON value, at any depth."""
    if isinstance(value, dict):
        return {*value}.union(*map(keys_in, value.values()))
    return set().union(*map(keys_in, value)) if isinstance(value, list) else set()


@every_method
def test_its_docstring_has_all_sections(id):
    cls = method_class(id)
    missing = lacking(cls)
    assert not missing, f"{inspect.getsourcefile(cls)}: the docstring of {cls.__name__} lacks {', '.join(missing)}:"
    left = [line for line in about(cls)[0].splitlines() if re.fullmatch(r"\w+:", line) and line[:-1] in HEADINGS]
    assert not left, f"the lines below {left[0]} are not indented"


@every_method
def test_its_docstring_lists_its_papers_with_their_titles(id):
    cls = method_class(id)
    assert list(titles(cls)) == list(cls.papers), "one line per paper in section Papers: its arXiv id, then its title"
    assert all(len(title) > 10 for title in titles(cls).values())


@every_method
def test_its_calls_are_as_many_as_its_formula_says(id):
    formula = cost_formula(method_class(id))
    assert formula, "section Cost begins with `FORMULA` calls per item, or with At most `FORMULA` calls per item"
    expression, fewer = formula
    reached = []
    for ran in (*runs_of(id), *runs_with_more(id, expression)):
        said = eval(expression, FUNCTIONS, {"members": ran.members, **ran.settings}) * ran.items
        made = sum(call["round"] != SHARED for call in ran.calls)
        assert made == said or (fewer and made < said), f"{ran.name}: {made} calls on {ran.items} items, not {said}"
        reached.append(made == said)
    assert any(reached) or id in BOUND_NOT_REACHED, "no case makes so many calls"


@every_method
def test_its_docstring_names_what_it_records_and_nothing_else(id):
    named = set(re.findall(r"`([a-z_]+)`", about(method_class(id))[1].get("Records", "")))
    recorded, nested = set(), set()
    for ran in runs_of(id):
        values = [json.loads(json.dumps(dict(one))) for one in (ran.state.data, *(each.record for each in ran.answers))]
        recorded |= {key for value in values for key in value} | {*ran.state.tensors}
        nested |= keys_in(values)
    assert recorded <= named, f"section Records does not name {', '.join(sorted(recorded - named))}"
    # Some things are recorded under settings that no case has; their names stand in the code.
    words = set(re.findall(r"\w+", re.sub(r'""".*?"""', "", inspect.getsource(method_class(id)), flags=re.DOTALL)))
    stale = named - recorded - nested - words
    assert not stale, f"section Records names {', '.join(sorted(stale))}, which is not recorded"


@every_method
def test_its_page_says_what_it_is(id):
    cls = method_class(id)
    text = page(id)
    for name, field in cls.Params.model_fields.items():
        assert f"`{name}`" in text or f"`{name}." in text, name
        assert not field.is_required()
    assert all(f"https://arxiv.org/abs/{paper}" in text for paper in cls.papers)


def test_a_section_that_is_missing_is_named():
    class Bare:
        """It has a first line.

        Cost:
            `0` calls per item.
        """

        papers = ("2203.11171",)

    assert lacking(Bare) == ["Papers", "Records", "Deviations"]
    assert cost_formula(Bare) == ("0", False)
    assert about(Bare) == ("It has a first line.", {"Cost": "`0` calls per item."})


@pytest.mark.parametrize(
    ("text", "formula"), [("At most `members` calls per item", ("members", True)), ("cheap", None)]
)
def test_a_formula_is_read_or_not(text, formula):
    assert cost_formula(type("Some", (), {"__doc__": f"It does.\n\nCost:\n    {text}\n"})) == formula
