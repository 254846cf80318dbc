"""Labels, prompts and routes of the trained router."""

import logging
from math import log

import pytest
from support.contexts import World, fit_context
from support.engines import Engine
from support.items import questions

from moco.methods.api.trained_router import targets
from moco.methods.catalogue import make_method

MODELS = ("a", "b", "c")
ITEMS = questions(6, split="dev")
REWARDS = {"reply of a": 0.1, "reply of b": 0.7, "reply of c": 0.3}


def measure(_model, *texts):
    """The reward of a reply; the log-probability of an option otherwise: the first one is the likeliest."""
    return (REWARDS.get(texts[-1], -float(texts[-1][-1]) if texts[-1][-1].isdigit() else 0.0),)


def labels(table, models=MODELS, measure=measure, **params):
    """Labels that are learnt from a table of scores, items by members, by the number of the item."""
    method = make_method("api_trained_router", {"held_out": 0.0, **params})
    items = ITEMS[: len(table)]
    scores = {
        model: {item.uid: row[place] for item, row in zip(items, table, strict=True) if row[place] is not None}
        for place, model in enumerate(models)
    }
    engine = Engine({model: f"reply of {model}" for model in models}, measure=measure)
    ctx = fit_context(models=models, questions=items, replies=engine, dev_scores=scores, method=method.id)
    state = method.fit(ctx)
    numbers = {item.uid: number for number, item in enumerate(ITEMS)}
    learnt = {} if not engine.trained else {numbers[one.uid]: one.reply for one in engine.trained[0][3]}
    return learnt, state, engine


def test_the_best_scored_member_is_the_label_and_rewards_tell_equal_ones_apart():
    learnt, _, engine = labels([[1, 0, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 0, 0]])
    assert learnt == {0: "Model 1", 1: "Model 3", 2: "Model 3", 3: "Model 2", 4: "Model 2"}
    asked = [item for item in engine.requests if item.purpose == "reward"]
    assert len(asked) == 2 + 3 + 3, "only replies of equal score are rewarded"


def test_fully_equal_members_give_the_first():
    learnt, _, _ = labels([[1, 1, 1]], measure=lambda *_: (0.5,))
    assert learnt == {0: "Model 1"}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"ties": "first"}, {0: "Model 1", 1: "Model 1", 2: "Model 1"}),
        ({"ties": "drop"}, {0: "Model 1"}),
        ({"undecided": "drop"}, {0: "Model 1", 1: "Model 3"}),
    ],
)
def test_ties_and_items_that_tell_nothing(params, expected):
    learnt, _, engine = labels([[1, 0, 0], [1, 0, 1], [0, 0, 0]], **params)
    assert learnt == expected
    assert ("reward" in {item.purpose for item in engine.requests}) == ("ties" not in params)


def test_an_item_without_a_score_of_every_member_is_no_label():
    learnt, _, _ = labels([[1, 0, 0], [1, None, 0]])
    assert learnt == {0: "Model 1"}


def test_swapped_members_have_swapped_labels():
    table = [[1, 0, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1]]
    learnt, _, _ = labels(table)
    swapped, _, _ = labels([[row[2], row[1], row[0]] for row in table], models=("c", "b", "a"))
    exchange = {"Model 1": "Model 3", "Model 2": "Model 2", "Model 3": "Model 1"}
    assert swapped == {number: exchange[label] for number, label in learnt.items()}


def test_no_target_begins_another():
    for count in (2, 9, 10, 120):
        names = targets(count)
        assert len(set(names)) == count
        assert not [(one, other) for one in names for other in names if one != other and other.startswith(one)]


def test_one_member_that_is_always_best_is_every_label_and_has_no_entropy():
    _, state, _ = labels([[0, 1, 0]] * 5)
    assert state.data["labels"] == {"1": 5}
    assert (state.data["label_entropy"], state.data["best_single"]) == (0, 1)
    _, state, _ = labels([[0, 1, 0], [1, 0, 0]])
    assert state.data["label_entropy"] == pytest.approx(log(2), abs=1e-6)


