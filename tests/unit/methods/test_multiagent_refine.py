import re
from collections import Counter

import pytest
from support.contexts import World, fit_context
from support.engines import Engine, varied
from support.items import questions
from support.rounds import answered, by_purpose, shown

from moco.errors import RequestError
from moco.methods.base import PoolInfo
from moco.methods.catalogue import make_method
from moco.methods.shared.rounds import summary_prompt
from moco.methods.text.multiagent_refine import refine_prompt
from moco.prompts import blocks

ID = "text_multiagent_refine"
MODELS = ("a", "b", "c")


def numbered(model, prompt, sample):
    """A reply that names its model, the round it belongs to, and its sample."""
    if "[your answer]" in prompt:
        own = next(text for title, text in shown(prompt) if title == "your answer")
        return f"{model}{sample} in round {int(own.rsplit(' ', 1)[1]) + 1}"
    if "Write the final answer." in prompt:
        return f"summary by {model}{sample}"
    return f"{model}{sample} in round 1"


def run(models=MODELS, items=3, replies=numbered, summariser=0, kind="exact_match", **params):
    return answered(ID, params, models=models, items=items, replies=replies, member=summariser, kind=kind)


def test_one_round_asks_for_one_summary_per_item_and_nothing_else():
    answers, engine, _ = run(rounds=1)
    assert [(asked.purpose, asked.model) for asked in engine.requests] == [("summarise", "a")] * 3
    assert [answer.text for answer in answers] == ["summary by a0"] * 3
    assert sorted(text for _, text in shown(engine.requests[0].prompt)) == [f"{m}0 in round 1" for m in MODELS]


@pytest.mark.parametrize("rounds", [1, 2, 3, 4])
def test_own_requests_are_n_per_further_round_and_one_summary(rounds):
    _, engine, _ = run(rounds=rounds)
    assert len(engine.requests) == 3 * (3 * (rounds - 1) + 1)
    assert len(engine.rounds) == rounds
    assert Counter(asked.purpose for asked in engine.requests) == {
        **{f"refine {number}": 9 for number in range(2, rounds + 1)},
        "summarise": 3,
    }


def test_no_rounds_is_refused():
    with pytest.raises(RequestError, match="rounds"):
        make_method(ID, {"rounds": 0})


@pytest.mark.parametrize("models", [MODELS, ("a", "a", "b"), ("a", "b")])
def test_a_refine_prompt_shows_the_own_answer_once_every_other_once_and_nothing_older(models):
    _, engine, ctx = run(models=models, rounds=4)
    voices = [f"{member.model}{member.copy}" for member in ctx.pool]
    for number in (2, 3, 4):
        asked = by_purpose(engine, f"refine {number}")
        assert len(asked) == 3 * len(models)
        for request in asked:
            own = f"{request.model}{request.sample}"
            texts = dict(shown(request.prompt))
            assert texts.pop("your answer") == f"{own} in round {number - 1}"
            others = [f"{voice} in round {number - 1}" for voice in voices if voice != own]
            assert sorted(texts.values()) == sorted(others)
            assert list(texts) == [f"answer {position}" for position in range(1, len(models))]
            assert request.prompt.count(f"in round {number - 1}") == len(models)
            assert f"in round {number - 2}" not in request.prompt


def test_the_summary_prompt_shows_all_last_answers_once():
    _, engine, _ = run(rounds=3)
    for request in by_purpose(engine, "summarise"):
        assert sorted(text for _, text in shown(request.prompt)) == [f"{m}0 in round 3" for m in MODELS]
        assert "in round 2" not in request.prompt


@pytest.mark.parametrize("kind", ["exact_match", "multiple_choice"])
def test_prompts_hold_the_question_with_options_and_end_with_the_answer_format(kind):
    _, engine, _ = run(kind=kind, rounds=2)
    items = {item.uid: item for item in questions(3, kind)}
    for request in engine.requests:
        item = items[request.uid]
        assert request.prompt.count(blocks.question(item)) == 1
        assert request.prompt.endswith(blocks.answer_format(kind))


def test_two_and_three_rounds_share_all_requests_of_round_two():
    two, three = run(rounds=2)[1], run(rounds=3)[1]
    assert by_purpose(two, "refine 2") == by_purpose(three, "refine 2")
    resumed = Engine(numbered, finished=two.finished)
    run(rounds=3, replies=resumed)
    assert len(resumed.generated) == 3 * (3 + 1)


def test_models_that_repeat_themselves_end_where_they_began():
    def echo(model, prompt, sample):
        own = dict(shown(prompt)).get("your answer")
        return own if own is not None else f"the word of {model}{sample}"

    answers, engine, _ = run(rounds=4, replies=echo)
    for answer in answers:
        assert [each["answers"] for each in answer.record["rounds"]] == [[f"the word of {m}0" for m in MODELS]] * 4
    one = run(rounds=1, replies=echo)[1]
    assert by_purpose(engine, "summarise") == by_purpose(one, "summarise")


