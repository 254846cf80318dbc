import math

import pytest
from support.contexts import World, answer_context, fit_context
from support.engines import Engine, ScriptedError, fingerprint
from support.items import questions, right_reply, wrong_reply

from moco.errors import RequestError
from moco.methods.base import COMMON_BASE, PoolInfo
from moco.methods.catalogue import make_method
from moco.models.recipes import Recipe

ID = "weight_dare_ties"
DEV = questions(20, split="dev")
THREE = ["a", "b", "c"]


class Weighing(Engine):
    """Scripted models whose merges know their weights; `right(weights)` is the number of dev items they have right."""

    def __init__(self, right, items=DEV, **settings):
        super().__init__(self._reply, **settings)
        self._right, self._items = right, items
        self._numbers = {item.prompt: number for number, item in enumerate(items)}
        self.mixtures: dict[str, dict[str, float]] = {}

    def know(self, name, recipe):
        super().know(name, recipe)
        sources = [source.removeprefix(fingerprint("")) for source in recipe.inputs]
        self.names[name] = "+".join(
            f"{source}:{weight}" for source, weight in zip(sources, recipe.weights, strict=True)
        )
        self.mixtures[self.names[name]] = dict(zip(sources, recipe.weights, strict=True))

    def _reply(self, model, prompt, _sample):
        number = self._numbers[prompt]
        item = self._items[number]
        return right_reply(item) if number < self._right(self.mixtures.get(model, {model: 1.0})) else wrong_reply(item)


def fit(right=lambda _weights: 10, models=THREE, items=DEV, workdir=None, engine=None, **params):
    method = make_method(ID, {"base": "base", **params})
    engine = engine or Weighing(right, items)
    needs = method.needs(PoolInfo.of_size(len(models)))
    ctx = fit_context(
        models=models,
        questions=items if needs.fit.splits else [],
        replies=engine,
        needs=needs,
        method=ID,
        workdir=workdir,
    )
    return method.fit(ctx), engine


def search(right=lambda _weights: 10, **params):
    return fit(right, mode="optimized", **params)


def options(**changes):
    return {"base": fingerprint("base"), "density": 1.0, "normalize": False, "lambda": 1.0, **changes}


def near(target):
    """More items right, the nearer the weights are to a target."""

    def right(weights):
        return round(20 - 20 * sum(abs(weights.get(name, 0) - share) for name, share in target.items()) / 2)

    return right


# Average


def test_the_average_has_equal_weights_and_asks_for_nothing():
    state, engine = fit()
    inputs = tuple(fingerprint(name) for name in THREE)
    assert state.models == {"merged": Recipe("dare_ties", inputs, (0.333334, 0.333333, 0.333333), options())}
    assert state.data["models"] == THREE
    assert engine.requests == engine.merged == engine.reads == []
    needs = make_method(ID, {}).needs(PoolInfo.of_size(3))
    assert needs.fit.splits == ()
    assert not needs.fit.runs_models


def test_settings_of_the_drop_are_in_the_recipe_where_something_is_dropped():
    assert fit(mask_seed=5, rescale="l1")[0].models["merged"].options == options()
    dropped = fit(density=0.5, mask_seed=5, rescale="l1", normalize=True, scale=0.7)[0].models["merged"]
    assert dropped.options == options(density=0.5, seed=5, rescale="l1", normalize=True) | {"lambda": 0.7}
    assert fit(density=0.5)[0].models["merged"].options["rescale"] == "1/density"


def test_copies_of_a_model_are_one_input_with_their_weights_together():
    state, _ = fit(models=["a", "b", "a", "a"])
    assert state.models["merged"].inputs == (fingerprint("a"), fingerprint("b"))
    assert state.models["merged"].weights == (0.75, 0.25)
    assert fit(models=["a", "a"])[0].models["merged"].weights == (1.0,)


def test_the_base_is_named_or_that_of_the_adapters():
    assert make_method(ID, {}).needs(PoolInfo.of_size(2)).helpers["base"].model == COMMON_BASE
    assert make_method(ID, {"base": "b"}).needs(PoolInfo.of_size(2)).helpers["base"].model == "b"
    method = make_method(ID, {})
    ctx = fit_context(models=THREE, questions=[], needs=method.needs(PoolInfo.of_size(3)), method=ID)
    assert method.fit(ctx).models["merged"].options["base"] == fingerprint("base")


def test_answers_are_the_plain_responses_of_the_merge_and_name_its_members():
    world = World(("a", "b"), items=4)
    method = make_method(ID, {})
    state = world.fit(method)
    engine = Engine(world.replies)
    rows = world.answer(method, state, engine)
    assert engine.reads == [("plain", "merged", 0)]
    assert engine.requests == []
    assert all(row["models"] == ["a", "b"] for row in rows.values())


# Search


