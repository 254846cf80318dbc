"""What AggLM learns from, and what it shows."""

from collections import Counter

import pytest
from support.contexts import World, fit_context
from support.engines import Engine, fingerprint
from support.items import questions, right_reply, wrong_reply

from moco.errors import RequestError
from moco.methods.base import PoolInfo
from moco.methods.catalogue import make_method
from moco.methods.text.agglm import balanced, candidate_sets, shown_order
from moco.models.recipes import Recipe, Trained

MODELS = ("a", "b", "c")
ITEMS = questions(8, split="dev")


def replies(right):
    """Each model is right on the items whose numbers it is given, in every sample."""
    known = {item.prompt: (number, item) for number, item in enumerate(ITEMS)}

    def reply(model, prompt, _sample):
        if prompt not in known:
            return "an aggregate"
        number, item = known[prompt]
        return right_reply(item) if number in right.get(model, ()) else wrong_reply(item)

    return reply


def sets_of(right, samples=1, **settings):
    ctx = fit_context(models=MODELS, questions=ITEMS, replies=replies(right), method="text_agglm", **settings)
    return ctx, candidate_sets(ctx, samples, 1.0)


def test_a_set_is_hard_where_most_are_wrong():
    _, sets = sets_of({"a": range(4), "b": range(2, 6), "c": range(1)})
    # Item 0: a and c are right; 1: a alone; 2, 3: a and b; 4, 5: b alone; 6, 7: nobody.
    assert [one.hard for one in sets] == [False, True, False, False, True, True, True, True]
    assert [one.majority for one in sets] == [1, 0, 1, 1, 0, 0, 0, 0]


def test_unreadable_answers_have_no_vote_and_a_tie_goes_to_the_first():
    item = ITEMS[0]
    script = {"a": right_reply(item), "b": wrong_reply(item), "c": ""}
    ctx = fit_context(models=MODELS, questions=[item], replies=script)
    assert [one.hard for one in candidate_sets(ctx, 1, 1.0)] == [False]
    ctx = fit_context(models=MODELS, questions=[item], replies=dict.fromkeys(MODELS, ""))
    assert [one.hard for one in candidate_sets(ctx, 1, 1.0)] == [True]


def test_all_hard_sets_are_learnt_and_as_many_easy_ones():
    for right, hard, easy in [({"a": range(6), "b": range(6)}, 2, 6), ({"a": range(3), "b": range(3)}, 5, 3)]:
        ctx, sets = sets_of(right)
        learnt = balanced(ctx, sets)
        assert Counter(one.hard for one in learnt) == {True: hard, False: min(hard, easy)}
        assert {one.item.uid for one in sets if one.hard} <= {one.item.uid for one in learnt}
        assert balanced(ctx, sets) == learnt
    other, again = sets_of({"a": range(6), "b": range(6)}, seed=3)
    first, sets = sets_of({"a": range(6), "b": range(6)}, seed=1)
    drawn = [{one.item.uid for one in balanced(*pair)} for pair in ((other, again), (first, sets))]
    assert drawn[0] != drawn[1]


def test_what_counts_as_right_is_a_matter_of_degree():
    [item] = questions(1, "f1_match", split="dev")
    said = dict.fromkeys(MODELS, "\\box{word0 and more}")
    ctx = fit_context(models=MODELS, questions=[item], replies=said, scorer="paper")
    found = [candidate_sets(ctx, 1, right)[0] for right in (1.0, 0.6, 0.5)]
    assert [one.hard for one in found] == [True, True, False]
    assert {one.majority for one in found} == {0.5}  # one of three words is asked for: 2 * 1/3 / (1 + 1/3)


def test_every_sample_is_a_set_of_its_own():
    _, sets = sets_of({"a": range(8)}, samples=3)
    assert [(one.item.uid, one.number) for one in sets[:4]] == [
        (ITEMS[0].uid, 0),
        (ITEMS[0].uid, 1),
        (ITEMS[0].uid, 2),
        (ITEMS[1].uid, 0),
    ]


def test_candidates_are_shown_in_an_order_of_the_item():
    ctx, _ = sets_of({})
    orders = {tuple(shown_order(ctx, item, 3)) for item in ITEMS}
    assert len(orders) > 1
    assert all(sorted(order) == [0, 1, 2] for order in orders)


