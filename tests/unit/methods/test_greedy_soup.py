import itertools

import pytest
from support.contexts import World, answer_context, fit_context
from support.engines import Engine, fingerprint
from support.items import questions, right_reply, wrong_reply

from moco.errors import RequestError
from moco.methods.base import PoolInfo
from moco.methods.catalogue import make_method
from moco.models.recipes import Recipe

ID = "weight_greedy_soup"
DEV = questions(20, split="dev")


def scoring(right):
    """Replies under which model `name` has `right[name]` of the dev items right; a merge's name lists its members."""

    def reply(model, prompt, _sample):
        name = "+".join(sorted(model.split("+")))
        number = next(index for index, item in enumerate(DEV) if item.prompt == prompt)
        item = DEV[number]
        return right_reply(item) if number < right[name] else wrong_reply(item)

    return reply


def fit(models, right, dev=None, items=DEV, **params):
    method = make_method(ID, {"compare_uniform": False, **params})
    engine = Engine(scoring(right))
    ctx = fit_context(
        models=models,
        questions=items,
        replies=engine,
        needs=method.needs(PoolInfo.of_size(len(models))),
        dev_scores=dev,
        method=ID,
    )
    return method.fit(ctx), engine


def recipe(*models):
    return Recipe("linear", tuple(fingerprint(name) for name in models), (1 / len(models),) * len(models))


THREE = {"a": 8, "b": 10, "c": 6}


def test_every_other_member_is_tried_once_best_first_and_kept_when_the_score_rises():
    state, engine = fit(["a", "b", "c"], {**THREE, "a+b": 12, "a+b+c": 13})
    assert engine.merged == [recipe("b", "a"), recipe("b", "a", "c")]
    assert state.models == {"soup": recipe("b", "a", "c")}
    assert state.data["kept"] == [1, 0, 2]
    assert state.data["models"] == ["b", "a", "c"]
    assert [(step["tried"], step["dev"], step["kept"]) for step in state.data["steps"]] == [
        ([1], 0.5, True),
        ([1, 0], 0.6, True),
        ([1, 0, 2], 0.65, True),
    ]


def test_an_equal_score_keeps_the_member():
    state, _ = fit(["a", "b", "c"], {**THREE, "a+b": 10, "a+b+c": 10})
    assert state.models["soup"] == recipe("b", "a", "c")


def test_a_member_that_lowers_the_score_is_dropped_for_good():
    state, engine = fit(["a", "b", "c"], {**THREE, "a+b": 9, "b+c": 11})
    assert engine.merged == [recipe("b", "a"), recipe("b", "c")]
    assert state.models["soup"] == recipe("b", "c")
    assert [step["kept"] for step in state.data["steps"]] == [True, False, True]


def test_the_score_to_reach_is_that_of_the_last_soup_kept():
    state, _ = fit(["a", "b", "c"], {**THREE, "a+b": 14, "a+b+c": 12})
    assert state.models["soup"] == recipe("b", "a")


def test_where_every_merge_is_worse_the_recipe_is_the_best_member_and_its_answers_are_repeated():
    state, engine = fit(["a", "b", "c"], {**THREE, "a+b": 0, "b+c": 0})
    assert state.models == {"soup": Recipe("linear", (fingerprint("b"),), (1.0,))}
    assert len(engine.merged) == 2
    items = questions(4)
    replies = {name: {item.uid: f"{name} on {item.uid}" for item in items} for name in "abc"}
    ctx = answer_context(models=["a", "b", "c"], questions=items, replies=replies, fitted=state.models)
    answers = list(make_method(ID, {}).answer(ctx, state))
    assert [answer.text for answer in answers] == [f"b on {item.uid}" for item in items]
    assert all(answer.models == ("b",) for answer in answers)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_exactly_one_candidate_per_further_member_is_made_and_deleted(size):
    models = list("abcde")[:size]
    right = {"+".join(group): len(group) for n in range(1, size + 1) for group in itertools.combinations(models, n)}
    _, engine = fit(models, right)
    assert len(engine.merged) == size - 1
    assert sorted(engine.discarded) == sorted(engine.names)
    assert len(engine.rounds) == size - 1  # the best and the first pair are asked together


def test_a_candidate_is_deleted_before_the_next_is_made():
    alive = []

    class Watched(Engine):
        def merge(self, recipe):
            alive.append(set(self.names) - set(self.discarded))
            return super().merge(recipe)

    method = make_method(ID, {})
    engine = Watched(scoring({**THREE, "a+b": 12, "a+b+c": 13}))
    method.fit(fit_context(models=["a", "b", "c"], questions=DEV, replies=engine, method=ID))
    assert alive == [set(), set()]


@pytest.mark.parametrize("models", list(itertools.permutations("abc")))
def test_permuting_members_with_distinct_scores_gives_the_same_recipe(models):
    right = {**THREE, "a+b": 9, "b+c": 11}
    dev = {name: THREE[name] / 20 for name in "abc"}
    assert fit(models, right, dev)[0].models["soup"] == recipe("b", "c")
    right = {**THREE, "a+b": 11, "a+b+c": 11}
    assert fit(models, right, dev)[0].models["soup"] == recipe("b", "a", "c")


