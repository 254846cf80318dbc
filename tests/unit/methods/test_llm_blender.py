"""LLM-Blender: rankings by pairs, what ranker and fuser learn, and what is measured."""

import itertools

import pytest
from support.contexts import World, answer_context, fit_context
from support.engines import Engine
from support.items import questions, right_reply, wrong_reply

from moco.errors import RequestError
from moco.methods.base import State
from moco.methods.catalogue import make_method
from moco.methods.shared.pairwise import NAMES, Verdict, by_points, pair_prompt, points
from moco.methods.text.llm_blender import accuracy, fusion_prompt, target
from moco.prompts import blocks
from moco.tasks.item import Reference

ID = "text_llm_blender"
LENGTHS = {"a": "mid mid", "b": "longest longest longest", "c": "short"}


def shown(prompt):
    """The two answers in a judge's prompt."""
    return [part.partition("]\n")[2].partition("\n[end]")[0] for part in prompt.split("[answer ")[1:]]


def longer(_model, prompt, option):
    first, second = (len(text) for text in shown(prompt))
    return (float(first - second) if option == NAMES[0] else 0.0,)


def always_first(_model, _prompt, option):
    return (-0.1 if option == NAMES[0] else -7.0,)


def answer(models=("a", "b", "c"), measure=longer, replies=None, state=None, items=2, **params):
    engine = Engine(
        replies or (lambda model, prompt, _: LENGTHS.get(model, "") if "[answer" not in prompt else "fused"),
        measure=measure,
    )
    ctx = answer_context(models=list(models), questions=questions(items), replies=engine, method=ID)
    found = list(make_method(ID, params).answer(ctx, state or State({"fuser_member": 0})))
    return found, engine, ctx


@pytest.mark.parametrize("models", list(itertools.permutations("abc")))
def test_a_ranker_that_likes_long_answers_gives_the_order_of_length_for_any_order_of_members(models):
    found, engine, _ = answer(models)
    for each in found:
        assert [models[place] for place in each.record["ranked"]] == ["b", "a", "c"]
        assert sorted(each.record["points"]) == [0, 1, 2]
        assert each.record["inconsistent"] == 0
    fused = [asked for asked in engine.requests if asked.purpose == "fuse"]
    assert all(shown(asked.prompt) == [LENGTHS[name] for name in "bac"] for asked in fused)


def test_a_ranker_that_always_names_the_first_prefers_nobody():
    found, _, _ = answer(measure=always_first)
    for each in found:
        assert each.record["points"] == [1.0, 1.0, 1.0]
        assert each.record["ranked"] == [0, 1, 2]
        assert each.record["inconsistent"] == 3
        assert [verdict["winner"] for verdict in each.record["verdicts"]] == [None] * 3


def test_a_preference_counts_beside_a_bias_towards_a_place():
    verdict = Verdict(0, 1, (3.0, 2.0))
    assert (verdict.preference, verdict.winner, verdict.consistent) == (0.5, 0, False)
    assert Verdict(0, 1, (-0.5, 2.0)).winner == 1
    assert Verdict(0, 1, (-0.5, 2.0)).consistent


def test_every_pair_is_compared_in_both_orders_in_one_round():
    _, engine, ctx = answer()
    asked = [one for one in engine.requests if one.purpose == "compare"]
    assert len(asked) == 2 * 3 * 2
    assert [len(one) for one in engine.rounds] == [12, 2]
    for uid in ("t-test-0", "t-test-1"):
        orders = {tuple(shown(one.prompt)) for one in asked if one.uid == uid}
        assert orders == set(itertools.permutations(LENGTHS.values(), 2))
    assert {call["model"] for call in ctx.calls if call["kind"] == "choice"} == {"judge"}


def test_equal_answers_are_not_compared_and_share_a_point():
    found, engine, _ = answer(("a", "c", "c"))
    assert found[0].record["points"] == [2.0, 0.5, 0.5]
    assert len([one for one in engine.requests if one.purpose == "compare"]) == 2 * 2 * 2


def test_a_single_member_is_fused_without_a_ranker():
    found, engine, _ = answer(("a",))
    assert [one.purpose for one in engine.requests] == ["fuse", "fuse"]
    assert all(shown(one.prompt) == [LENGTHS["a"]] for one in engine.requests)
    assert found[0].record["points"] == [0.0]


@pytest.mark.parametrize(("top_k", "kept"), [(1, "b"), (2, "ba"), (3, "bac"), (9, "bac")])
def test_the_best_are_kept(top_k, kept):
    found, engine, _ = answer(top_k=top_k)
    assert ["abc"[place] for place in found[0].record["ranked"]] == list(kept)
    fused = next(one for one in engine.requests if one.purpose == "fuse")
    assert shown(fused.prompt) == [LENGTHS[name] for name in kept]


