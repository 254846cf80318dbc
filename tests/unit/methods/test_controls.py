from collections import Counter

import pytest
from support.contexts import World, answer_context, fit_context
from support.items import questions

from moco.methods.base import PoolInfo, State
from moco.methods.catalogue import make_method
from moco.seeds import generator

NAMES = {"a": "from a", "b": "from b", "c": "from c"}


def answers(id, models, items=30, state=None, seed=1, replies=NAMES):
    ctx = answer_context(models=models, questions=questions(items), replies=replies, method=id, seed=seed)
    return list(make_method(id, {}).answer(ctx, state or State())), ctx


def test_random_repeats_a_member_drawn_per_item_by_seed_and_item():
    given, _ = answers("control_random", ["a", "b", "c"])
    for answer in given:
        index = answer.record["member"]
        assert index == generator(1, "control_random", "member", answer.uid).integers(3)
        assert answer.models == ("abc"[index],)
        assert answer.text == f"from {'abc'[index]}"
    again, _ = answers("control_random", ["a", "b", "c"], seed=2)
    assert [answer.record for answer in again] != [answer.record for answer in given]


def test_random_draws_all_members_about_equally_often():
    given, _ = answers("control_random", ["a", "b", "c"], items=600)
    assert all(150 < count < 250 for count in Counter(answer.text for answer in given).values())


def test_random_reads_one_response_per_item():
    _, ctx = answers("control_random", ["a", "b", "c"])
    assert Counter(call["uid"] for call in ctx.calls) == {item.uid: 1 for item in questions(30)}


def test_random_with_copies_draws_samples():
    given, ctx = answers("control_random", ["a", "a"], replies=lambda _model, _prompt, sample: f"sample {sample}")
    assert {answer.text for answer in given} == {"sample 0", "sample 1"}
    assert all(answer.text == f"sample {answer.record['member']}" for answer in given)
    assert {call["member"] for call in ctx.calls} == {0, 1}


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ({"a": 0.2, "b": 0.4, "c": 0.3}, 1),
        ({"a": 0.4, "b": 0.4, "c": 0.3}, 0),
        ({"a": 0.0, "b": 0.0, "c": 0.0}, 0),
        ({"a": {}, "b": 0.0, "c": {}}, 1),
        ({"a": -2.0, "b": -1.0, "c": {}}, 1),
        ({"a": {}, "b": {}, "c": {}}, 0),
    ],
)
def test_best_single_repeats_the_member_best_on_dev(scores, chosen):
    method = make_method("control_best_single", {})
    ctx = fit_context(
        models=["a", "b", "c"],
        questions=questions(3, split="dev"),
        dev_scores=scores,
        needs=method.needs(PoolInfo.of_size(3)),
    )
    state = method.fit(ctx)
    assert state.data["member"] == chosen
    given, _ = answers("control_best_single", ["a", "b", "c"], state=state)
    assert {(answer.text, *answer.models) for answer in given} == {(f"from {'abc'[chosen]}", "abc"[chosen])}


def test_a_declared_member_answers_whatever_dev_says():
    method = make_method("control_best_single", {"member": 2})
    needs = method.needs(PoolInfo.of_size(3))
    assert (needs.fit, needs.min_models) == (None, 2)
    world = World(("a", "b", "c"), replies=NAMES)
    assert {row["text"] for row in world.answer(method, State()).values()} == {"from b"}


def test_best_single_of_one_member_is_that_member():
    world = World(("a",), replies=NAMES)
    method = make_method("control_best_single", {})
    assert {row["text"] for row in world.answer(method, world.fit(method)).values()} == {"from a"}


def test_best_single_reads_one_response_per_item():
    _, ctx = answers("control_best_single", ["a", "b"], state=State({"member": 1}))
    assert Counter((call["uid"], call["model"]) for call in ctx.calls) == {(i.uid, "b"): 1 for i in questions(30)}
