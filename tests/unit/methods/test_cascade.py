import math

import pytest
from support.contexts import answer_context, fit_context
from support.engines import Engine
from support.items import questions

from moco.errors import WorkError
from moco.methods.api.cascade import ASK, read_remark
from moco.methods.base import State
from moco.methods.catalogue import make_method
from moco.methods.logits import ResponseLogits
from moco.methods.shared.confidence import likelihood, quantile, quantile_probability, top_share

ID = "api_cascade"


def response(share: float) -> ResponseLogits:
    """Logits of one token that has a given share of the five most likely ones."""
    rest = (1 - share) / 4
    top = (math.log(share), *(math.log(rest),) * 4)
    return ResponseLogits((1,), (top[0],), 5, ((1, 2, 3, 4, 5),), (top,), (0.0,))


class Planted:
    """Members with planted confidences by item and split; their replies are their names."""

    def __init__(self, **shares):
        self.shares = shares

    def __call__(self, make, split, **params):
        items = questions(len(next(iter(self.shares.values()))[split]), split=split)
        models = list(self.shares)

        shares = self.shares

        class Confident(Engine):
            def logits(self, model, kind, sample, _items):
                assert (kind, sample) == ("response", 0)
                return {item.uid: response(share) for item, share in zip(items, shares[model][split], strict=True)}

        return make(models=models, questions=items, replies=Confident({name: name for name in models}), **params)


def fit(planted, **params):
    return make_method(ID, params).fit(planted(fit_context, "dev"))


def answer(planted, state, **params):
    ctx = planted(answer_context, "test")
    return list(make_method(ID, params).answer(ctx, state)), ctx


TWO = Planted(
    small={"dev": [0.5, 0.9, 0.6, 0.8], "test": [0.55, 0.72, 0.85, 0.3]},
    large={"dev": [0.9] * 4, "test": [0.9] * 4},
)


def test_the_default_statistic_is_the_top_token_s_share_of_five_per_token():
    logits = ResponseLogits(
        tokens=(3, 9),
        logprobs=(-0.2, -3.0),
        top_k=6,
        top_ids=((3, 1, 2, 4, 5, 6), (1, 9, 2, 3, 4, 5)),
        top_logprobs=((-0.2, -2.0, -3.0, -4.0, -5.0, -6.0), (-0.5, -3.0, -3.5, -4.0, -4.5, -5.0)),
        tail=(0.1, 0.1),
    )
    softmax_of_five = [
        math.exp(step[0]) / math.fsum(math.exp(value) for value in step[:5]) for step in logits.top_logprobs
    ]
    assert top_share(logits) == pytest.approx(sum(softmax_of_five) / 2, abs=1e-12)
    # Of what is most likely, not of what was drawn: the second token was not the most likely one.
    assert top_share(logits) > 0.8
    assert make_method(ID, {}).confidence(logits) == top_share(logits)
    assert likelihood(logits) == pytest.approx(math.exp(-1.6))
    assert quantile_probability(logits, 0.0) == pytest.approx(math.exp(-3.0))
    assert quantile_probability(logits, 1.0) == pytest.approx(math.exp(-0.2))


def test_the_share_of_the_top_five_is_added_exactly():
    # Adding one after the other gives another last bit, and not in every version of Python.
    top = (-0.302104, -1.302516, -1.832661, -2.739033, -2.899819)
    logits = ResponseLogits((1,), (top[0],), 5, ((1, 2, 3, 4, 5),), (top,), (0.0,))
    assert top_share(logits) == 0.5727326286916343


def test_an_empty_response_is_no_confidence_and_too_few_alternatives_are_an_error():
    empty = ResponseLogits((), (), 5, (), (), ())
    assert [top_share(empty), likelihood(empty), quantile_probability(empty, 0.5)] == [0, 0, 0]
    narrow = ResponseLogits((1,), (-0.1,), 3, ((1, 2, 3),), ((-0.1, -2.0, -3.0),), (0.0,))
    with pytest.raises(WorkError, match=r"raise engine\.top_logprobs"):
        top_share(narrow)


@pytest.mark.parametrize(("level", "value"), [(0, 1.0), (1, 4.0), (0.5, 2.5), (1 / 3, 2.0), (0.4, 2.2)])
def test_quantiles_are_linearly_interpolated(level, value):
    assert quantile([4.0, 1.0, 3.0, 2.0], level) == pytest.approx(value)
    assert quantile([7.0], level) == 7.0


def test_thresholds_without_bounds_give_the_first_or_the_last_member():
    answers, ctx = answer(TWO, State({"thresholds": [-math.inf]}))
    assert [each.text for each in answers] == ["small"] * 4
    assert len(ctx.calls) == 4
    answers, ctx = answer(TWO, State({"thresholds": [math.inf]}))
    assert [each.text for each in answers] == ["large"] * 4
    assert sorted((call["uid"], call["model"]) for call in ctx.calls) == [
        (f"t-test-{number}", name) for number in range(4) for name in ("large", "small")
    ]


