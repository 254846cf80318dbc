import logging

import pytest
from support.contexts import answer_context
from support.items import questions

from moco.config.decoding import Decoding
from moco.methods.base import PoolInfo, State
from moco.methods.catalogue import make_method

ID = "text_slm_mux"
UNREADABLE = "no idea"


def mux(samples, means=None, seed=1, **params):
    """Return the answer to one item; samples[i] are the replies of member i."""
    models = [f"m{index}" for index in range(len(samples))]

    def reply(model, _prompt, sample):
        return samples[models.index(model)][sample]

    ctx = answer_context(models=models, questions=questions(1, "multiple_choice"), replies=reply, method=ID, seed=seed)
    method = make_method(ID, {"samples_per_model": len(samples[0]), **params})
    (answer,) = method.answer(ctx, State({"dev_means": means or [0.5] * len(models)}))
    return answer


def test_confidence_is_a_share_of_all_samples():
    steady, lucky = ["A", "A", "A", "A", "B"], ["C", *[UNREADABLE] * 4]
    answer = mux([steady, lucky], means=[0.1, 0.9])
    assert (answer.extracted, answer.models) == ("A", ("m0",))
    assert answer.record["confidences"] == [0.8, 0.2]


def test_share_of_readable_samples_restores_the_original_rule():
    steady, lucky = ["A", "A", "A", "A", "B"], ["C", *[UNREADABLE] * 4]
    answer = mux([steady, lucky], share_of="readable")
    assert (answer.extracted, answer.record["confidences"]) == ("C", [0.8, 1.0])


@pytest.mark.parametrize(("means", "winner"), [([0.2, 0.9, 0.5], "B"), ([0.9, 0.9, 0.1], "A")])
def test_one_sample_each_is_decided_by_dev(means, winner):
    assert mux([["A"], ["B"], ["C"]], means=means).extracted == winner


@pytest.mark.parametrize(("samples", "temperature", "warned"), [(1, 0.7, True), (3, 0.0, True), (3, 0.7, False)])
def test_samples_that_cannot_differ_are_warned_of(caplog, samples, temperature, warned):
    decoding = Decoding(max_new_tokens=16, temperature=temperature)
    with caplog.at_level(logging.WARNING, "moco"):
        ctx = answer_context(models=["a", "b"], questions=questions(1), decoding=decoding)
        list(make_method(ID, {"samples_per_model": samples, "tie": "order"}).answer(ctx, State()))
    assert ("the rule for ties decides" in caplog.text) == warned


def test_order_takes_the_first_of_equally_confident_members_whatever_the_seed():
    assert {mux([["B"], ["A"]], tie="order", seed=seed).extracted for seed in range(8)} == {"B"}


def test_random_tie_depends_on_the_seed_alone():
    found = [mux([["A"], ["B"]], tie="random", seed=seed).extracted for seed in range(16)]
    assert set(found) == {"A", "B"}
    assert found == [mux([["A"], ["B"]], tie="random", seed=seed).extracted for seed in range(16)]


def test_one_member_votes_with_itself():
    answer = mux([["C", "B", "C", UNREADABLE]])
    assert (answer.extracted, answer.record["votes"]) == ("C", [{"C": 2, "B": 1}])


def test_nothing_readable_is_a_recorded_fallback():
    answer = mux([[UNREADABLE] * 2, [UNREADABLE] * 2])
    assert (answer.extracted, answer.has_extracted, answer.fallback) == (None, True, "no readable sample")


def test_a_consistent_member_overrules_the_majority_of_answers():
    answer = mux([["A", "B", "A"], ["A", "B", "A"], ["C", "C", "C"]], means=[0.9, 0.8, 0.1])
    assert (answer.extracted, answer.record["tied"]) == ("C", False)


def test_dev_is_read_only_where_it_breaks_ties():
    assert make_method(ID, {}).needs(PoolInfo.of_size(3)).fit.dev_scores
    assert make_method(ID, {"tie": "order"}).needs(PoolInfo.of_size(3)).fit is None


def test_more_samples_extend_what_fewer_have_read_and_never_redraw_it():
    def read(count):
        ctx = answer_context(models=["a", "b", "a"], questions=questions(2, "multiple_choice"), method=ID)
        list(make_method(ID, {"samples_per_model": count, "tie": "order"}).answer(ctx, State()))
        assert {call["kind"] for call in ctx.calls} == {"plain"}
        return {(call["uid"], call["model"], call["sample"], call["key"], call["text"]) for call in ctx.calls}

    assert len(read(3)) == 2 * 3 * 3
    assert len(read(5)) == 2 * 3 * 5
    assert read(3) < read(5)
