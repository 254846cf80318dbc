from dataclasses import replace

import numpy as np
import pytest
import torch
from support.contexts import World, fit_context
from support.items import questions

from moco.methods.api.graph_routing import route_logits, utility_edges
from moco.methods.catalogue import make_method
from moco.methods.shared import graph_router
from moco.methods.shared.graph_router import Edges, GraphRouter, Schedule, masks, train_router
from moco.seeds import generator

ID = "api_graph_routing"
SCHEDULE = Schedule(epochs=300, patience=100, masks=8, visible=0.5, learning_rate=0.01, weight_decay=1e-4)
DESCRIPTIONS = np.eye(3, 6)


def rng(purpose, item):
    return generator(1, "api_graph_routing", purpose, item)


def clusters(count, seed=0, size=6):
    """Questions of two kinds, the first of which only the first model answers, the second only the second one."""
    draw = np.random.default_rng(seed)
    kinds = np.arange(count) % 2
    vectors = 0.3 * draw.normal(size=(count, size))
    vectors[np.arange(count), 3 + kinds] += 1.0
    scores = np.zeros((count, 3))
    scores[np.arange(count), kinds] = 1.0
    return vectors, scores, kinds


def trained(vectors, scores, **changes):
    edges, _ = utility_edges(scores, [1.0, 1.0, 1.0], "performance_first", "share")
    held_out = list(range(0, len(vectors), 5))
    schedule = Schedule(**{**vars(SCHEDULE), **changes})
    return train_router(vectors, DESCRIPTIONS, edges, held_out, schedule, width=16, rng=rng)


def test_two_kinds_of_questions_with_disjoint_winners_are_told_apart():
    tensors, record = trained(*clusters(80)[:2])
    vectors, _, kinds = clusters(400, seed=1)
    chosen = route_logits(vectors, tensors).argmax(1)
    assert (chosen == kinds).mean() > 0.95
    assert record["held_out_share"] > 0.8


def test_a_route_depends_on_no_other_question():
    tensors, _ = trained(*clusters(40)[:2], epochs=20)
    vectors, _, _ = clusters(30, seed=2)
    order = np.random.default_rng(3).permutation(30)[:11]
    assert (route_logits(vectors[order], tensors) == route_logits(vectors, tensors)[order]).all()


def test_training_twice_gives_the_same_numbers_whatever_the_random_state_outside():
    vectors, scores, _ = clusters(40)
    torch.manual_seed(5)
    first, _ = trained(vectors, scores, epochs=10)
    torch.manual_seed(6)
    state = torch.random.get_rng_state()
    second, _ = trained(vectors, scores, epochs=10)
    assert (torch.random.get_rng_state() == state).all()
    assert all((first[name] == second[name]).all() for name in first)


def test_a_mask_shows_about_the_given_share_and_the_loss_counts_only_the_others():
    shown = masks(rng("mask", "0"), (50, 3), SCHEDULE)
    assert shown.shape == (8, 50, 3)
    assert set(shown.unique().tolist()) == {0.0, 1.0}
    assert 0.4 < float(shown.mean()) < 0.6
    # Visible and predicted edges are disjoint and together all edges, since the second is one minus the first.
    assert not torch.equal(shown[0], shown[1])


def test_what_a_mask_shows_is_not_predicted_and_all_else_is(monkeypatch):
    shown, predicted = [], []
    models, loss = GraphRouter.models, graph_router._loss

    def showing(self, descriptions, questions, features, visible):
        shown.append(visible)
        return models(self, descriptions, questions, features, visible)

    def predicting(logits, labels, weights):
        predicted.append(weights)
        return loss(logits, labels, weights)

    monkeypatch.setattr(GraphRouter, "models", showing)
    monkeypatch.setattr(graph_router, "_loss", predicting)
    trained(*clusters(20)[:2], epochs=3)
    # Every step of training is followed by one look at the held-out questions, with all training edges visible.
    for visible, weights in zip(shown[::2], predicted[::2], strict=True):
        assert visible.shape == weights.shape == (8, 16, 3)
        assert torch.equal(visible + weights, torch.ones_like(visible))
    for visible, weights in zip(shown[1::2], predicted[1::2], strict=True):
        assert (visible.shape, weights.shape) == ((1, 16, 3), (1, 4, 3))
        assert bool((visible == 1).all())
        assert bool((weights == 1).all())


def test_the_loss_is_that_of_the_edges_that_count():
    logits = torch.tensor([[[0.0, 2.0], [1.0, -1.0]]], dtype=torch.float64)
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    weights = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]], dtype=torch.float64)
    expected = (np.log(2) + np.log(1 + np.e)) / 2  # of the first edge and the last one
    assert float(graph_router._loss(logits, labels, weights)) == pytest.approx(expected)