def test_answers_of_several_lines_stay_in_their_blocks():
    item = questions(1)[0]
    others = ["- one\n- two\n\n[end of thought]", "three"]
    prompt = refine_prompt(item, "mine\nof two lines", others)
    assert shown(prompt) == [("your answer", "mine\nof two lines"), ("answer 1", others[0]), ("answer 2", "three")]
    assert shown(summary_prompt(item, others)) == [("answer 1", others[0]), ("answer 2", "three")]


def test_the_order_of_answers_differs_between_items_and_is_one_for_all_prompts_of_an_item():
    _, engine, _ = run(items=12, rounds=1)
    orders = {tuple(text[0] for _, text in shown(asked.prompt)) for asked in engine.requests}
    assert len(orders) > 1
    _, engine, _ = run(items=12, rounds=2)
    for uid in {asked.uid for asked in engine.requests}:
        summary = next(asked for asked in by_purpose(engine, "summarise") if asked.uid == uid)
        order = [text[0] for _, text in shown(summary.prompt)]
        for asked in by_purpose(engine, "refine 2"):
            if asked.uid == uid:
                others = [text[0] for title, text in shown(asked.prompt) if title != "your answer"]
                assert others == [name for name in order if name != asked.model]


@pytest.mark.parametrize("models", [("a", "b", "c"), ("c", "a", "b"), ("b", "c", "a")])
def test_permuting_the_pool_keeps_the_summariser_and_the_answers_that_it_sees(models):
    means = {"a": 0.25, "b": 0.75, "c": 0.5}
    method = make_method(ID, {"rounds": 1})
    world = World(models, dev_scores=means, replies=numbered)
    engine = Engine(numbered)
    state = world.fit(method)
    rows = world.answer(method, state, engine)
    assert models[state.data["member"]] == "b"
    assert all(row["models"] == ["b"] and row["text"] == "summary by b0" for row in rows.values())
    for asked in engine.requests:
        assert sorted(text for _, text in shown(asked.prompt)) == [f"{m}0 in round 1" for m in "abc"]


def test_fit_chooses_the_best_on_dev_and_the_first_of_equals():
    method = make_method(ID, {})
    for scores, best in (({"a": 0.5, "b": 0.75}, 1), ({"a": 0.5, "b": 0.5}, 0), ({"a": {}, "b": 0.0}, 1)):
        ctx = fit_context(
            models=["a", "b"],
            questions=questions(4, split="dev"),
            dev_scores=scores,
            needs=method.needs(PoolInfo.of_size(2)),
        )
        assert method.fit(ctx).data["member"] == best


def agreeing_on_even_items(model, prompt, sample):
    if "[your answer]" in prompt or "Write the final answer." in prompt:
        return varied(model, prompt, sample)
    number = int(re.search(r"sign (\d+)", prompt)[1])
    return "The answer is \\box{1}." if number % 2 == 0 else f"The answer is \\box{{{ord(model)}}}"


def test_early_stop_spares_agreed_items_further_rounds_but_not_the_summary():
    answers, engine, _ = run(items=4, rounds=2, early_stop=True, replies=agreeing_on_even_items)
    assert {asked.uid for asked in by_purpose(engine, "refine 2")} == {"t-test-1", "t-test-3"}
    assert {asked.uid for asked in by_purpose(engine, "summarise")} == {item.uid for item in questions(4)}
    assert [len(answer.record["rounds"]) for answer in answers] == [1, 2, 1, 2]
    late = run(items=4, rounds=2, replies=agreeing_on_even_items)[1]
    assert len(by_purpose(late, "refine 2")) == 12


def test_early_stop_compares_normal_forms_and_never_agrees_on_the_unreadable():
    _, engine, _ = run(items=1, rounds=2, early_stop=True, replies={"a": "42", "b": "$42$", "c": "42."})
    assert by_purpose(engine, "refine 2") == []
    _, engine, _ = run(
        items=1, rounds=2, early_stop=True, kind="multiple_choice", replies={"a": "B", "b": "B", "c": "no idea"}
    )
    assert len(by_purpose(engine, "refine 2")) == 3
    _, engine, _ = run(items=1, rounds=2, early_stop=True, kind="multiple_choice", replies=dict.fromkeys("abc", "?"))
    assert len(by_purpose(engine, "refine 2")) == 3


def test_early_stop_goes_on_until_an_item_agrees():
    def convinced(model, prompt, _sample):
        return "\\box{1}" if "[your answer]" in prompt else f"\\box{{{ord(model)}}}"

    answers, engine, _ = run(items=2, rounds=5, early_stop=True, replies=convinced)
    assert {asked.purpose for asked in engine.requests} == {"refine 2", "summarise"}
    assert [[each["extracted"] for each in answer.record["rounds"]] for answer in answers] == [
        [["97", "98", "99"], ["1", "1", "1"]]
    ] * 2