def test_the_search_begins_with_equal_weights_and_every_member_alone():
    state, engine = search()
    origins = [(one["origin"], one["iteration"]) for one in state.data["candidates"]]
    assert origins[:4] == [("uniform", 0), ("single", 0), ("single", 0), ("single", 0)]
    assert set(origins[4:]) <= {("swarm", number) for number in range(1, 6)}
    assert [one["weights"] for one in state.data["candidates"][1:4]] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    alone = [asked for asked in engine.requests if asked.model in THREE]
    assert [asked.model for asked in alone] == [name for name in THREE for _ in DEV]
    without, _ = search(baselines=False)
    assert {one["origin"] for one in without.data["candidates"]} == {"swarm"}


def test_a_member_alone_is_merged_where_something_is_dropped():
    _, engine = search(density=0.5)
    assert {asked.model for asked in engine.requests}.isdisjoint(THREE)
    assert [recipe.inputs for recipe in engine.merged[1:4]] == [(fingerprint(name),) for name in THREE]


@pytest.mark.parametrize("target", [{"a": 1.0}, {"a": 0.6, "b": 0.3, "c": 0.1}, {"b": 0.5, "c": 0.5}])
@pytest.mark.parametrize("rules", [True, False])
def test_weights_are_positive_sum_to_one_and_none_are_tried_twice(target, rules):
    state, engine = search(near(target), max_iterations=12, patience=12, original_rules=rules)
    recipes = [(recipe.inputs, recipe.weights) for recipe in engine.merged]
    assert len(set(recipes)) == len(recipes)
    for recipe in [*engine.merged, state.models["merged"]]:
        assert all(weight > 0 for weight in recipe.weights)
        assert round(sum(recipe.weights), 9) == 1
        assert all(round(weight, 6) == weight for weight in recipe.weights)
    tried = [tuple(one["weights"]) for one in state.data["candidates"]]
    assert len(set(tried)) == len(tried)
    assert len(engine.rounds) == len({one["iteration"] for one in state.data["candidates"]})
    assert sorted(engine.discarded) == sorted(set(engine.names))


def test_candidates_of_an_update_are_deleted_before_the_next_are_made():
    alive = []

    class Watched(Weighing):
        def merge(self, recipe):
            alive.append(len(self.names) - len(self.discarded))
            return super().merge(recipe)

    state, engine = search(engine=Watched(lambda _weights: 10))
    made = [one for one in state.data["candidates"] if one["origin"] != "single"]
    before = [[other["iteration"] for other in made[:place]].count(one["iteration"]) for place, one in enumerate(made)]
    assert alive == before
    assert max(alive) == 4
    assert sorted(engine.discarded) == sorted(engine.names)


@pytest.mark.parametrize("target", [{"c": 1.0}, {"a": 0.6, "b": 0.3, "c": 0.1}, {"b": 0.5, "c": 0.5}])
def test_the_best_weights_win_and_are_no_worse_than_the_average_and_every_member(target):
    right = near(target)
    state, _ = search(right)
    best = state.models["merged"]
    names = [source.removeprefix(fingerprint("")) for source in best.inputs]
    assert state.data["models"] == names
    found = right(dict(zip(names, best.weights, strict=True)))
    assert state.data["dev"] == found / 20
    assert found == round(20 * max(one["dev"] for one in state.data["candidates"]))
    assert found >= max(right({name: 1.0}) for name in THREE)
    assert found >= right(dict.fromkeys(THREE, 1 / 3))
    assert list(state.data["history"]) == sorted(state.data["history"])


def test_the_swarm_finds_better_weights_than_it_began_with():
    def right(weights):
        return round(1000 - 500 * sum(abs(weights.get(n, 0) - w) for n, w in {"a": 0.6, "b": 0.3, "c": 0.1}.items()))

    items = questions(1000, split="dev")
    state, _ = search(right, items=items, max_iterations=8)
    first = max(one["dev"] for one in state.data["candidates"] if one["iteration"] <= 1)
    assert state.data["dev"] > first


def test_where_one_member_is_best_the_recipe_is_that_member():
    state, _ = search(lambda weights: 15 if weights == {"b": 1.0} else 5)
    assert state.models["merged"] == Recipe("dare_ties", (fingerprint("b"),), (1.0,), options())
    assert state.data["models"] == ["b"]
    items = questions(3)
    replies = {name: {item.uid: f"{name} on {item.uid}" for item in items} for name in THREE}
    ctx = answer_context(models=THREE, questions=items, replies=replies, fitted=state.models)
    answers = list(make_method(ID, {}).answer(ctx, state))
    assert [answer.text for answer in answers] == [f"b on {item.uid}" for item in items]


def test_a_tie_goes_to_equal_weights():
    assert search()[0].models["merged"].weights == (0.333334, 0.333333, 0.333333)


def test_the_search_stops_when_nothing_gets_better_and_at_the_last_iteration():
    flat, _ = search(max_iterations=30, patience=3)
    assert (len(flat.data["history"]), flat.data["stopped"]) == (4, True)
    short, _ = search(max_iterations=2)
    assert (len(short.data["history"]), short.data["stopped"]) == (2, False)


