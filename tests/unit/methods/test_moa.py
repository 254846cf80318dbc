"""Mixture of agents: schedule, prompts, what rounds share; and the control that mixes one model's own samples."""

import pytest
from support.contexts import World, answer_context
from support.engines import Engine
from support.items import questions
from support.rounds import answered, by_purpose, shown

from moco.errors import RequestError
from moco.methods.base import PoolInfo, State
from moco.methods.catalogue import make_method
from moco.methods.shared.rounds import synthesis_prompt
from moco.prompts import blocks

ID, SELF = "text_moa", "control_self_moa"
MODELS = ("a", "b", "c")


def numbered(model, prompt, sample):
    """A reply that names its model and sample, and one round more than those that it is shown."""
    texts = [text for _, text in shown(prompt)]
    return f"{model}{sample} in round {int(texts[0].rsplit(' ', 1)[1]) + 1 if texts else 1}"


def run(models=MODELS, replies=numbered, **params):
    settings = {name: params.pop(name) for name in ("items", "kind", "member", "id") if name in params}
    return answered(settings.pop("id", ID), params, models=models, replies=replies, **settings)


def test_one_round_asks_the_best_on_dev_once_per_item_and_nothing_else():
    answers, engine, _ = run(member=1)
    assert [(asked.purpose, asked.model) for asked in engine.requests] == [("aggregate", "b")] * 3
    assert [(answer.text, answer.models) for answer in answers] == [("b0 in round 2", ("b",))] * 3


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_every_further_round_asks_all_members_at_once(rounds):
    _, engine, _ = run(rounds=rounds)
    assert [len(asked) for asked in engine.rounds] == [9] * (rounds - 1) + [3]
    purposes = [f"propose {number}" for number in range(2, rounds + 1)] + ["aggregate"]
    assert [{one.purpose for one in asked} for asked in engine.rounds] == [{purpose} for purpose in purposes]


def test_no_rounds_are_refused():
    with pytest.raises(RequestError, match="rounds"):
        make_method(ID, {"rounds": 0})


def test_two_and_three_rounds_share_all_requests_of_round_two():
    two, three = run(rounds=2)[1], run(rounds=3)[1]
    assert by_purpose(two, "propose 2") == by_purpose(three, "propose 2")
    resumed = Engine(numbered, finished=two.finished)
    run(rounds=3, replies=resumed)
    # The aggregator's request after two rounds is its proposal in the third, but for what it is for.
    assert len(resumed.generated) == 3 * 3 + 3


@pytest.mark.parametrize("models", [MODELS, ("a", "a", "b")])
def test_every_prompt_shows_each_answer_of_the_last_round_once_and_none_before(models):
    _, engine, ctx = run(models=models, rounds=3)
    voices = [f"{member.model}{member.copy}" for member in ctx.pool]
    for purpose, number in (("propose 2", 1), ("propose 3", 2), ("aggregate", 3)):
        for asked in by_purpose(engine, purpose):
            titles, texts = zip(*shown(asked.prompt), strict=True)
            assert titles == ("answer 1", "answer 2", "answer 3")
            assert sorted(texts) == sorted(f"{voice} in round {number}" for voice in voices)
            assert f"in round {number - 1}" not in asked.prompt


def test_all_members_of_a_round_read_the_very_same():
    _, engine, _ = run(rounds=3, items=4)
    for number in (2, 3):
        asked = by_purpose(engine, f"propose {number}")
        assert len({(one.uid, one.prompt) for one in asked}) == 4
        assert len(asked) == 12


@pytest.mark.parametrize("kind", ["exact_match", "multiple_choice", "text_generation"])
def test_the_whole_task_is_the_last_part_of_every_prompt(kind):
    _, engine, ctx = run(rounds=2, kind=kind)
    tasks = {item.uid: blocks.task_prompt(item) for item in ctx.questions}
    for asked in engine.requests:
        assert asked.prompt.endswith(f"\n\n{tasks[asked.uid]}")
        assert asked.prompt.count(tasks[asked.uid]) == 1


