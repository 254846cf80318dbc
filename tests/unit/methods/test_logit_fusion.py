import pytest
from support.contexts import World, answer_context
from support.engines import Engine
from support.items import questions

from moco.methods.base import PoolInfo, State
from moco.methods.catalogue import make_method
from moco.methods.logits import OptionLogits

ID = "logit_logit_fusion"


def option_context(models, values, kind="label"):
    """A context in which members have planted log-probabilities of the options of one item."""
    flat = (-5.0,) * 3

    class Planted(Engine):
        def logits(self, model, asked, _sample, _items):
            assert asked == "options"
            own = tuple(values[model])
            by_label, by_text = (own, flat) if kind == "label" else (flat, own)
            return {"t-test-0": OptionLogits(("A", "B", "C"), by_label, by_text, (1, 1, 1), 10, 6)}

    return answer_context(models=models, questions=questions(1, "multiple_choice"), replies=Planted())


def choose(models, values, kind="label", **params):
    ctx = option_context(models, values, kind)
    (answer,) = make_method(ID, {"mode": "options", "options": kind, **params}).answer(ctx, State())
    return answer, ctx


SURE = {"a": (-0.1, -4.0, -4.0), "b": (-2.0, -0.5, -3.0), "c": (-1.9, -0.6, -3.0)}


@pytest.mark.parametrize("kind", ["label", "text"])
def test_the_option_with_the_highest_mean_log_probability_wins(kind):
    answer, ctx = choose(["a", "b", "c"], SURE, kind)
    assert answer.extracted == "A"
    assert answer.has_extracted
    assert answer.record["logprobs"]["A"] == pytest.approx(-4 / 3, abs=1e-6)
    assert [(call["kind"], call["model"], call["prompt_tokens"], call["completion_tokens"]) for call in ctx.calls] == [
        ("logits", name, 10, 6) for name in "abc"
    ]


def test_members_in_another_order_or_shifted_by_a_constant_change_nothing():
    first, _ = choose(["a", "b", "c"], SURE)
    shifted = SURE | {"b": tuple(value - 7 for value in SURE["b"])}
    for models, values in ((["c", "a", "b"], SURE), (["a", "b", "c"], shifted)):
        answer, _ = choose(models, values)
        assert answer.extracted == first.extracted


def test_a_veto_counts():
    values = {"a": (-0.1, -2.5, -9.0), "b": (-0.1, -2.5, -9.0), "c": (-30.0, -1.0, -0.5)}
    assert choose(["a", "b", "c"], values)[0].extracted == "B"


def test_weights_decide_and_their_number_decides_which_pools_fit():
    assert choose(["a", "b", "c"], SURE, weights=[0.0, 1.0, 1.0])[0].extracted == "B"
    needs = make_method(ID, {"weights": [1, 1, 1]}).needs(PoolInfo.of_size(3))
    assert (needs.min_models, needs.max_models) == (3, 3)
    assert make_method(ID, {}).needs(PoolInfo.of_size(1)).min_models == 1


def test_equal_options_give_the_first():
    assert choose(["a"], {"a": (-1.0, -1.0, -1.0)})[0].extracted == "A"


def test_one_joint_request_per_item_and_no_other():
    world = World(("a", "b", "a"))
    engine = Engine(world.replies)
    rows = world.answer(make_method(ID, {}), State(), engine)
    assert len(engine.rounds) == 1
    assert {asked.model for asked in engine.requests} == {"a+b"}
    assert len(engine.requests) == len(rows) == 5
    assert {tuple(row["models"]) for row in rows.values()} == {("a", "b")}


def test_what_it_needs_follows_the_mode():
    average, options = (make_method(ID, {"mode": mode}).needs(PoolInfo.of_size(3)) for mode in ("average", "options"))
    assert average.answer.live
    assert average.same == {"tokenizer"}
    assert not options.answer.runs_models
    assert options.answer.logits == ("options",)
    assert options.same == frozenset()