def test_copies_of_one_model_are_all_kept():
    right = {"a": 7, "a+a": 7, "a+a+a": 7}
    state, _ = fit(["a", "a", "a"], right)
    assert state.models["soup"] == recipe("a", "a", "a")


@pytest.mark.parametrize(
    ("single", "merged", "gain", "kept"),
    [
        (10, 12, 0.1, True),
        (10, 11, 0.1, False),
        (10, 10, 0.0, True),
        (10, 11, 0.05, True),
        (4, 6, 0.1, True),
        (2, 3, 0.05, True),
        (12, 13, 0.05, True),
        (12, 14, 0.1, True),
    ],
)
def test_min_gain_is_reached_by_exactly_that_gain(single, merged, gain, kept):
    state, _ = fit(["a", "b"], {"a": single, "b": 0, "a+b": merged}, min_gain=gain)
    assert state.models["soup"] == (recipe("a", "b") if kept else recipe("a"))


def test_every_gain_of_whole_items_is_reached_exactly():
    for single, merged in itertools.combinations(range(21), 2):
        gain = (merged - single) / 20
        state, _ = fit(["a", "b"], {"a": single, "b": 0, "a+b": merged}, min_gain=gain)
        assert state.models["soup"] == recipe("a", "b"), (single, merged)


def test_negative_gains_are_refused():
    with pytest.raises(RequestError, match="min_gain"):
        make_method(ID, {"min_gain": -0.1})


@pytest.mark.parametrize(("greedy", "temperature"), [(True, 0.0), (False, 0.7)])
def test_candidates_and_the_best_member_are_compared_under_one_decoding(greedy, temperature):
    _, engine = fit(["a", "b"], {"a": 5, "b": 4, "a+b": 6}, greedy_selection=greedy)
    assert {asked.decoding.temperature for asked in engine.requests} == {temperature}
    assert {asked.decoding.max_new_tokens for asked in engine.requests} == {16}
    assert [asked.model for asked in engine.rounds[0]][:20] == ["a"] * 20
    assert {asked.prompt for asked in engine.requests} == {item.prompt for item in DEV}
    assert {asked.purpose for asked in engine.requests} == {"candidate"}


def test_the_soup_is_never_worse_on_dev_than_the_best_member():
    for merged in itertools.product((0, 9, 10, 11), repeat=3):
        right = {**THREE, **dict(zip(("a+b", "b+c", "a+b+c"), merged, strict=True))}
        state, _ = fit(["a", "b", "c"], right)
        names = "+".join(sorted(state.data["models"]))
        assert right[names] >= right["b"]


def test_ranking_uses_the_plain_dev_scores():
    state, engine = fit(["a", "b"], {"a": 10, "b": 5, "a+b": 11}, dev={"a": 0.1, "b": 0.2})
    assert engine.merged == [recipe("b", "a")]
    assert state.data["dev_means"] == [0.1, 0.2]
    assert state.data["steps"][0] == {"tried": [1], "dev": 0.25, "kept": True}


def test_answers_are_the_plain_responses_of_the_soup_and_name_its_members():
    world = World(("a", "b"), items=4)
    method = make_method(ID, {})
    state = world.fit(method)
    engine = Engine(world.replies)
    rows = world.answer(method, state, engine)
    assert engine.reads == [("plain", "soup", 0)]
    assert engine.requests == []
    assert all(row["models"] == state.data["models"] for row in rows.values())


def test_it_asks_for_models_that_can_be_averaged():
    needs = make_method(ID, {}).needs(PoolInfo.of_size(3))
    assert needs.same == {"architecture", "tokenizer"}
    assert needs.capabilities == {"weights"}
    assert needs.models == ("soup",)
    assert needs.min_models == 2


def test_the_average_of_all_is_scored_for_comparison_where_it_was_no_candidate():
    right = {**THREE, "a+b": 9, "b+c": 11, "a+b+c": 7}
    state, engine = fit(["a", "b", "c"], right, compare_uniform=True)
    assert state.data["uniform_dev"] == 0.35
    assert engine.merged == [recipe("b", "a"), recipe("b", "c"), recipe("b", "a", "c")]
    assert [asked.purpose for asked in engine.rounds[-1]] == ["reference"] * 20
    assert sorted(engine.discarded) == sorted(engine.names)
    alone, _ = fit(["a", "b", "c"], right)
    assert alone.models == state.models
    assert alone.data == {name: value for name, value in state.data.items() if name != "uniform_dev"}


@pytest.mark.parametrize("last", [9, 13])
def test_an_average_of_all_that_was_a_candidate_is_not_scored_again(last):
    state, engine = fit(["a", "b", "c"], {**THREE, "a+b": 11, "a+b+c": last}, compare_uniform=True)
    assert state.data["uniform_dev"] == last / 20
    assert len(engine.merged) == 2
