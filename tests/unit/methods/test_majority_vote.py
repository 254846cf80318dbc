import pytest
from support.contexts import World, answer_context, fit_context
from support.engines import Engine
from support.items import questions, references

from moco.methods.base import PoolInfo, State
from moco.methods.catalogue import make_method
from moco.scoring import scorer_for

ID = "text_majority_vote"


def vote(replies, kind="exact_match", tie="random", state=None, **settings):
    """Return the answer to one item for which member i, all of different models, replies `replies[i]`."""
    models = [f"m{index}" for index in range(len(replies))]
    ctx = answer_context(
        models=models,
        questions=questions(1, kind),
        replies=dict(zip(models, replies, strict=True)),
        method=ID,
        **settings,
    )
    (answer,) = make_method(ID, {"tie": tie}).answer(ctx, state or State())
    return answer


@pytest.mark.parametrize(
    ("replies", "winner", "reply"),
    [
        (["no idea", "cannot tell", "B"], "B", "B"),
        (["A", "B", "B"], "B", "B"),
        (["A", "(b)", "The answer is B"], "B", "(b)"),
        (["C", "C", "C"], "C", "C"),
    ],
)
def test_the_most_frequent_option_wins_and_unreadable_replies_have_no_vote(replies, winner, reply):
    answer = vote(replies, "multiple_choice")
    assert (answer.extracted, answer.text, answer.has_extracted) == (winner, reply, True)
    assert answer.fallback is None
    assert answer.record["tied"] is False


def test_spellings_of_one_number_vote_together():
    answer = vote(["7", "$42$", "42", "42."])
    assert answer.record["votes"] == {"7": 1, "42": 3}
    assert answer.extracted == "42"
    assert answer.models == ("m1", "m2", "m3")


def test_the_minority_loses_though_no_two_spellings_agree():
    answer = vote(["7", "$42$", "42"])
    form = scorer_for("exact_match", "strict").normal_form
    item = questions(1)[0]
    assert form(item, answer.extracted) == form(item, "42")
    assert answer.record == {"votes": {"7": 1, "42": 2}, "parsed": ["7", "$42$", "42"], "tied": False}


@pytest.mark.parametrize(
    ("replies", "spelling"), [(["$5$", "5"], "$5$"), (["5", "$5$"], "5"), (["$5$", "5", "5"], "5")]
)
def test_the_most_frequent_spelling_is_given_and_the_earliest_on_ties(replies, spelling):
    assert vote(replies).extracted == spelling


def test_the_answer_is_the_first_whole_reply_with_the_spelling_that_is_given():
    replies = ["It is \\box{7}.", "So \\box{$42$} it is.", "I think of \\box{42}.", "Hence \\box{42}."]
    answer = vote(replies)
    assert (answer.text, answer.extracted) == (replies[2], "42")
    assert answer.models == ("m1", "m2", "m3")


def test_without_a_readable_vote_there_is_no_answer_and_it_is_counted():
    answer = vote(["no idea", "cannot tell"], "multiple_choice")
    assert (answer.extracted, answer.has_extracted) == (None, True)
    assert answer.fallback == "no readable vote"
    assert answer.models == ()
    assert answer.record["votes"] == {}


@pytest.mark.parametrize("rules", ["strict", "paper"])
def test_empty_replies_have_no_vote_under_either_rule_set(rules):
    answer = vote(["", " ", "7"], scorer=rules)
    assert (answer.extracted, answer.record["votes"]) == ("7", {"7": 1})
    assert vote(["", "\n"], scorer=rules).fallback == "no readable vote"


def test_the_given_answer_is_scored_without_a_second_extraction():
    item, gold = questions(1, "multiple_choice")[0], references(questions(1, "multiple_choice"))
    answer = vote(["A"], "multiple_choice")
    verdict = scorer_for("multiple_choice", "strict").score_extracted(item, gold[item.uid], answer.extracted)
    assert verdict.score == 1


@pytest.mark.parametrize("kind", ["exact_match", "multiple_choice"])
def test_one_member_gives_what_it_answers_alone(kind):
    world = World(("a",), kind, items=8)
    rows = world.answer(make_method(ID, {}), State())
    plain = Engine(world.replies).plain("a", 0, world.test)
    scorer = scorer_for(kind, "strict")
    alone = {item.uid: scorer.extract(item, plain[item.uid].text).parsed for item in world.test}
    assert {uid: row["extracted"] for uid, row in rows.items()} == alone