def test_hidden_edges_carry_no_message():
    """Scores of models do not change with what only hidden edges say."""
    router = GraphRouter(6, 8, seed=1)
    vectors = torch.tensor(clusters(10)[0])
    visible = torch.tensor(np.arange(30).reshape(1, 10, 3) % 2, dtype=torch.float64)
    features = torch.rand(10, 3, 2, dtype=torch.float64)
    other = torch.where(visible[0].bool().unsqueeze(-1), features, torch.rand_like(features))
    named = torch.tensor(DESCRIPTIONS)
    assert torch.equal(router.models(named, vectors, features, visible), router.models(named, vectors, other, visible))
    assert not torch.equal(
        router.models(named, vectors, features, 1 - visible), router.models(named, vectors, other, 1 - visible)
    )


def test_edges_are_questions_by_models_and_labels_sum_to_one():
    scores = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    edges, told_apart = utility_edges(scores, [3.0, 1.0, 2.0], "performance_first", "share")
    assert edges.features.shape == (3, 3, 2)
    assert edges.labels.tolist() == [[0.5, 0, 0.5], [1 / 3, 1 / 3, 1 / 3], [0, 1, 0]]
    assert edges.cost[0].tolist() == [1.0, 0.0, 0.5]
    assert told_apart == [True, False, True]
    first, _ = utility_edges(scores, [3.0, 1.0, 2.0], "performance_first", "first")
    assert first.labels.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("shift", [0.0, -7.0])
def test_utility_weighs_score_against_cost_whatever_the_range_of_scores(shift):
    scores = np.array([[1.0, 0.5], [0.0, 0.0]]) + shift
    costs = [10.0, 2.0]
    by_scenario = {
        name: utility_edges(scores, costs, name, "share")[0].labels.argmax(1).tolist()
        for name in ("performance_first", "balance", "cost_first")
    }
    # By hand: effects 1 and 0.5, costs 1 and 0; balance gives 0 against 0.25, cost first -0.6 against 0.1.
    assert by_scenario == {"performance_first": [0, 0], "balance": [1, 1], "cost_first": [1, 1]}


def test_cost_first_never_chooses_dearer_models():
    vectors, scores, _ = clusters(60)
    costs = [5.0, 1.0, 3.0]
    mean_cost = {}
    for scenario in ("performance_first", "cost_first"):
        edges, _ = utility_edges(scores, costs, scenario, "share")
        tensors, _ = train_router(vectors, DESCRIPTIONS, edges, range(0, 60, 5), SCHEDULE, width=16, rng=rng)
        mean_cost[scenario] = np.mean([costs[place] for place in route_logits(vectors, tensors).argmax(1)])
    assert mean_cost["cost_first"] <= mean_cost["performance_first"]


def test_members_that_score_alike_are_no_route_to_the_first_and_every_answer_says_so():
    world, method = World(("a", "b", "c"), items=20, dev_scores=dict.fromkeys("abc", 1.0)), make_method(ID, {})
    state = world.fit(method)
    assert (state.data["learned"], state.data["told_apart"]) == (False, 0)
    rows = world.answer(method, state)
    assert {row["models"][0] for row in rows.values()} == {"a", "b", "c"}
    assert {row["fallback"] for row in rows.values()} == {"fewer than 4 dev items tell the members apart"}


def test_a_member_costs_its_parameters_times_the_mean_length_of_its_replies():
    said = {"a": ("one two", "one two three four"), "b": ("one",) * 2, "c": ("one two three",) * 2}
    items = questions(2, split="dev")
    replies = {model: dict(zip([item.uid for item in items], texts, strict=True)) for model, texts in said.items()}
    ctx = fit_context(models=list(said), questions=items, replies=replies, dev_scores=dict.fromkeys(said, 1.0))
    sizes = {"a": 10.0, "b": 100.0, "c": None}
    ctx.pool = tuple(replace(member, parameters=sizes[member.model]) for member in ctx.pool)
    assert make_method(ID, {}).fit(ctx).data["costs"] == [30, 100, 3]


def test_training_ends_after_its_patience_and_keeps_the_best_step(monkeypatch):
    steps = []
    draw = graph_router.masks
    monkeypatch.setattr(graph_router, "masks", lambda *args: steps.append(1) or draw(*args))
    vectors, scores, _ = clusters(40)
    tensors, record = trained(vectors, scores, patience=5)
    assert len(steps) == record["epoch"] + 1 + 5 < SCHEDULE.epochs
    best, _ = trained(vectors, scores, epochs=record["epoch"] + 1, patience=5)
    assert all((tensors[name] == best[name]).all() for name in best)


def test_edges_of_some_questions():
    edges = Edges(np.arange(6.0).reshape(3, 2), np.zeros((3, 2)), np.ones((3, 2)))
    assert edges.of([2, 0]).effect.tolist() == [[4, 5], [0, 1]]
