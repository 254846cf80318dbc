import pytest
from support.contexts import World, fit_context
from support.engines import Engine
from support.items import questions

from moco.methods.catalogue import make_method
from moco.methods.shared.gradient_free import search
from moco.methods.weight.lorahub import few_shot, objective, units


def run(loss=lambda weights: sum(weights), budget=12, bound=1.5, starts=None, seed=7, optimizer="OnePlusOne"):
    return search(
        lambda points: [loss(weights) for weights in points],
        3,
        units(3) if starts is None else starts,
        budget=budget,
        bound=bound,
        digits=4,
        optimizer=optimizer,
        seed=seed,
    )[0]


def test_the_loss_is_the_lost_score_and_the_price_of_weights():
    # 1 - 0.75 + 0.05 * (0.5 + 1.5) / 2
    assert objective(0.75, (0.5, -1.5), 0.05) == pytest.approx(0.3)


@pytest.mark.parametrize("optimizer", ["OnePlusOne", "TwoPointsDE"])
def test_the_budget_is_spent_exactly_inside_the_box(optimizer):
    for budget in (1, 3, 12):
        points = run(budget=budget, bound=0.8, optimizer=optimizer)
        assert len(points) == budget
        assert all(abs(weight) <= 0.8 for weights, _ in points for weight in weights)


def test_the_first_points_are_the_starts():
    starts = [*units(3), (0.3333, 0.3333, 0.3333)]
    assert [weights for weights, _ in run(starts=starts)][:4] == starts


def test_weights_have_four_digits_and_losses_are_those_of_these_weights():
    points = run(loss=lambda weights: sum(weight**2 for weight in weights))
    assert all(round(weight, 4) == weight for weights, _ in points for weight in weights)
    assert all(value == sum(weight**2 for weight in weights) for weights, value in points)


def test_the_same_seed_asks_the_same_points_and_an_interrupted_search_goes_on_alike():
    whole = run(optimizer="OnePlusOne")
    assert run(optimizer="OnePlusOne") == whole
    assert run(optimizer="OnePlusOne", seed=8) != whole
    known = dict(whole[:5])
    fresh = []

    def resumed(weights):
        if weights not in known:
            fresh.append(weights)
        return known.get(weights, sum(weights))

    assert run(loss=resumed, optimizer="OnePlusOne") == whole
    assert not set(fresh) & set(known)


def test_a_search_finds_better_points_than_its_starts():
    points = run(loss=lambda w: (w[0] - 0.5) ** 2 + (w[1] + 0.5) ** 2 + w[2] ** 2, budget=40)
    assert min(value for _, value in points) < 0.5 * min(value for _, value in points[:3])


def test_few_shot_items_come_from_all_domains_alike_and_are_drawn_once():
    items = [*questions(30, split="dev", task="one"), *questions(6, split="dev", task="two")]
    items = [type(item)(**{**vars(item), "domain": item.uid.split("-")[0]}) for item in items]
    ctx = fit_context(models=["a", "b"], questions=items, method="weight_lorahub")
    few, rest = few_shot(ctx, 8)
    assert [item.domain for item in few].count("two") == 4
    assert len(few) == 8
    assert sorted(item.uid for item in (*few, *rest)) == sorted(item.uid for item in items)
    assert [item.uid for item in few_shot(ctx, 8)[0]] == [item.uid for item in few]
    assert few_shot(ctx, 100) == (items, [])


def test_the_starts_are_asked_in_one_round_and_no_point_is_asked_twice():
    engine = Engine()
    world = World(("a", "b", "c"), dev_scores={"a": 0.25, "b": 0.5, "c": 0.75})
    method = make_method("weight_lorahub", {"max_inference_step": 6})
    points = world.fit(method, engine).data["points"]
    assert len(points) == 6
    asked = [[*dict.fromkeys(asked.model for asked in each if asked.purpose == "candidate")] for each in engine.rounds]
    first, *others = [each for each in asked if each]
    assert first[:3] == ["a", "b", "c"]
    assert len(first) == 4
    assert all(len(each) == 1 for each in others)
    assert len({tuple(point["weights"]) for point in points}) == 4 + len(others)
