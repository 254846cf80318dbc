"""What methods of the text level ask for themselves, as their calls files count it: 50 items, three models."""

from collections import Counter

import pytest
from support.engines import varied
from support.rounds import answered

ITEMS, MODELS = 50, ("a", "b", "c")


def without_actions(model, prompt, sample):
    return varied(model, prompt.replace("ACTION: NAME", ""), sample)


@pytest.mark.parametrize(
    ("id", "params", "own", "plain"),
    [
        ("text_multiagent_refine", {"rounds": 3}, 350, 150),
        ("text_multiagent_feedback", {"rounds": 3, "reviewers": 2}, 950, 150),
        ("text_knowledge_card", {}, 200, 0),
        ("text_knowledge_card", {"exclude_self": True}, 150, 0),
        ("text_majority_vote", {}, 0, 150),
        ("text_slm_mux", {"samples_per_model": 5, "tie": "order"}, 0, 750),
        ("text_structure", {"structure": "complete", "rounds": 3, "all_nodes": True}, 300, 150),
        ("text_structure", {"structure": "complete", "rounds": 3}, 200, 150),
        ("text_moa", {"rounds": 1}, 50, 150),
        ("text_moa", {"rounds": 3}, 350, 150),
        ("control_self_moa", {}, 50, 150),
        ("text_bbmas", {"max_iterations": 2, "retries": 3}, 50 * (2 * 4 + 1), 0),  # no action is ever named
    ],
)
def test_own_generations_and_shared_responses_are_as_many_as_stated(id, params, own, plain):
    _, engine, ctx = answered(id, params, models=MODELS, replies=without_actions, items=ITEMS)
    counted = Counter(call["kind"] for call in ctx.calls)
    assert (counted["own"], counted["plain"], counted.total()) == (own, plain, own + plain)
    assert len(engine.requests) == own
    assert len({(call["uid"], call["key"], call["member"], call["purpose"]) for call in ctx.calls}) == own + plain