def test_the_ranker_alone_answers_with_the_response_that_it_ranks_first():
    found, engine, _ = answer(("a", "b", "c"), fuse=False, state=State())
    assert {(each.text, *each.models) for each in found} == {(LENGTHS["b"], "b")}
    assert {one.purpose for one in engine.requests} == {"compare"}
    with pytest.raises(RequestError, match="writes nothing"):
        make_method(ID, {"fuse": False, "train_fuser": True})


def test_points_add_up_to_the_number_of_pairs_and_equal_ones_keep_their_order():
    for margins in itertools.product([-1.0, 0.0, 1.0], repeat=6):
        pairs = itertools.combinations(range(4), 2)
        won = points([Verdict(*pair, (each, 0.0)) for pair, each in zip(pairs, margins, strict=True)], 4)
        assert sum(won) == 6
    assert by_points([1.0, 2.0, 1.0]) == [1, 0, 2]


def test_the_fuser_is_the_member_best_on_dev_or_the_first_or_the_model_that_is_named():
    scores = {"a": 0.5, "b": 0.75, "c": 0.75}
    for params, authors in (
        ({}, {"b"}),
        ({"fuser_member": "first"}, {"a"}),
        ({"fuser": "writes"}, {"writes"}),
        ({"fuser": "writes", "fuser_member": "first"}, {"writes"}),
    ):
        world, method = World(("a", "b", "c"), dev_scores=scores), make_method(ID, params)
        rows = world.answer(method, world.fit(method))
        assert {name for row in rows.values() for name in row["models"]} == authors


@pytest.mark.parametrize("kind", ["exact_match", "multiple_choice"])
def test_prompts_hold_what_they_must(kind):
    [item] = questions(1, kind)
    judge = pair_prompt(item, "one", "two")
    for part in (blocks.question(item), "[answer 1]\none\n[end]", "[answer 2]\ntwo\n[end]", "1 or 2", "nothing else"):
        assert part in judge
    # The form of the task's answer is not asked of the judge.
    assert blocks.answer_format(kind) not in judge
    fused = fusion_prompt(item, ["one", "two"])
    parts = [
        blocks.question(item),
        "best to the worst",
        "[answer 1]\none",
        "[answer 2]\ntwo",
        blocks.answer_format(kind),
    ]
    places = [fused.index(part) for part in parts]
    assert places == sorted(places)


# What is learnt

DEV = questions(10, split="dev")
RIGHT = {"a": {0, 1, 2, 3, 4, 5}, "b": {0, 1, 6, 7}, "c": set()}


def replies(model, prompt, _sample):
    if "[answer" in prompt:
        return "fused"
    [(number, item)] = [(number, item) for number, item in enumerate(DEV) if item.prompt == prompt]
    return f"{right_reply(item) if number in RIGHT[model] else wrong_reply(item)} says {model}"


def fit(measure=longer, dev_scores=None, models=("a", "b", "c"), **params):
    engine = Engine(replies, measure=measure)
    ctx = fit_context(models=list(models), questions=DEV, replies=engine, method=ID, dev_scores=dev_scores)
    return make_method(ID, params).fit(ctx), engine


def test_the_ranker_learns_both_orders_of_every_pair_of_which_one_is_better():
    state, engine = fit(train_ranker=True, held_out=0.0)
    [(kind, parent, name, examples, _)] = engine.trained
    assert (kind, parent, name) == ("sft", "judge", "ranker")
    assert state.data["ranker"] == {"examples": len(examples), "learned": True}
    # 0 and 1: a over c, b over c; 2 to 5: a over both; 6 and 7: b over both; 8 and 9: nobody.
    assert len(examples) == 2 * (2 * 2 + 4 * 2 + 2 * 2)
    for one in examples:
        item = next(item for item in DEV if item.uid == one.uid)
        texts = shown(one.prompt)
        assert one.prompt == pair_prompt(item, *texts)
        assert texts[NAMES.index(one.reply)].startswith(right_reply(item))
        assert not texts[1 - NAMES.index(one.reply)].startswith(right_reply(item))
    assert [one.reply for one in examples].count("1") == len(examples) / 2


def test_what_is_held_out_is_not_learnt_and_measures_the_ranker_before_and_after():
    def knows(model, prompt, option):
        first, _ = shown(prompt)
        says_right = any(first.startswith(right_reply(item)) for item in DEV if item.question in prompt)
        good = model.endswith("*")
        return (float((option == NAMES[0]) == (says_right == good)),)

    state, engine = fit(knows, train_ranker=True, held_out=0.5)
    [(_, _, _, examples, _)] = engine.trained
    asked = {one.uid for one in engine.requests}
    assert not {one.uid for one in examples} & asked
    assert len(asked) == 5
    found = state.data["ranker"]["held_out"]
    assert found["accuracy"] == {"before": 0.0, "after": 1.0}
    assert found["pairs"] > 0


