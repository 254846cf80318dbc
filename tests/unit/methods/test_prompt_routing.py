import logging

import pytest
from support.contexts import answer_context, fit_context
from support.engines import Engine
from support.items import questions

from moco.methods.api.prompt_routing import numbers, parse_choice
from moco.methods.base import State
from moco.methods.catalogue import make_method

ID = "api_prompt_routing"
DESCRIPTIONS = {"a": "adds numbers", "b": "writes words backwards", "c": "knows capitals"}


def route(reply, *, models=("a", "b", "c"), router=0, items=3, engine=None, **params):
    """Answers by item when the router's reply is a function of its prompt; plain replies are `<model> <item>`."""
    asked = questions(items)

    def replies(model, prompt, _sample):
        plain = next((item for item in asked if item.prompt == prompt), None)
        return f"{model} {plain.uid}" if plain else reply(prompt)

    engine = engine or Engine(replies)
    ctx = answer_context(
        models=models, questions=asked, replies=engine, descriptions=[DESCRIPTIONS[name] for name in models]
    )
    return {each.uid: each for each in make_method(ID, params).answer(ctx, State({"member": router}))}, ctx, engine


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("2", 2),
        (" 2.", 2),
        ("Model 3 fits best.", 3),
        ("not 3, choose 1", 1),
        ("12", None),
        ("12 or rather 2", 2),
        ("0", None),
        ("-1", None),
        ("1.5", None),
        ("2nd", None),
        ("the first one", None),
        ("", None),
        ("In 1999 nobody but 2 knew", 2),
        ("1) adds numbers", 1),
        ("3 and 1", 3),
        ("The model that writes words backwards.", 2),
        ("Adds numbers", 1),
        ("adds numbers or knows capitals", None),
        ("not 2: knows capitals", 3),
    ],
)
def test_the_first_standing_number_in_range_is_the_choice(reply, choice):
    assert parse_choice(reply, list(DESCRIPTIONS.values())) == choice


@pytest.mark.parametrize("choice", [1, 2, 3])
def test_a_router_that_always_says_k_gives_member_k(choice):
    answers, ctx, engine = route(lambda _prompt: str(choice))
    model = "abc"[choice - 1]
    assert {uid: each.text for uid, each in answers.items()} == {uid: f"{model} {uid}" for uid in answers}
    assert all(each.models == (model,) and each.fallback is None for each in answers.values())
    # One routing call per item, and nothing else is generated; one plain response per item is read.
    assert len(engine.requests) == 3
    assert {asked.model for asked in engine.requests} == {"a"}
    assert sum(call["kind"] == "plain" for call in ctx.calls) == 3
    assert {call["model"] for call in ctx.calls if call["kind"] == "plain"} == {model}


def test_garbage_leaves_the_question_to_the_router(caplog):
    with caplog.at_level(logging.WARNING, "moco"):
        answers, _, _ = route(lambda _prompt: "whatever", router=2)
    assert {each.text for each in answers.values()} == {f"c {uid}" for uid in answers}
    assert all(each.fallback for each in answers.values())
    assert "named no model for 3 of 3 items" in caplog.text


def test_few_fallbacks_are_no_warning(caplog):
    with caplog.at_level(logging.WARNING, "moco"):
        route(lambda prompt: "?" if "sign 7?" in prompt else "1", items=20)
    assert "named no model" not in caplog.text


def test_the_prompt_shows_the_question_and_every_description_by_number():
    _, _, engine = route(lambda _prompt: "1")
    for asked, item in zip(engine.requests, questions(3), strict=True):
        parts = [item.question, *DESCRIPTIONS.values(), "Write its number only."]
        places = [asked.prompt.index(part) for part in parts]
        assert places == sorted(places)
        for number, text in enumerate(DESCRIPTIONS.values(), start=1):
            assert f"\n{number}) {text}" in asked.prompt
        assert asked.decoding.greedy
        assert asked.decoding.max_new_tokens == 16
        assert not any(f" {name} " in asked.prompt for name in ("model a", "model b"))


def test_members_in_another_order_change_nothing_for_a_router_that_reads_descriptions():
    def reply(prompt):
        line = next(line for line in prompt.splitlines() if line.endswith(DESCRIPTIONS["b"]))
        return line.split(")")[0]

    first, _, _ = route(reply)
    second, _, _ = route(reply, models=("c", "b", "a"), router=2)
    assert {uid: each.text for uid, each in first.items()} == {uid: each.text for uid, each in second.items()}


def test_the_router_is_the_member_best_on_dev():
    ctx = fit_context(
        models=["a", "b", "c"], questions=questions(4, split="dev"), dev_scores={"a": 0.5, "b": 0.75, "c": 0.75}
    )
    assert make_method(ID, {}).fit(ctx).data == {"member": 1, "dev_means": [0.5, 0.75, 0.75]}


def test_an_answer_is_the_plain_response_of_a_member_whatever_the_router_says():
    for reply in ("1", "3", "?", "2 or 3"):
        answers, _, _ = route(lambda _prompt, reply=reply: reply)
        for uid, each in answers.items():
            assert each.text in {f"{model} {uid}" for model in "abc"}
            assert each.text.startswith(each.models[0])


def test_the_likeliest_number_is_the_choice_and_nothing_is_parsed():
    engine = Engine(
        lambda model, _prompt, _: f"{model} said", measure=lambda _m, _p, option: (-abs(float(option) - 2),)
    )
    answers, _, _ = route(None, engine=engine, choice="likeliest")
    assert all(each.models == ("b",) and each.fallback is None for each in answers.values())
    assert all(each.record["logprobs"] == [-1, 0, -1] for each in answers.values())
    assert all(asked.decoding is None for asked in engine.requests)


@pytest.mark.parametrize("count", [2, 9, 10, 120])
def test_no_number_begins_another(count):
    names = numbers(count)
    assert len(set(names)) == count
    assert not [(one, other) for one in names for other in names if one != other and other.startswith(one)]


def test_rotations_tell_a_router_that_reads_from_one_that_goes_by_place():
    def reads(prompt):
        line = next(line for line in prompt.splitlines() if line.endswith(DESCRIPTIONS["b"]))
        return line.split(")")[0]

    answers, _, engine = route(reads, rotations=2)
    assert len(engine.rounds) == 1
    assert len(engine.requests) == 9
    for each in answers.values():
        assert each.models == ("b",)
        assert (each.record["rotated"], each.record["flipped"]) == ([1, 1], False)
    answers, _, _ = route(lambda _prompt: "1", rotations=2)
    for each in answers.values():
        assert each.models == ("a",)
        assert (each.record["rotated"], each.record["flipped"]) == ([1, 2], True)
