import re

import pytest

from moco.errors import RequestError
from moco.zoo.skills import FORMS, SCOPES, SKILLS, SPLITS, exercise, facts, items, pool, within

SOME = ("add", "reverse", "capital", "sort")
COUNTS = {"train": 600, "dev": 200, "test": 400}


def expected(domain: str, question: str) -> str:
    if domain == "add":
        first, second = map(int, re.findall(r"\d+", question))
        return str(first + second)
    if domain in ("reverse", "sort"):
        (string,) = re.findall(r"\b[A-Z]{2,4}\b", question)
        return string[::-1] if domain == "reverse" else "".join(sorted(string))
    (country,) = [name for name in facts() if re.search(rf"\b{name}\b", question)]
    return facts()[country]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("split", SPLITS)
def test_items_are_distinct_balanced_and_right(form, split):
    made = items(SOME, form, split, COUNTS[split], seed=3)
    assert len({item.question for item in made}) == len(made) == COUNTS[split]
    assert [item.row for item in made] == list(range(len(made)))
    assert [item.domain for item in made[:8]] == [*SOME, *SOME]
    for item in made:
        right = expected(item.domain, item.question)
        if form == "exact":
            assert item.gold == right
            assert item.gold_kind == SKILLS[item.domain].gold_kind
            assert item.options is None
        else:
            assert item.gold_kind == "option"
            assert len(set(item.options)) == len(item.options) == 4
            assert item.options[item.gold["index"]] == right
            assert item.gold["key"] == "ABCD"[item.gold["index"]]


def test_items_are_deterministic_and_seeded():
    assert items(SOME, "choice", "test", 60, seed=1) == items(SOME, "choice", "test", 60, seed=1)
    assert items(SOME, "choice", "test", 60, seed=1) != items(SOME, "choice", "test", 60, seed=2)


def test_more_items_extend_fewer():
    assert items(SOME, "exact", "dev", 100, seed=0)[:40] == items(SOME, "exact", "dev", 40, seed=0)


def every_question(skill, split):
    return {
        wording.format(*operands)
        for stratum in pool(skill, split)
        for operands in stratum
        for wording in SKILLS[skill].wordings[split]
    }


@pytest.mark.parametrize("skill", SKILLS)
def test_splits_share_no_question(skill):
    train, dev, test = (every_question(skill, split) for split in SPLITS)
    assert train.isdisjoint(dev)
    assert train.isdisjoint(test)
    assert dev.isdisjoint(test)


@pytest.mark.parametrize("skill", ["add", "reverse", "sort"])
def test_splits_share_no_operands(skill):
    train, dev, test = ({operands for stratum in pool(skill, split) for operands in stratum} for split in SPLITS)
    assert train.isdisjoint(dev)
    assert train.isdisjoint(test)
    assert dev.isdisjoint(test)


def test_every_fact_is_taught_and_asked():
    assert len(facts()) == len(set(facts().values())) == 60
    for split in SPLITS:
        assert {operands[0] for stratum in pool("capital", split) for operands in stratum} == set(facts())


@pytest.mark.parametrize("skill", SKILLS)
def test_scopes_grow(skill):
    easy, half, full = ({one for part in pool(skill, "train", scope) for one in part} for scope in SCOPES)
    assert easy
    assert easy <= half < full
    assert {within(skill, "half", operands) for operands in half} == {True}
    assert not any(within(skill, "half", operands) for operands in full - half)


@pytest.mark.parametrize("skill", SKILLS)
def test_distractors_are_wrong_and_distinct(skill):
    from moco.seeds import generator

    rng = generator("distractors", skill)
    for stratum in pool(skill, "dev"):
        for operands in stratum[:50]:
            made = exercise(skill, "choice", operands, SKILLS[skill].wordings["dev"][0], rng)
            assert len({made.answer, *made.wrong}) == 4


@pytest.mark.parametrize(
    "arguments",
    [
        (("fly",), "exact", "test", 1, 0),
        ((), "exact", "test", 1, 0),
        (("add", "add"), "exact", "test", 1, 0),
        (("add",), "essay", "test", 1, 0),
        (("add",), "exact", "validation", 1, 0),
        (("capital",), "exact", "dev", 1000, 0),
    ],
)
def test_impossible_requests_are_refused(arguments):
    with pytest.raises(RequestError):
        items(*arguments)
