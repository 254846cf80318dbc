from dataclasses import fields, replace

import pytest

from moco.config.models import CAPABILITIES
from moco.digest import digest
from moco.errors import RequestError
from moco.zoo import curriculum, preferences, roster, similarity
from moco.zoo.roster import ROSTER, Training, recipe
from moco.zoo.skills import SKILLS

KINDS = {"chat": set(curriculum.MAKERS), "reward": set(preferences.MAKERS), "embed": set(similarity.KINDS)}


def test_every_model_is_well_formed():
    for name, model in ROSTER.items():
        assert model.name == name
        assert model.parent is None or model.parent in ROSTER
        assert model.skills
        assert set(model.skills) <= set(SKILLS)
        assert model.steps > 0
        assert sum(model.training.mixture.values()) == pytest.approx(1)
        assert {*model.training.mixture, *model.training.opening} <= KINDS[model.role]
        assert bool(model.training.opening) == (0 < model.training.opening_steps < model.steps)
        assert model.shape.hidden % model.shape.heads == 0
        assert model.shape.hidden // model.shape.heads >= 32


def test_models_of_one_tokenizer_have_one_vocabulary():
    known = {}
    for model in ROSTER.values():
        assert known.setdefault(model.tokenizer, model.shape.vocabulary) == model.shape.vocabulary
    assert len(known) == len(set(known.values())) == 2


def test_only_models_that_write_can_generate():
    silent = {name for name, model in ROSTER.items() if "generate" not in model.capabilities}
    assert silent == {"encoder", "reward", "reward_strict"}
    assert ROSTER["add"].capabilities == ROSTER["lora_add"].capabilities == CAPABILITIES
    assert "embed" in ROSTER["encoder"].capabilities
    assert "reward" in ROSTER["reward"].capabilities


def test_recipes_differ_between_models():
    assert len({digest(recipe(name)) for name in ROSTER}) == len(ROSTER)


def test_recipe_depends_on_steps():
    assert digest(recipe("add", 6)) != digest(recipe("add", 7)) != digest(recipe("add"))
    assert recipe("add", ROSTER["add"].steps) != recipe("add")  # the parent's steps change too
    assert recipe("base", ROSTER["base"].steps) == recipe("base")


def test_recipe_depends_on_the_seed_of_every_ancestor():
    assert recipe("add", seed=0) == recipe("add")
    assert recipe("add", seed=1)["seed"] == recipe("add", seed=1)["parent"]["seed"] == 1


def test_recipe_holds_the_parent(monkeypatch):
    before = digest(recipe("add"))
    changed = replace(ROSTER["base"], training=replace(ROSTER["base"].training, learning_rate=0.5))
    monkeypatch.setitem(roster.ROSTER, "base", changed)
    assert digest(recipe("add")) != before


@pytest.mark.parametrize("name", [field.name for field in fields(Training)])
def test_recipe_depends_on_every_setting(name, monkeypatch):
    before = digest(recipe("add"))
    value = getattr(ROSTER["add"].training, name)
    changed = {**value, "verify": 0.1} if isinstance(value, dict) else (value or 0) + 1
    training = replace(ROSTER["add"].training, **{name: changed})
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
