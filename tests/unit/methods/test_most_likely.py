from dataclasses import replace

import pytest
from support.contexts import answer_context, fit_context
from support.engines import Engine
from support.items import questions

from moco.methods.base import State
from moco.methods.catalogue import make_method

ID = "control_most_likely"


def planted(make, values, split="test"):
    """A context in which members' replies have planted mean log-probabilities by item."""

    class Planted(Engine):
        def plain(self, model, sample, items):
            likely = zip(super().plain(model, sample, items).items(), values[model], strict=True)
            return {uid: replace(response, mean_logprob=value) for (uid, response), value in likely}

    items = questions(len(next(iter(values.values()))), split=split)
    return make(models=list(values), questions=items, replies=Planted({name: name for name in values}))


def answer(values, state=None, **params):
    ctx = planted(answer_context, values)
    return list(make_method(ID, params).answer(ctx, state or State()))


def test_the_most_likely_reply_is_the_answer():
    answers = answer({"a": [-0.5, -0.1, None], "b": [-0.2, -0.3, -9.0]}, calibrated=False)
    assert [each.text for each in answers] == ["b", "a", "b"]
    assert [each.models for each in answers] == [("b",), ("a",), ("b",)]


def test_a_member_that_is_always_sure_has_no_advantage_when_calibrated():
    state = make_method(ID, {}).fit(planted(fit_context, {"a": [-0.1, -0.3], "b": [-1.0, -3.0]}, "dev"))
    assert state.data["dev_means"] == [pytest.approx(-0.2), pytest.approx(-2.0)]
    assert [each.text for each in answer({"a": [-0.2], "b": [-1.5]}, state)] == ["b"]
    assert [each.text for each in answer({"a": [-0.2], "b": [-1.5]}, calibrated=False)] == ["a"]


def test_empty_replies_of_all_members_are_a_fallback():
    (only,) = answer({"a": [None], "b": [None]})
    assert (only.text, only.fallback) == ("", "every reply is empty")


def test_equal_members_give_the_first():
    assert answer({"a": [-1.0], "b": [-1.0]})[0].text == "a"