def test_what_is_held_out_is_not_learnt_and_measures_the_router():
    table = [[1, 0, 0], [0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0.5, 0], [1, 0, 0]]
    learnt, state, engine = labels(table, held_out=0.5)
    checked = [asked.uid for asked in engine.requests if asked.purpose == "route"]
    assert len(learnt) == len(checked) == state.data["held_out"]["items"] == 3
    assert not {ITEMS[number].uid for number in learnt} & set(checked)
    rows = [table[number] for number, item in enumerate(ITEMS) if item.uid in checked]
    found = state.data["held_out"]
    # The script's likeliest option is always the first one.
    assert found["router"] == pytest.approx(sum(row[0] for row in rows) / 3)
    assert found["best_single"] == found["router"]
    assert found["oracle"] == pytest.approx(sum(map(max, rows)) / 3)
    assert found["accuracy"] == pytest.approx(sum(row[0] == max(row) for row in rows) / 3)
    assert state.data["routes"]


def test_it_falls_back_to_the_best_single_member_where_it_is_told_to():
    method = make_method("api_trained_router", {"fall_back": True, "held_out": 0.5})
    world = World(MODELS, dev_scores={"a": 0.0, "b": 1.0, "c": 0.0})
    state = world.fit(method, Engine(measure=measure))
    assert not state.data["routes"]
    for item, row in zip(world.test, world.answer(method, state).values(), strict=True):
        assert row["models"] == ["b"]
        assert row["text"] == Engine().text("b", item.prompt, 0, item.uid)
        assert row["fallback"]


def test_the_answer_is_the_plain_response_of_the_likeliest_member_by_the_prompt_of_training():
    method = make_method("api_trained_router", {"held_out": 0.0})
    world = World(MODELS, dev_scores={"a": 0.0, "b": 1.0, "c": 0.5})
    engine = Engine(measure=lambda _model, *texts: (-abs(int(texts[-1][-1]) - 3.0),))
    state = world.fit(method, engine)
    rows = world.answer(method, state, engine)
    for item in world.test:
        assert rows[item.uid]["models"] == ["c"]
        assert rows[item.uid]["text"] == engine.text("c", item.prompt, 0, item.uid)
    learnt = engine.trained[0][3][0].prompt
    asked = next(asked for asked in engine.requests if asked.purpose == "route")
    dev, test = (
        next(item for item in items if item.uid == uid)
        for items, uid in ((world.dev, engine.trained[0][3][0].uid), (world.test, asked.uid))
    )
    assert learnt.replace(dev.question, "?") == asked.prompt.partition("\nModel 1\n")[0].replace(test.question, "?")


def test_descriptions_are_shown_where_they_are_asked_for():
    for shown in (False, True):
        method = make_method("api_trained_router", {"descriptions": shown})
        world = World(MODELS, dev_scores={"a": 0.0, "b": 1.0, "c": 0.5})
        engine = Engine()
        world.fit(method, engine)
        assert all(("knows what b knows" in one.prompt) == shown for one in engine.trained[0][3])


def test_without_a_scored_item_the_first_member_answers():
    method = make_method("api_trained_router", {})
    world = World(MODELS, dev_scores={"a": {}, "b": {}, "c": {}})
    state = world.fit(method)
    assert {row["fallback"] for row in world.answer(method, state).values()} == {"no dev item to learn"}


@pytest.mark.parametrize(
    ("training", "steps"), [({}, 1), ({"steps": 19}, 19), ({"epochs": 6.5, "batch": 1}, None), ({"steps": 20}, None)]
)
def test_few_steps_are_warned_of(caplog, training, steps):
    with caplog.at_level(logging.WARNING, "moco"):
        labels([[1, 0, 0]] * 3, training=training)
    assert (f"hardly learns in {steps} steps" in caplog.text) == ("hardly" in caplog.text) == (steps is not None)