def test_copies_with_one_reply_agree_and_name_their_model():
    ctx = answer_context(models=["a", "a", "a"], questions=questions(1), replies={"a": "\\box{4}"})
    (answer,) = make_method(ID, {}).answer(ctx, State())
    assert (answer.extracted, answer.models) == ("4", ("a", "a", "a"))
    assert answer.record == {"votes": {"4": 3}, "parsed": ["4", "4", "4"], "tied": False}


def test_copies_are_different_samples():
    ctx = answer_context(
        models=["a", "b", "a"],
        questions=questions(1),
        replies=lambda model, _prompt, sample: f"{model}{sample}",
    )
    (answer,) = make_method(ID, {}).answer(ctx, State())
    assert answer.record["parsed"] == ["a0", "b0", "a1"]


@pytest.mark.parametrize("tie", ["random", "dev"])
def test_relabelling_the_models_leaves_untied_items_alone(tie):
    replies = {"a": "1", "b": "2", "c": "2", "d": "3"}
    state = State({"dev_means": [0.9, 0.1, 0.2, 0.8]})
    for models in (["a", "b", "c", "d"], ["d", "c", "b", "a"], ["b", "a", "d", "c"]):
        ctx = answer_context(models=models, questions=questions(1), replies=replies, method=ID)
        (answer,) = make_method(ID, {"tie": tie}).answer(ctx, state)
        assert (answer.extracted, answer.record["tied"]) == ("2", False)


def test_a_random_tie_is_drawn_among_the_tied_answers_by_item_and_seed_only():
    replies = {"a": "1", "b": "2", "c": "2", "d": "1", "e": "3"}

    def winners(models, seed):
        ctx = answer_context(models=models, questions=questions(40), replies=replies, method=ID, seed=seed)
        return [answer.extracted for answer in make_method(ID, {}).answer(ctx, State())]

    drawn = winners(list("abcde"), 1)
    assert set(drawn) == {"1", "2"}
    assert winners(list("becda"), 1) == drawn
    assert winners(list("abcde"), 2) != drawn


def refuse_randomness(ctx):
    def refuse(*_arguments):
        raise AssertionError("asked for randomness")

    ctx.rng = refuse
    return ctx


@pytest.mark.parametrize(
    ("means", "winner"),
    [
        ([0.4, 0.3, 0.2, 0.1, 0.9], "1"),
        ([0.1, 0.2, 0.3, 0.25, 0.9], "2"),
        ([0.2, 0.2, 0.2, 0.2, 0.9], "1"),
        ([0.1, 0.2, 0.2, 0.2, 0.9], "2"),
        ([None, None, None, 0.0, 0.9], "1"),
        ([None, 0.0, None, None, 0.9], "2"),
        ([None, None, None, None, None], "1"),
    ],
)
def test_a_tie_goes_to_the_answer_of_the_tied_voter_best_on_dev(means, winner):
    replies = {"a": "1", "b": "2", "c": "2", "d": "1", "e": "3"}
    ctx = refuse_randomness(answer_context(models=list("abcde"), questions=questions(1), replies=replies))
    (answer,) = make_method(ID, {"tie": "dev"}).answer(ctx, State({"dev_means": means}))
    assert (answer.extracted, answer.record["tied"]) == (winner, True)


def test_dev_means_are_learnt_only_where_they_break_ties():
    assert make_method(ID, {}).needs(PoolInfo.of_size(3)).fit is None
    method = make_method(ID, {"tie": "dev"})
    assert method.needs(PoolInfo.of_size(3)).fit.dev_scores
    ctx = fit_context(
        models=["a", "b"],
        questions=questions(4, split="dev"),
        dev_scores={"a": 0.25, "b": 0.75},
        needs=method.needs(PoolInfo.of_size(2)),
    )
    assert method.fit(ctx).data == {"dev_means": [0.25, 0.75]}


def test_it_makes_no_request_of_its_own():
    for tie in ("random", "dev"):
        needs = make_method(ID, {"tie": tie}).needs(PoolInfo.of_size(3))
        assert not needs.answer.runs_models
        assert needs.fit is None or not needs.fit.runs_models


def test_it_is_one_sample_per_member_however_many_vote():
    engine = Engine({"a": "1", "b": "2"})
    ctx = answer_context(models=["a", "b", "a"], questions=questions(3), replies=engine)
    list(make_method(ID, {}).answer(ctx, State()))
    assert [(call["model"], call["sample"]) for call in ctx.calls if call["uid"] == "t-test-0"] == [
        ("a", 0),
        ("b", 0),
        ("a", 1),
    ]
    assert engine.requests == []
