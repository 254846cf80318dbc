import re

import pytest

from moco.errors import RequestError
from moco.zoo.skills import FORMS, SKILLS, SPLITS, exercise, facts, items, pool

THREE = ("add", "reverse", "capital")
COUNTS = {"train": 600, "dev": 200, "test": 400}


def expected(domain: str, question: str) -> str:
    if domain == "add":
        first, second = map(int, re.findall(r"\d+", question))
        return str(first + second)
    if domain == "reverse":
        (string,) = re.findall(r"\b[A-Z]{2,4}\b", question)
        return "".join(reversed(string))
    (country,) = [name for name in facts() if re.search(rf"\b{name}\b", question)]
    return facts()[country]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("split", SPLITS)
def test_items_are_distinct_balanced_and_right(form, split):
    made = items(THREE, form, split, COUNTS[split], seed=3)
    assert len({item.question for item in made}) == len(made) == COUNTS[split]
    assert [item.row for item in made] == list(range(len(made)))
    assert [item.domain for item in made[:6]] == [*THREE, *THREE]
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
    assert items(THREE, "choice", "test", 60, seed=1) == items(THREE, "choice", "test", 60, seed=1)
    assert items(THREE, "choice", "test", 60, seed=1) != items(THREE, "choice", "test", 60, seed=2)


def test_more_items_extend_fewer():
    assert items(THREE, "exact", "dev", 100, seed=0)[:40] == items(THREE, "exact", "dev", 40, seed=0)


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


@pytest.mark.parametrize("skill", ["add", "reverse"])
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
def test_easy_part_is_a_proper_part(skill):
    easy, full = (sum(map(len, pool(skill, "train", scope))) for scope in ("easy", "full"))
    assert 0 < easy < full


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
