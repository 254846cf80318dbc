"""What generators and critics learn from debates, and how the specialists answer."""

from dataclasses import replace

import pytest
from support.contexts import World, answer_context, fit_context
from support.engines import Engine
from support.items import questions, references, right_reply, wrong_reply

from moco.methods.base import State
from moco.methods.catalogue import make_method
from moco.methods.text.multiagent_finetuning import agreement, shares
from moco.models.recipes import Recipe, Trained

ID = "text_multiagent_finetuning"
MODELS = ("a", "b", "c")
ITEMS = questions(6, split="dev")


def script(first, last):
    """Replies by model and item: `first` to the question itself, `last` in debates; 1: right, 0: wrong, None: unreadable."""
    plain = {item.prompt: number for number, item in enumerate(ITEMS)}

    def reply(model, prompt, _sample):
        asked = plain.get(prompt)
        number = next(n for n, item in enumerate(ITEMS) if item.question in prompt) if asked is None else asked
        said = (last if asked is None else first)[model.rstrip("*")][number]
        words = "" if said is None else (right_reply if said else wrong_reply)(ITEMS[number])
        return f"{model} says {words}" + (" again" if asked is None else "")

    return reply


def fitted(first, last, gold=None, **params):
    method = make_method(ID, params)
    engine = Engine(script(first, last))
    ctx = fit_context(models=MODELS, questions=ITEMS, replies=engine, references=gold, method=ID)
    state = method.fit(ctx)
    return state, engine, {name: examples for _, _, name, examples, _ in engine.trained}


def numbers(examples):
    uids = [item.uid for item in ITEMS]
    return [uids.index(example.uid) for example in examples]


ALL = dict.fromkeys(MODELS, (1,) * 6)


def test_where_all_agree_generators_learn_all_items_and_no_answer_was_changed():
    state, _, data = fitted(ALL, ALL)
    for place, model in enumerate(MODELS):
        assert numbers(data[f"generator{place}"]) == list(range(6))
        assert [one.reply for one in data[f"generator{place}"]] == [
            f"{model} says {right_reply(item)}" for item in ITEMS
        ]
        assert [one.prompt for one in data[f"generator{place}"]] == [item.prompt for item in ITEMS]
    about = state.data["iterations"][0]
    assert (about["items"], about["agreed"]) == (6, 6)
    assert about["examples"]["critic0"] == {"examples": 3, "changed": 0, "kept": 6}
    assert all(isinstance(made, Trained) for made in state.models.values())


FIRST = {"a": (1, 1, 0, 0, 0, None), "b": (1, 0, 1, 0, 1, None), "c": (0, 0, 1, 1, 0, 1)}
LAST = {"a": (1, 1, 1, 0, 0, None), "b": (1, 1, 1, 0, 1, None), "c": (1, 0, 1, None, None, 1)}
# Agreed: 0, 1, 2 on the right answer, 3 on the wrong one (two of three); 4 is a tie, 5 has one vote of three.


def test_items_without_enough_agreement_are_in_no_data():
    _, _, data = fitted(FIRST, LAST)
    assert {number for examples in data.values() for number in numbers(examples)} <= {0, 1, 2, 3}


def test_specialists_learn_their_own_agreeing_words_from_the_prompts_that_they_read():
    state, engine, data = fitted(FIRST, LAST, w=1.0)
    assert {name: numbers(data[name]) for name in ("generator0", "generator1", "generator2")} == {
        "generator0": [0, 1, 3],
        "generator1": [0, 2, 3],
        "generator2": [2],
    }
    # With w = 1 critics learn changed answers alone.
    assert {name: numbers(data[name]) for name in ("critic0", "critic1", "critic2")} == {
        "critic0": [2],
        "critic1": [1],
        "critic2": [0],
    }
    read = {(asked.model, asked.uid): asked.prompt for asked in engine.requests}
    for place, model in enumerate(MODELS):
        for example in data[f"critic{place}"]:
            assert example.prompt == read[model, example.uid]
            assert example.reply not in example.prompt, "the target is not in the prompt"
            assert example.reply.startswith(f"{model} says")
    assert state.data["iterations"][0]["examples"]["critic0"] == {"examples": 1, "changed": 1, "kept": 3}


def test_with_w_zero_no_answer_that_was_changed_is_learnt():
    _, _, data = fitted(FIRST, LAST, w=0.0)
    assert {name: numbers(data[name]) for name in data if name.startswith("critic")} == {
        "critic0": [0, 1, 3],
        "critic1": [0, 2, 3],
        "critic2": [2],
    }


@pytest.mark.parametrize(
    ("changed", "kept", "w", "expected"),
    [(10, 10, 0.5, (10, 10)), (4, 10, 0.5, (4, 4)), (10, 3, 0.75, (9, 3)), (6, 9, 1.0, (6, 0)), (6, 9, 0.0, (0, 9)),
     (0, 8, 0.5, (0, 4)), (5, 0, 0.0, (0, 0))],
)  # fmt: skip
def test_the_share_of_changed_answers_is_w_as_far_as_there_are(changed, kept, w, expected):
    assert shares(changed, kept, w) == expected


