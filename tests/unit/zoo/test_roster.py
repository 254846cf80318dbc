from dataclasses import fields, replace

import pytest

from moco.digest import digest
from moco.errors import RequestError
from moco.zoo import roster
from moco.zoo.roster import ROSTER, Training, recipe
from moco.zoo.skills import SKILLS


def test_every_model_is_well_formed():
    for name, model in ROSTER.items():
        assert model.name == name
        assert model.parent is None or model.parent in ROSTER
        assert model.skills
        assert set(model.skills) <= set(SKILLS)
        assert model.steps > 0
        assert 0 < model.training.exact + model.training.choice <= 1


def test_recipes_differ_between_models():
    assert len({digest(recipe(name)) for name in ROSTER}) == len(ROSTER)


def test_recipe_depends_on_steps():
    assert digest(recipe("add", 6)) != digest(recipe("add", 7)) != digest(recipe("add"))
    assert recipe("add", ROSTER["add"].steps) != recipe("add")  # the parent's steps change too
    assert recipe("base", ROSTER["base"].steps) == recipe("base")


def test_recipe_holds_the_parent(monkeypatch):
    before = digest(recipe("add"))
    changed = replace(ROSTER["base"], training=replace(ROSTER["base"].training, learning_rate=0.5))
    monkeypatch.setitem(roster.ROSTER, "base", changed)
    assert digest(recipe("add")) != before


@pytest.mark.parametrize("name", [field.name for field in fields(Training)])
def test_recipe_depends_on_every_setting(name, monkeypatch):
    before = digest(recipe("add"))
    training = replace(ROSTER["add"].training, **{name: getattr(ROSTER["add"].training, name) + 1})
    monkeypatch.setitem(roster.ROSTER, "add", replace(ROSTER["add"], training=training))
    assert digest(recipe("add")) != before


def test_recipe_depends_on_nothing_else(monkeypatch):
    before = digest(recipe("add"))
    monkeypatch.setitem(roster.ROSTER, "add", replace(ROSTER["add"], parameters=1))
    monkeypatch.setitem(roster.ROSTER, "reverse", replace(ROSTER["reverse"], steps=1))
    monkeypatch.setitem(roster.ROSTER, "other", replace(ROSTER["reverse"], name="other"))
    assert digest(recipe("add")) == before


def test_recipe_depends_on_the_curriculum_version(monkeypatch):
    before = digest(recipe("add"))
    monkeypatch.setattr(roster, "CURRICULUM_VERSION", 10_000)
    assert digest(recipe("add")) != before


@pytest.mark.parametrize(("name", "steps"), [("nobody", None), ("add", 0), ("add", -3)])
def test_impossible_recipes_are_refused(name, steps):
    with pytest.raises(RequestError):
        recipe(name, steps)