def test_an_item_costs_the_members_that_it_reaches():
    state = fit(TWO)
    assert state.data["thresholds"] == [pytest.approx(0.7)]
    answers, ctx = answer(TWO, state)
    assert [each.text for each in answers] == ["large", "small", "small", "large"]
    assert [each.record["level"] for each in answers] == [1, 0, 0, 1]
    assert [call["model"] for call in ctx.calls if call["uid"] == "t-test-1"] == ["small"]
    assert {call["model"] for call in ctx.calls if call["uid"] == "t-test-0"} == {"small", "large"}
    assert [each.record["confidences"] for each in answers] == [
        [pytest.approx(share)] for share in TWO.shares["small"]["test"]
    ]


@pytest.mark.parametrize("percentage", [0.0, 0.2, 0.5, 0.75, 1.0])
def test_the_share_passed_on_at_the_first_level_of_dev_is_the_percentage(percentage):
    shares = [0.3 + 0.01 * number for number in (4, 0, 7, 2, 9, 1, 5, 8, 3, 6)]
    planted = Planted(small={"dev": shares, "test": shares}, large={"dev": [0.5] * 10, "test": [0.5] * 10})
    state = fit(planted, percentage=percentage)
    answers, _ = answer(planted, state, percentage=percentage)
    passed_on = sum(each.record["level"] > 0 for each in answers) / 10
    assert abs(passed_on - percentage) <= 1 / 10


def test_more_percentage_only_adds_to_what_is_passed_on():
    before: set[str] = set()
    for percentage in (0.0, 0.1, 0.3, 0.5, 0.8, 1.0):
        answers, _ = answer(TWO, fit(TWO, percentage=percentage))
        passed_on = {each.uid for each in answers if each.record["level"] > 0}
        assert before <= passed_on
        before = passed_on
    assert len(before) > 1


THREE = Planted(
    a={"dev": [0.3, 0.31, 0.32, 0.33], "test": [0.31]},
    b={"dev": [0.6, 0.9, 0.7, 0.8], "test": [0.5]},
    c={"dev": [0.21] * 4, "test": [0.21]},
)


def test_every_member_has_a_threshold_within_its_own_range():
    first, second = fit(THREE).data["thresholds"]
    assert 0.3 <= first <= 0.33
    assert second == pytest.approx(0.75)


def test_a_threshold_may_rest_on_the_items_that_reach_the_member():
    first, second = fit(THREE, only_deferred=True).data["thresholds"]
    assert first == pytest.approx(0.315)
    assert second == pytest.approx((0.6 + 0.9) / 2)
    # Nothing passes the first member: all responses of the second are the evidence.
    assert fit(THREE, only_deferred=True, percentage=0.0).data["thresholds"] == [
        pytest.approx(0.3),
        pytest.approx(0.6),
    ]


def test_empty_responses_have_no_confidence_and_a_threshold_of_zero_keeps_them():
    empty = ResponseLogits((), (), 5, (), (), ())

    class Silent(Engine):
        def logits(self, _model, _kind, _sample, items):
            return {item.uid: empty for item in items}

    def context(make, split):
        return make(
            models=["small", "large"], questions=questions(3, split=split), replies=Silent({"small": "", "large": "x"})
        )

    method = make_method(ID, {})
    state = method.fit(context(fit_context, "dev"))
    assert state.data["thresholds"] == [0.0]
    answers = list(method.answer(context(answer_context, "test"), state))
    assert [(each.record["level"], each.text) for each in answers] == [(0, "")] * 3


def test_a_member_is_asked_only_for_what_reaches_it():
    replies = {
        "small": {
            "t-test-0": "\\box{1}",
            "t-test-1": "\\box{2}\nI am unconfident.",
            "t-test-2": "I am not unconfident.\n\\box{0}",
        },
        "large": {f"t-test-{number}": "large" for number in range(3)},
    }
    ctx = answer_context(models=["small", "large"], questions=questions(3), replies=replies)
    answers = {each.uid: each for each in make_method(ID, {"mode": "just_ask"}).answer(ctx, State())}
    assert {uid: each.text for uid, each in answers.items()} == {
        "t-test-0": "\\box{1}",
        "t-test-1": "large",
        "t-test-2": "\\box{0}",
    }
    assert {uid: each.record["level"] for uid, each in answers.items()} == {"t-test-0": 0, "t-test-1": 1, "t-test-2": 0}
    asked = [call for call in ctx.calls if call["kind"] == "own"]
    assert len(asked) == 3
    assert all(call["prompt"].endswith(ASK) for call in asked)
    assert [(call["uid"], call["model"]) for call in ctx.calls if call["kind"] == "plain"] == [("t-test-1", "large")]


@pytest.mark.parametrize(
    ("reply", "doubt", "text"),
    [
        ("42", False, "42"),
        ("42\nI am unconfident.", True, "42"),
        ("42\nI am UNCONFIDENT", True, "42"),
        ("I'm not confident.\n42", True, "42"),
        ("42\nI am not unconfident.", False, "42"),
        ("42\nI am confident.", False, "42"),
        ("I was unconfident at first.\n42\nNow I am confident.", False, "42"),
        ("The unconfidently told story", False, "The unconfidently told story"),
        ("It is 42, though I am not very confident", True, "It is 42, though I am not very confident"),
        (f"{ASK}\n42", False, "\n42"),
        (f"{ASK.upper()} 42\nI am unconfident.", True, "42"),
        (f"{ASK}\n42\nI am not unconfident.", False, "42"),
        ("", False, ""),
    ],
)
def test_remarks_are_read_with_their_negations_and_left_out(reply, doubt, text):
    assert read_remark(reply) == (doubt, text)
