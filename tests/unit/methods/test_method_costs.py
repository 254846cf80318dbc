"""Attributed cost: exact small cases."""

import pytest
from support.contexts import World, answer_context, fit_context
from support.items import questions

from moco.methods.base import Request
from moco.methods.catalogue import make_method
from moco.records.costs import FLOPS_PER_TOKEN, attributed, flops
from moco.records.schemas import COSTS

SIZES = {"a": 1_000, "b": 10_000, "soup": 500, "candidate-1": 700}


def role(call):
    return "member" if call["member"] >= 0 else "fitted" if call["model"] == "soup" else "candidate"


def cost(calls, stage="answer", scope="task"):
    """Return rows by model."""
    rows = attributed(calls, stage=stage, scope=scope, role=role, parameters=SIZES.__getitem__)
    assert all(["task", *row] == COSTS.columns.names for row in rows)
    return {row["model"]: row for row in rows}


def call(uid="q0", kind="plain", round=-1, member=0, model="a", sample=0, key="k0", prompt=10, completion=2):
    fields = {"uid": uid, "kind": kind, "round": round, "member": member, "model": model, "sample": sample}
    return {**fields, "key": key, "prompt_tokens": prompt, "completion_tokens": completion}


def test_a_plain_response_that_is_read_counts_in_full():
    ctx = answer_context(models=["a", "b"], questions=questions(3), replies=lambda *_: "one two")
    plain = ctx.plain(1)
    for uid in ("t-test-0", "t-test-2", "t-test-2"):
        plain[uid]
    (row,) = cost(ctx.calls).values()
    prompt = sum(len(item.prompt.split()) for item in (ctx.questions[0], ctx.questions[2]))
    assert row == {
        "stage": "answer",
        "scope": "task",
        "role": "member",
        "model": "b",
        "parameters": 10_000,
        "calls": 2,
        "items": 2,
        "prompt_tokens": prompt,
        "completion_tokens": 4,
        "flops": 2.0 * 10_000 * (prompt + 4),
        "loads": 1,
    }


def test_what_is_not_read_costs_nothing():
    ctx = answer_context(models=["a", "b"], questions=questions(3))
    assert len(ctx.plain(0)) == 3
    assert cost(ctx.calls) == {}


def test_two_methods_that_read_the_same_response_both_pay():
    world = World(("a", "b"), replies=lambda *_: "\\box{1}")
    both = []
    for name in ("text_majority_vote", "control_random"):
        ctx = answer_context(models=world.models, questions=world.test, replies=world.replies)
        list(make_method(name, {}).answer(ctx, None))
        both.append(cost(ctx.calls))
    voted, drawn = both
    assert [voted[model]["calls"] for model in "ab"] == [5, 5]
    assert sum(row["calls"] for row in drawn.values()) == 5
    read = {(uid, entry["model"]) for entry in ctx.calls for uid in [entry["uid"]]}
    assert len(read) == 5


def test_copies_pay_for_a_sample_each_and_share_one_load():
    ctx = answer_context(models=["a", "a", "a"], questions=questions(2))
    for member in range(3):
        for question in ctx.questions:
            ctx.plain(member)[question.uid]
    (row,) = cost(ctx.calls).values()
    assert (row["calls"], row["items"], row["loads"]) == (6, 2, 1)
    assert row["prompt_tokens"] == 3 * sum(len(question.prompt.split()) for question in ctx.questions)


def test_copies_pay_each_even_where_greedy_decoding_gives_them_one_reply():
    row = cost([call(member=0, sample=0), call(member=1, sample=1)])["a"]
    assert (row["calls"], row["prompt_tokens"]) == (2, 20)