def fitted(right, **params):
    method = make_method("text_agglm", params)
    engine = Engine(replies(right))
    needs = method.needs(PoolInfo.of_size(len(MODELS)))
    ctx = fit_context(models=MODELS, questions=ITEMS, replies=engine, needs=needs, method="text_agglm")
    return method, engine, method.fit(ctx)


def test_it_learns_prompts_with_their_items_and_not_those_that_are_held_out():
    _, engine, state = fitted({"a": range(2), "b": range(2)}, held_out=0.25)
    [(kind, parent, name, examples, how)] = engine.trained
    assert (kind, parent, name) == ("grpo", "aggregator", "aggregate")
    checked = {asked.uid for asked in engine.requests}
    assert len(checked) == 2 == state.data["held_out"]
    assert not checked & {example.uid for example in examples}
    assert len(examples) == state.data["learnt"]
    assert {example.source.split()[0] for example in examples} <= {"hard", "easy"}
    prompts = {item.uid: item.question for item in ITEMS}
    assert all(prompts[example.uid] in example.prompt for example in examples)
    assert how["max_new_tokens"] == 16, "replies are as long as the task's"
    assert set(state.data["scores"]) == {"majority", "aggregator", "aggregate"}
    assert isinstance(state.models["aggregate"], Trained)


def test_a_warm_start_copies_right_candidates_of_what_is_learnt_before_rewards_go_on_from_there():
    _, engine, state = fitted({"a": range(3), "b": range(1, 4), "c": {7}}, warm_start={"rank": None}, held_out=0.25)
    (warm, parent, name, copied, how), (kind, start, made, examples, _) = engine.trained
    assert (warm, parent, name, kind, start, made) == ("sft", "aggregator", "beginner", "grpo", "beginner", "aggregate")
    assert how["rank"] is None
    learnt = {example.prompt: example.uid for example in examples}
    items = {item.uid: item for item in ITEMS}
    # One of a, b and c is right on items 0 to 3 and 7; of the others no candidate can be copied.
    known = {item.uid for number, item in enumerate(ITEMS) if number in (0, 1, 2, 3, 7)}
    assert {example.uid for example in copied} == set(learnt.values()) & known != set()
    assert all(learnt[example.prompt] == example.uid for example in copied)
    assert all(example.reply == right_reply(items[example.uid]) for example in copied)
    assert state.data["copied"] == len(copied)


def test_a_warm_start_without_a_right_candidate_is_left_out():
    _, engine, state = fitted({}, warm_start={})
    assert [kind for kind, *_ in engine.trained] == ["grpo"]
    assert state.data["copied"] == 0


def test_without_a_hard_set_the_untrained_model_answers():
    method, engine, state = fitted(dict.fromkeys(MODELS, range(8)))
    assert engine.trained == []
    assert state.models["aggregate"] == Recipe("linear", (fingerprint("aggregator"),), (1.0,))
    world, asking = World(MODELS), Engine()
    rows = world.answer(method, state, asking)
    assert {row["fallback"] for row in rows.values()} == {"no dev item has a wrong majority to learn from"}
    untrained = {asked.uid: asking.text("aggregator", asked.prompt, asked.sample, "") for asked in asking.requests}
    assert {uid: row["text"] for uid, row in rows.items()} == untrained


@pytest.mark.parametrize("samples", [1, 2])
def test_the_answer_is_the_aggregate_of_all_members(samples):
    method, _, state = fitted({"a": range(2)}, samples=samples)
    engine = Engine()
    world = World(MODELS)
    rows = world.answer(method, state, engine)
    for asked in engine.requests:
        assert asked.model == "aggregate"
        for model in MODELS:
            item = next(item for item in world.test if item.uid == asked.uid)
            assert engine.text(model, item.prompt, 0, item.uid) in asked.prompt
    assert {row["text"] for row in rows.values()} == {
        engine.text("aggregate", asked.prompt, asked.sample, asked.uid) for asked in engine.requests
    }


@pytest.mark.parametrize("training", [{"group": 1, "batch": 4}, {"temperature": 0}, {"temperature": 0.0, "group": 4}])
def test_replies_that_cannot_differ_teach_nothing_and_are_refused(training):
    with pytest.raises(RequestError, match=r"group|temperature"):
        make_method("text_agglm", {"training": training})