@pytest.mark.parametrize("kind", ["exact_match", "multiple_choice", "text_generation"])
@pytest.mark.parametrize("method", [ID, SELF])
def test_the_question_stands_before_the_answers_on_request_and_the_form_of_the_answer_after_them(method, kind):
    _, engine, ctx = run(id=method, kind=kind, question_first=True)
    for asked, item in zip(engine.requests, ctx.questions, strict=True):
        before, _, after = asked.prompt.partition("[answer 1]")
        form = blocks.answer_format(item.type)
        assert before.count(blocks.question(item)) == asked.prompt.count(blocks.question(item)) == 1
        assert asked.prompt.endswith(form)
        assert not form or form not in before
        assert [title for title, _ in shown(asked.prompt)] == ["answer 1", "answer 2", "answer 3"]
        assert "below" not in before
        assert "Merge" in after


@pytest.mark.parametrize("question_first", [True, False])
def test_the_frame_asks_to_merge_critically(question_first):
    said = synthesis_prompt(questions(1)[0], ["one"], question_first=question_first).lower()
    if not question_first:
        said = said.partition("[answer 1]")[0]
    for word in (
        "several models",
        "merge",
        "critically",
        "biased",
        "wrong",
        "not merely repeat",
        "accurate",
        "complete",
        "well ordered",
    ):
        assert word in said


def test_answers_stand_in_pool_order_on_request_and_else_in_an_order_of_the_item():
    plain = [f"{model}0 in round 1" for model in MODELS]
    kept = run(items=12, shuffle=False)[1]
    assert {tuple(text for _, text in shown(asked.prompt)) for asked in kept.requests} == {tuple(plain)}
    drawn = run(items=12)[1]
    orders = {tuple(text for _, text in shown(asked.prompt)) for asked in drawn.requests}
    assert len(orders) > 1


def test_the_record_holds_every_round_and_who_aggregates():
    answers, _, _ = run(rounds=2, member=2)
    for answer in answers:
        first, second = answer.record["rounds"]
        assert first["answers"] == [f"{model}0 in round 1" for model in MODELS]
        assert second["answers"] == [f"{model}0 in round 2" for model in MODELS]
        assert answer.record["aggregator"] == 2


def test_the_best_on_dev_aggregates_and_the_first_of_equals():
    method = make_method(ID, {})
    assert World(MODELS, dev_scores={"a": 0.2, "b": 0.7, "c": 0.7}).fit(method).data["member"] == 1


# The control


def test_the_control_merges_as_many_own_samples_as_the_pool_has_members():
    answers, engine, ctx = run(id=SELF, member=1)
    assert [(asked.purpose, asked.model) for asked in engine.requests] == [("aggregate", "b")] * 3
    for asked in engine.requests:
        assert [text for _, text in shown(asked.prompt)] == [f"b{sample} in round 1" for sample in range(3)]
    read = {(call["model"], call["sample"]) for call in ctx.calls if call["kind"] == "plain"}
    assert read == {("b", 0), ("b", 1), ("b", 2)}
    assert all(answer.models == ("b",) and answer.record["member"] == 1 for answer in answers)


def test_the_control_takes_other_numbers_of_samples_and_never_those_of_a_copy():
    _, engine, _ = run(models=("a", "b", "b"), id=SELF, member=1, samples=2)
    assert [text for _, text in shown(engine.requests[0].prompt)] == ["b0 in round 1", "b2 in round 1"]
    assert make_method(SELF, {"samples": 5}).needs(PoolInfo.of_size(3)).answer.plain == 5
    with pytest.raises(RequestError, match="samples"):
        make_method(SELF, {"samples": 0})


def test_the_control_says_what_the_mixture_says_where_all_members_are_one_model():
    """Same answers, same prompt, same request: the two differ in whose answers are merged alone."""
    models, item = ("a", "a", "a"), questions(1)
    mixture = run(models=models, shuffle=False)[1].requests[0]
    engine = Engine(numbered)
    ctx = answer_context(models=["a"], questions=item, replies=engine, method=SELF)
    list(make_method(SELF, {"samples": 3}).answer(ctx, State({"member": 0})))
    assert engine.requests[0] == mixture
