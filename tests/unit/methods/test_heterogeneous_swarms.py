"""Heterogeneous swarms: what is searched, what it costs, and that the tree that was scored is the one that answers."""

import pytest
from support.contexts import answer_context, fit_context
from support.engines import Engine, ScriptedError
from support.items import questions, right_reply, wrong_reply

from moco.methods.base import State
from moco.methods.catalogue import make_method
from moco.methods.text.heterogeneous_swarms import node_prompt
from moco.prompts import blocks

ID = "text_heterogeneous_swarms"
DEV = questions(12, split="dev")
MODELS = ("a", "b", "c")


def replies(model, prompt, _sample):
    """Replies name their author and all that it read; only c is right, and only after it read b."""
    item = next(item for item in (*DEV, *questions(12)) if item.question in prompt)
    read = prompt.split("[answer ")[1:]
    right = model == "c" and any(text.split(" by ")[1].startswith("b") for text in read)
    inner = "; ".join(text.partition("]\n")[2].partition("\n[end]")[0].replace("\\box", "box") for text in read)
    return f"{right_reply(item) if right else wrong_reply(item)} by {model} after {{{inner}}}"


def fit(engine=None, workdir=None, **params):
    engine = engine or Engine(replies)
    ctx = fit_context(models=MODELS, questions=DEV, replies=engine, method=ID, workdir=workdir)
    return make_method(ID, params).fit(ctx), engine, ctx


def trees(state):
    return [tuple(each["tree"]) for each in state.data["evaluations"]]


def test_the_tree_that_answers_has_the_best_score_that_was_measured():
    state, _, _ = fit(ratio=1.0, finalists=1)
    scores = [each["dev"] for each in state.data["evaluations"]]
    assert state.data["dev"] == max(scores) == 1.0
    assert tuple(state.data["tree"]) == trees(state)[scores.index(1.0)]
    # Only trees whose end is c and that let b send to c are right.
    for targets, score in zip(trees(state), scores, strict=True):
        assert score == (targets[2] == -1 and targets[1] == 2)


def test_finalists_are_compared_on_all_dev_items():
    state, engine, _ = fit(ratio=0.25, finalists=3)
    found = state.data["finalists"]
    assert state.data["budget"]["items"] == 3
    assert len(found) == 3
    assert state.data["dev"] == max(each["dev"] for each in found)
    assert {asked.uid for asked in engine.requests} == {item.uid for item in DEV}
    searched = sorted({tuple(each["tree"]) for each in found}, key=[tuple(each["tree"]) for each in found].index)
    best = sorted(
        dict.fromkeys(trees(state)), key=lambda tree: -dict(zip(trees(state), scores(state), strict=True))[tree]
    )
    assert searched == best[:3]


def test_who_is_best_on_the_searched_items_alone_loses_to_who_is_best_on_all():
    ctx = fit_context(models=MODELS, questions=DEV, method=ID)
    searched = {DEV[place].question for place in ctx.rng("searched items", "dev").permutation(12)[:3]}
    one = min(searched)

    def misleading(model, prompt, _sample):
        item = next(item for item in DEV if item.question in prompt)
        right = item.question in searched if model == "c" else model == "a" and item.question != one
        return (right_reply if right else wrong_reply)(item)

    state, _, _ = fit(Engine(misleading), ratio=0.25, population=8, max_iterations=6, finalists=9)
    found = {each["tree"].index(-1): (each["searched"], each["dev"]) for each in state.data["finalists"]}
    assert found == {0: (pytest.approx(2 / 3), 11 / 12), 1: (0, 0), 2: (1, 3 / 12)}
    assert (state.data["tree"].index(-1), state.data["dev"]) == (0, 11 / 12)


def scores(state):
    return [each["dev"] for each in state.data["evaluations"]]


def test_equal_trees_are_scored_once_and_equal_parts_are_written_once():
    state, engine, ctx = fit(ratio=1.0, population=8, max_iterations=6)
    different = set(trees(state))
    assert len(different) < len(trees(state)) == state.data["budget"]["evaluations"]
    assert state.data["budget"]["trees"] == len(different)
    assert state.data["budget"]["possible_trees"] == 9
    assert len({(asked.model, asked.prompt) for asked in engine.requests}) == len(engine.requests)
    assert state.data["budget"]["replies"] == len(engine.requests)
    assert sum(call["kind"] == "own" for call in ctx.calls) == len(engine.requests)
    # Members that read nobody are not asked: their plain responses are read, each once.
    plain = [(call["model"], call["uid"]) for call in ctx.calls if call["kind"] == "plain"]
    assert len(set(plain)) == len(plain)
    assert all("[answer 1]" in asked.prompt for asked in engine.requests)


