import pytest
from support.contexts import answer_context
from support.items import questions

from moco.methods.base import State
from moco.methods.catalogue import make_method

ID = "control_self_consistency"


def consistent(samples, member=1, seed=1):
    """Return the answer of a pool of two where the second member gives these samples and the first always says A."""

    def reply(model, _prompt, sample):
        return samples[sample] if model == "good" else "A"

    ctx = answer_context(
        models=["other", "good"], questions=questions(1, "multiple_choice"), replies=reply, method=ID, seed=seed
    )
    (answer,) = make_method(ID, {"samples": len(samples)}).answer(ctx, State({"member": member}))
    return answer, ctx


@pytest.mark.parametrize(
    ("samples", "winner"), [(["C", "B", "C"], "C"), (["B"], "B"), (["no idea", "C", "no idea"], "C")]
)
def test_the_chosen_members_most_frequent_answer_wins(samples, winner):
    answer, ctx = consistent(samples)
    assert (answer.extracted, answer.models) == (winner, ("good",))
    assert [(call["model"], call["sample"]) for call in ctx.calls] == [("good", k) for k in range(len(samples))]


def test_ties_are_drawn_by_seed():
    found = {consistent(["B", "C"], seed=seed)[0].extracted for seed in range(16)}
    assert found == {"B", "C"}


def test_nothing_readable_is_a_recorded_fallback():
    answer, _ = consistent(["no idea", "cannot tell"])
    assert (answer.extracted, answer.fallback) == (None, "no readable sample")