def test_accuracy_counts_pairs_of_which_one_is_better_and_halves_the_undecided():
    verdicts = [[Verdict(0, 1, (1.0, 0.0)), Verdict(0, 2, (0.0, 1.0)), Verdict(1, 2, ())]]
    assert accuracy(verdicts, [[1.0, 0.0, 0.0]]) == (0.5, 2)
    assert accuracy(verdicts, [[0.0, 1.0, 0.0]]) == (pytest.approx(0.25), 2)
    assert accuracy(verdicts, [[1.0, 1.0, 1.0]]) == (None, 0)


def test_the_fuser_learns_right_answers_after_candidates_in_the_order_of_a_ranker_that_did_not_learn_from_them():
    state, engine = fit(train_ranker=True, train_fuser=True, held_out=0.2)
    trained = {name: (parent, examples) for _, parent, name, examples, _ in engine.trained}
    assert set(trained) == {"ranker", "ranker_of_half_0", "ranker_of_half_1", "fuser"}
    parent, examples = trained["fuser"]
    assert parent == "a"
    halves = [{one.uid for one in trained[f"ranker_of_half_{number}"][1]} for number in (0, 1)]
    assert not halves[0] & halves[1]
    for one in examples:
        item = next(item for item in DEV if item.uid == one.uid)
        assert one.reply == right_reply(item)
        # By the ranker's liking, which is length; never by the score.
        assert [len(text) for text in shown(one.prompt)] == sorted(
            (len(text) for text in shown(one.prompt)), reverse=True
        )
        assert one.prompt == fusion_prompt(item, shown(one.prompt))
    for number in (0, 1):
        judged = {one.uid for one in engine.requests if one.model == f"ranker_of_half_{number}"}
        assert judged
        assert not judged & halves[number]
    measured = {one.uid for one in engine.requests if one.model == "fuser"}
    assert len(measured) == state.data["fuser"]["held_out"]["items"] == 2
    assert not measured & {one.uid for one in examples}
    assert set(state.data["fuser"]["held_out"]["score"]) == {"before", "after"}


def test_without_training_the_ranker_the_fuser_learns_from_the_order_of_the_ranker_as_it_is():
    _, engine = fit(train_fuser=True, fuser="writes")
    assert [(parent, name) for _, parent, name, _, _ in engine.trained] == [("writer", "fuser")]
    assert {one.model for one in engine.requests if one.purpose == "compare"} == {"judge"}


@pytest.mark.parametrize(
    ("kind", "gold", "row", "expected"),
    [
        ("multiple_choice", Reference("u", {"index": 1, "key": "B"}, "option"), [0, 0], ("B", "reference")),
        ("exact_match", Reference("u", "7", "number"), [0, 1], ("\\box{7}", "reference")),
        ("f1_match", Reference("u", ["first", "second"], "aliases"), [0, 1], ("\\box{first}", "reference")),
        ("coding", Reference("u", {"test": ""}, "code"), [0, 1], ("two", "best candidate")),
        ("noncompliance", Reference("u", "Safety", "category"), [1, 1], ("one", "best candidate")),
        ("coding", Reference("u", {"test": ""}, "code"), [0, 0], None),
        ("reward_model", Reference("u", None, "none"), [-3, -2], ("two", "best candidate")),
    ],
)
def test_targets_are_gold_answers_in_the_form_of_the_task_or_the_best_candidate(kind, gold, row, expected):
    [item] = questions(1, kind)
    assert target(item, gold, ["one", "two"], row) == expected


def test_without_a_pair_to_learn_from_the_model_as_it_is_ranks_and_every_answer_says_so():
    method = make_method(ID, {"train_ranker": True})
    world = World(("a", "b", "c"), dev_scores={"a": 0.5, "b": 0.5, "c": 0.5})
    engine = Engine(world.replies)
    state = world.fit(method, engine)
    assert not engine.trained
    assert not state.data["ranker"]["learned"]
    rows = world.answer(method, state, engine)
    assert {row["fallback"] for row in rows.values()} == {"no dev item to learn from: ranker"}


@pytest.mark.parametrize(
    "params",
    [
        {"fuser": "writes", "train_fuser": True, "train_ranker": True},
        {"fuse": False, "train_ranker": True},
        {"fuse": False, "train_ranker": True, "held_out": 0.0},
        {"fuse": False, "fuser": "writes"},
        {"fuser_member": "first", "train_fuser": True, "held_out": 0.0},
        {"fuser_member": "first", "fuser": "writes", "train_ranker": True},
    ],
)
def test_settings_together_declare_what_they_use(params):
    method = make_method(ID, params)
    world = World(("a", "b", "c"), items=10, dev_scores={"a": 0.25, "b": 0.75, "c": 0.5})
    engine = Engine(world.replies)
    state = world.fit(method, engine)
    assert set(state.models) == set(method.needs(world.pool).models)
    assert len(world.answer(method, state, engine)) == 10
    made = {name for _, _, name, _, _ in engine.trained}
    assert ("fuser" in made, "ranker" in made) == ("train_fuser" in params, "train_ranker" in params)
