import itertools

import pytest
from support.contexts import fit_context
from support.engines import Engine
from support.items import questions, right_reply, wrong_reply

from moco.methods.shared.selection import dev_means, ranking

DEV = questions(4, split="dev")


def means(models, **settings):
    return dev_means(fit_context(models=models, questions=DEV, **settings))


def test_means_are_of_the_plain_dev_responses_in_pool_order():
    right = {item.prompt: right_reply(item) for item in DEV}
    wrong = {item.prompt: wrong_reply(item) for item in DEV}

    def reply(model, prompt, _sample):
        known = {"a": 1, "b": 3}[model]
        return right[prompt] if [item.prompt for item in DEV].index(prompt) < known else wrong[prompt]

    assert means(["a", "b"], replies=reply) == [0.25, 0.75]
    assert means(["b", "a"], replies=reply) == [0.75, 0.25]


def test_copies_have_means_of_their_own_samples():
    engine = Engine(lambda _model, _prompt, sample: right_reply(DEV[0]) if sample == 1 else "nothing")
    assert means(["a", "b", "a"], replies=engine) == [0.0, 0.0, 0.25 * sum(item.uid[-1] in "03" for item in DEV)]
    assert engine.reads == [("dev_scores", "a", 0), ("dev_scores", "b", 0), ("dev_scores", "a", 1)]


def test_broken_items_are_left_out_and_a_member_without_scores_has_no_mean():
    scores = {"a": {"t-dev-0": 1.0}, "b": {}, "c": {"t-dev-0": 0.0, "t-dev-2": 1.0}}
    assert means(["a", "b", "c"], dev_scores=scores) == [1.0, None, 0.5]


@pytest.mark.parametrize("values", list(itertools.permutations((0.1, 0.2, 0.3, 0.7)))[::5])
def test_equal_scores_in_another_order_have_equal_means(values):
    scores = {
        "a": dict(zip([item.uid for item in DEV], (0.1, 0.2, 0.3, 0.7), strict=True)),
        "b": dict(zip([item.uid for item in DEV], values, strict=True)),
    }
    first, second = means(["a", "b"], dev_scores=scores)
    assert first == second


@pytest.mark.parametrize(
    ("given", "order"),
    [
        ([0.1, 0.3, 0.2], [1, 2, 0]),
        ([0.5, 0.5, 0.5], [0, 1, 2]),
        ([0.1, 0.5, 0.1, 0.5], [1, 3, 0, 2]),
        ([-3.0, -1.0, None, -2.0], [1, 3, 0, 2]),
        ([None, 0.0, None], [1, 0, 2]),
        ([None, None], [0, 1]),
        ([], []),
    ],
)
def test_ranking_is_from_best_to_worst_and_stable(given, order):
    assert ranking(given) == order
