"""Work on items that take different numbers of steps: common rounds, each item at its own pace, replies to whom they are."""

from support.contexts import answer_context
from support.engines import Engine
from support.items import questions

from moco.methods.base import Request
from moco.methods.shared.courses import in_step


def course(uid, steps):
    heard = []
    for step in range(steps):
        replies = yield [Request(member, uid, f"{uid} step {step}", f"step {step}") for member in range(step % 2 + 1)]
        heard += [reply.text for reply in replies]
    return heard


def test_items_advance_together_and_each_hears_its_own_replies():
    steps = {item.uid: number for number, item in enumerate(questions(4))}
    engine = Engine(lambda model, prompt, _: f"{model} on {prompt}")
    ctx = answer_context(models=["a", "b"], questions=questions(4), replies=engine)
    found = in_step(ctx, {uid: course(uid, count) for uid, count in steps.items()})
    assert {uid: len(heard) for uid, heard in found.items()} == {
        uid: [0, 1, 3, 4][count] for uid, count in steps.items()
    }
    assert all(f" on {uid} step " in text for uid, heard in found.items() for text in heard)
    assert [{asked.purpose for asked in asked_at} for asked_at in engine.rounds] == [
        {f"step {number}"} for number in range(3)
    ]
    assert found["t-test-2"] == ["a on t-test-2 step 0", "a on t-test-2 step 1", "b on t-test-2 step 1"]


def test_nothing_is_asked_where_there_is_nothing_to_ask():
    engine = Engine()
    ctx = answer_context(models=["a"], questions=questions(1), replies=engine)
    assert in_step(ctx, {}) == {}
    assert in_step(ctx, {"t-test-0": course("t-test-0", 0)}) == {"t-test-0": []}
    assert engine.rounds == []