def test_agreement_needs_more_than_the_share():
    ctx = fit_context(models=MODELS, questions=ITEMS)
    right, wrong = right_reply(ITEMS[0]), wrong_reply(ITEMS[0])
    assert agreement(ctx, ITEMS[0], [right, right, wrong, wrong], 0.5) is None
    assert agreement(ctx, ITEMS[0], [right, right, "", wrong], 0.5) is None
    assert agreement(ctx, ITEMS[0], [right, right, "", wrong], 0.49) == agreement(ctx, ITEMS[0], [right], 0.5)
    assert agreement(ctx, ITEMS[0], ["", ""], 0.0) is None


def test_a_member_with_nothing_to_learn_stays_as_it_is():
    state, _, data = fitted({**ALL, "c": (0,) * 6}, {**ALL, "c": (0,) * 6})
    assert {"generator2", "critic2"}.isdisjoint(data)
    assert {type(state.models[name]) for name in ("generator2", "critic2")} == {Recipe}
    ctx = answer_context(models=MODELS, questions=questions(2), fitted=state.models)
    assert [each.fallback for each in make_method(ID, {}).answer(ctx, state)] == [None, None]


def test_where_nobody_learned_anything_every_answer_says_so():
    nothing = dict.fromkeys(MODELS, (None,) * 6)
    state, engine, _ = fitted(nothing, nothing)
    assert engine.trained == []
    ctx = answer_context(models=MODELS, questions=questions(2), fitted=state.models)
    said = {each.fallback for each in make_method(ID, {}).answer(ctx, state)}
    assert said == {"no debate on dev ended in agreement to learn from"}


def test_a_second_iteration_goes_on_with_what_the_first_one_made():
    _, engine, _ = fitted(ALL, ALL, iterations=2)
    parents = [(name, parent) for _, parent, name, _, _ in engine.trained]
    assert parents[:6] == [(f"{kind}{place}", MODELS[place]) for place in range(3) for kind in ("generator", "critic")]
    assert parents[6:] == [(name, name) for name, _ in parents[:6]]


def test_one_round_has_no_critics():
    state, engine, data = fitted(ALL, ALL, rounds=1)
    assert set(data) == set(state.models) == {f"generator{place}" for place in range(3)}
    assert engine.requests == []


def test_without_iterations_and_debate_it_is_a_vote():
    settings = {"iterations": 0, "rounds": 1}
    world, method = World(MODELS), make_method(ID, settings)
    vote = make_method("text_majority_vote", {})
    mine, theirs = (world.answer(one, world.fit(one)) for one in (method, vote))
    clear = [uid for uid, row in theirs.items() if '"tied":false' in row["record_json"].replace(" ", "")]
    assert clear
    assert [mine[uid]["extracted"] for uid in clear] == [theirs[uid]["extracted"] for uid in clear]


@pytest.mark.parametrize("models", [("a", "b", "c"), ("c", "a", "b"), ("b", "c", "a")])
def test_a_tie_goes_to_the_first_answer_in_the_alphabet(models):
    ctx = answer_context(
        models=models, questions=questions(2, "multiple_choice"), replies={"a": "C", "b": "B", "c": "no idea"}
    )
    found = list(make_method(ID, {"iterations": 0, "rounds": 1}).answer(ctx, State()))
    assert [(each.extracted, each.models, each.record["tied"]) for each in found] == [("B", ("b",), True)] * 2


def test_debated_items_are_a_share_of_dev_drawn_by_seed():
    _, _, data = fitted(ALL, ALL, training_ratio=0.5)
    assert len(data["generator0"]) == 3
    assert numbers(data["generator0"]) == numbers(data["generator1"])


def test_labels_are_recorded_and_decide_nothing():
    first = {"a": (1, 1, 0, 0, 1, 1), "b": (1, 0, 0, 1, 0, 1), "c": (0, 0, 0, 1, 1, 1)}
    last = {"a": (1, 1, 0, 0, 1, 0), "b": (1, 1, 0, 0, 1, 0), "c": (1, 0, 0, 0, 1, 1)}
    state, _, data = fitted(first, last)
    about = state.data["iterations"][0]
    assert (about["agreed"], about["right"]) == (6, 0.5)
    right = references(ITEMS)
    wrong = {item.uid: replace(right[item.uid], gold="none of these") for item in ITEMS}
    other, _, same = fitted(first, last, wrong)
    assert other.data["iterations"][0]["right"] == 0.0
    assert same == data
    nothing, _, _ = fitted(ALL, dict.fromkeys(MODELS, (None,) * 6))
    assert nothing.data["iterations"][0]["right"] is None