def test_a_model_is_loaded_once_for_shared_responses_and_once_per_round():
    ctx = answer_context(models=["a", "b"], questions=questions(2))
    uids = [question.uid for question in ctx.questions]
    for uid in uids:
        ctx.plain(0)[uid]
    ctx.generate([Request(0, uid, "first", "x") for uid in uids])
    ctx.generate([Request(1, uids[0], "second", "x")])
    ctx.generate([Request(0, uids[1], "third", "x")])
    rows = cost(ctx.calls)
    assert {model: (row["calls"], row["loads"]) for model, row in rows.items()} == {"a": (5, 3), "b": (1, 1)}


def test_a_request_asked_again_for_the_same_item_counts_once_and_loads_nothing():
    ctx = answer_context(models=["a"], questions=questions(2))
    again = Request(0, "t-test-0", "same", "x")
    ctx.generate([again, again])
    ctx.generate([again, Request(0, "t-test-1", "same", "x")])
    ctx.generate([again])
    assert len(ctx.calls) == 5
    row = cost(ctx.calls)["a"]
    # The other item's equal request is another item's cost.
    assert (row["calls"], row["items"], row["loads"]) == (2, 2, 2)


@pytest.mark.parametrize("change", [{"sample": 1}, {"kind": "own", "round": 0}, {"uid": "q1"}, {"key": "k1"}])
def test_only_equal_requests_are_duplicates(change):
    assert cost([call(), call()])["a"]["calls"] == 1
    assert cost([call(), call(**change)])["a"]["calls"] == 2


@pytest.mark.parametrize("key", [None, ""])
def test_calls_without_a_key_are_all_different(key):
    rounds = [call(kind="joint", round=number, key=key) for number in (0, 1)]
    assert (cost(rounds)["a"]["calls"], cost(rounds)["a"]["loads"]) == (2, 2)


def test_cached_logits_share_the_load_of_plain_responses():
    rows = cost([call(), call(kind="logits", completion=None), call(kind="joint", round=0)])
    assert (rows["a"]["calls"], rows["a"]["loads"], rows["a"]["prompt_tokens"]) == (3, 2, 30)
    assert rows["a"]["completion_tokens"] == 4


def test_a_fit_stands_apart_and_its_candidates_cost_what_they_have():
    calls = [
        call(kind="own", round=0, member=-1, model="candidate-1"),
        call(member=0, model="a", key="k1"),
        call(member=-1, model="soup", key="k2"),
    ]
    rows = cost(calls, stage="fit", scope="pool")
    assert [(row["role"], row["model"], row["flops"]) for row in rows.values()] == [
        ("member", "a", 2.0 * 1_000 * 12),
        ("fitted", "soup", 2.0 * 500 * 12),
        ("candidate", "candidate-1", 2.0 * 700 * 12),
    ]
    assert {(row["stage"], row["scope"]) for row in rows.values()} == {("fit", "pool")}


def test_training_takes_three_times_the_work_of_reading():
    assert FLOPS_PER_TOKEN == {"answer": 2, "fit": 2, "train": 6}
    assert flops("train", 10, 7) == 3 * flops("fit", 10, 7) == 420.0


def test_dev_scores_count_the_responses_behind_them():
    dev = questions(3, split="dev")
    ctx = fit_context(models=["a", "b"], questions=dev)
    ctx.dev_scores(1)
    ctx.dev_scores(1)
    row = cost(ctx.calls, stage="fit")["b"]
    assert (row["calls"], row["items"], row["loads"]) == (3, 3, 1)


def test_work_of_unknown_size_is_unknown_and_a_served_model_is_never_loaded():
    calls = [call(model="far"), call(model="far", kind="own", round=0, key="k1"), call(key="k2")]
    rows = attributed(
        calls, stage="answer", scope="task", role=role, parameters={"far": None, "a": 1_000}.get, served=["far"]
    )
    far, near = rows
    assert (far["model"], far["parameters"], far["flops"], far["loads"]) == ("far", None, None, 0)
    assert (far["prompt_tokens"], far["completion_tokens"]) == (20, 4)
    assert (near["flops"], near["loads"]) == (24_000.0, 1)