def test_the_items_of_the_search_are_drawn_and_not_the_first():
    found = set()
    for seed in range(5):
        engine = Engine(replies)
        ctx = fit_context(models=MODELS, questions=DEV, replies=engine, method=ID, seed=seed)
        make_method(ID, {"finalists": 1}).fit(ctx)
        found.add(tuple(sorted({asked.uid for asked in engine.requests})))
    assert len(found) > 1
    assert {len(each) for each in found} == {3}


def test_one_particle_that_stands_still_is_one_tree_a_round():
    state, _, _ = fit(population=1, max_iterations=3, nucleus=0.0, ratio=1.0)
    assert len(trees(state)) == 3
    assert state.data["history"] == sorted(state.data["history"])


def test_an_interrupted_search_goes_on_and_costs_what_it_costs_without_interruption(tmp_path):
    whole, engine, ctx = fit(ratio=0.5)
    last = engine.accesses - 2
    broken = Engine(replies, fail_at=last)
    with pytest.raises(ScriptedError):
        fit(broken, tmp_path, ratio=0.5)
    again, resumed, resumed_ctx = fit(Engine(replies, finished=broken.finished), tmp_path, ratio=0.5)
    assert again == whole
    assert len(resumed.requests) < len(engine.requests)
    assert [dict(call) for call in resumed_ctx.calls] == [dict(call) for call in ctx.calls]


def answers(targets, models=MODELS):
    engine = Engine(replies)
    ctx = answer_context(models=models, questions=questions(4), replies=engine, method=ID)
    found = list(make_method(ID, {}).answer(ctx, State({"tree": list(targets)})))
    return found, engine, ctx


def test_members_read_what_is_sent_to_them_and_the_end_answers():
    found, engine, ctx = answers((1, 2, -1))
    for item, each in zip(questions(4), found, strict=True):
        assert each.models == ("c",)
        wrong = wrong_reply(item).replace("\\box", "box")
        assert each.text == f"{right_reply(item)} by c after {{{wrong} by b after {{{wrong} by a after {{}}}}}}"
        assert each.record["tree"] == [1, 2, -1]
        assert each.record["texts"]["2"] == each.text
        assert set(each.record["texts"]) == {"0", "1", "2"}
    assert [len(asked) for asked in engine.rounds] == [4, 4]
    assert {call["model"] for call in ctx.calls if call["kind"] == "plain"} == {"a"}
    assert [asked.purpose for asked in engine.requests] == ["contribute"] * 4 + ["answer"] * 4


def test_a_star_asks_one_member_only_and_shows_all_others_in_pool_order():
    _, engine, ctx = answers((-1, 0, 0))
    assert len(engine.requests) == 4
    assert {asked.model for asked in engine.requests} == {"a"}
    assert {call["model"] for call in ctx.calls if call["kind"] == "plain"} == {"b", "c"}
    for asked in engine.requests:
        assert asked.prompt.index("by b") < asked.prompt.index("by c")


@pytest.mark.parametrize("kind", ["exact_match", "multiple_choice"])
def test_a_prompt_holds_question_answers_and_format_and_the_last_one_asks_for_the_final_answer(kind):
    [item] = questions(1, kind)
    inner, last = (node_prompt(item, ["one", "two"], last=last) for last in (False, True))
    for prompt, wording in ((inner, "your own answer"), (last, "final answer")):
        parts = [
            blocks.question(item),
            "[answer 1]\none\n[end]",
            "[answer 2]\ntwo\n[end]",
            "ignore what is wrong",
            wording,
            blocks.answer_format(kind),
        ]
        places = [prompt.index(part) for part in parts]
        assert places == sorted(places)
    assert "Write the final answer" not in inner


def test_copies_of_one_model_are_members_of_their_own():
    ctx = fit_context(models=("a", "a"), questions=DEV, replies=Engine(replies), method=ID)
    state = make_method(ID, {}).fit(ctx)
    assert sorted(state.data["tree"]) in ([-1, 0], [-1, 1])
    samples = {call["sample"] for call in ctx.calls if call["kind"] == "own"}
    assert samples <= {0, 1}