def test_copies_are_weighted_as_one():
    state, engine = search(near({"a": 1.0}), models=["a", "b", "a"])
    assert state.data["searched"] == ["a", "b"]
    assert state.data["candidates"][0]["weights"] == [0.666667, 0.333333]
    assert all(len(set(recipe.inputs)) == len(recipe.inputs) for recipe in engine.merged)
    alone, engine = search(models=["a", "a"])
    assert alone.models["merged"].weights == (1.0,)
    assert engine.merged == []
    assert len(alone.data["candidates"]) == 1


@pytest.mark.parametrize(("greedy", "temperature"), [(True, 0.0), (False, 0.7)])
def test_all_candidates_are_compared_under_one_decoding(greedy, temperature):
    _, engine = search(greedy_selection=greedy)
    assert {asked.decoding.temperature for asked in engine.requests} == {temperature}


def test_particles_may_begin_at_rest():
    def first_of_second(**params):
        return next(
            one["weights"] for one in search(near({"a": 1.0}), **params)[0].data["candidates"] if one["iteration"] == 2
        )

    assert first_of_second() != first_of_second(starting_velocity="zero")


# Held-out half


def test_the_held_out_half_chooses_among_the_best():
    def right(weights):
        return round(20 * weights.get("a", 0))

    state, engine = search(right, hold_out=True, finalists=2)
    rounds = [{asked.uid for asked in asked_in_round} for asked_in_round in engine.rounds]
    searched, held = rounds[0], rounds[-1]
    assert (len(searched), len(held)) == (10, 10)
    assert searched.isdisjoint(held)
    assert all(uids == searched for uids in rounds[:-1])
    finals = state.data["finalists"]
    assert [one["dev"] for one in finals] == sorted((one["dev"] for one in state.data["candidates"]), reverse=True)[:2]
    best = max(finals, key=lambda one: one["held_out"])
    assert list(state.models["merged"].weights) == [weight for weight in best["weights"] if weight]


def test_the_held_out_half_can_overrule_the_search():
    """Members alone are right on the searched half only, equal weights on nine of the ten others too."""
    seen = []

    class Turning(Weighing):
        def _reply(self, model, prompt, _sample):
            item = DEV[self._numbers[prompt]]
            if not seen:
                seen.extend(asked.uid for asked in self.rounds[0])
            uniform = len(self.mixtures.get(model, {})) == 3
            good = (item.uid != seen[0]) if uniform else item.uid in seen
            return right_reply(item) if good else wrong_reply(item)

    state, _ = search(engine=Turning(None), hold_out=True, finalists=9, max_iterations=1)
    assert state.data["dev"] == 0.9
    assert len(state.models["merged"].weights) == 3
    assert max(one["dev"] for one in state.data["candidates"]) == 1.0


def test_one_dev_item_cannot_be_halved():
    state, _ = search(items=DEV[:1], hold_out=True)
    assert "finalists" not in state.data


# Interruption


def test_a_killed_search_goes_on_where_it_was(tmp_path):
    right = near({"a": 0.6, "b": 0.3, "c": 0.1})
    expected, whole = search(right)
    accesses = whole.accesses
    for number, fail_at in enumerate((5, 30, 200, accesses // 2, accesses - 3)):
        folder = tmp_path / str(number)
        broken = Weighing(right, fail_at=fail_at)
        with pytest.raises(ScriptedError):
            search(engine=broken, workdir=folder)
        resumed, engine = search(right, workdir=folder)
        assert resumed == expected
        finished = [
            recipe for recipe, name in zip(broken.merged, broken.names, strict=False) if name in broken.discarded
        ]
        again = [recipe for recipe in engine.merged if recipe in finished]
        assert len(again) <= 5, "only the candidates that were being scored are made again"


# Settings


@pytest.mark.parametrize(
    "params",
    [
        {"density": 0.0},
        {"density": 1.1},
        {"rescale": "l2"},
        {"mode": "best"},
        {"population": 0},
        {"max_iterations": 0},
        {"inertia": 0, "cognitive_coeff": 0, "social_coeff": 0, "repel_term": False},
        {"original_rules": True, "patience": 1},
        {"original_rules": True, "restart_patience": 1},
    ],
)
def test_settings_that_cannot_work_are_refused(params):
    with pytest.raises(RequestError):
        make_method(ID, params)


def test_it_asks_for_models_that_can_be_merged():
    needs = make_method(ID, {"mode": "optimized"}).needs(PoolInfo.of_size(3))
    assert needs.same == {"architecture", "tokenizer"}
    assert needs.capabilities == {"weights"}
    assert needs.models == ("merged",)
    assert needs.fit.references
    assert math.isclose(make_method(ID, {}).params.density, 1.0)
