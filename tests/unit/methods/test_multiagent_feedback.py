"""Multi-agent feedback: who reviews whom, what the prompts show, how much is asked, what refinement shares."""

from collections import Counter

import pytest
from support.contexts import World, fit_context
from support.engines import Engine
from support.items import questions
from support.rounds import answered, by_purpose, shown

from moco.errors import RequestError
from moco.methods.base import PoolInfo
from moco.methods.catalogue import make_method
from moco.methods.text.multiagent_feedback import review_prompt, rewrite_prompt
from moco.prompts import blocks

ID = "text_multiagent_feedback"
MODELS = ("a", "b", "c", "d")


def numbered(model, prompt, sample):
    """A reply that names its model and sample, and what it answers to: a round, or the answer that it reviews."""
    blocks_of = dict(shown(prompt))
    if "your answer" in blocks_of:
        return f"{model}{sample} in round {int(blocks_of['your answer'].rsplit(' ', 1)[1]) + 1}"
    if "answer" in blocks_of:
        return f"{model}{sample} says of <{blocks_of['answer']}>"
    if "Write the final answer." in prompt:
        return f"summary by {model}{sample}"
    return f"{model}{sample} in round 1"


def run(
    models=MODELS, items=3, replies=numbered, summariser=0, kind="exact_match", seed=1, id=ID, chosen=None, **params
):
    asked = items if chosen is None else chosen
    return answered(id, params, models=models, items=asked, replies=replies, member=summariser, kind=kind, seed=seed)


def assigned(answers):
    """Reviewers by item, round and author."""
    return {
        (answer.uid, number, author): reviewers
        for answer in answers
        for number, made in enumerate(answer.record["rounds"], 1)
        for author, reviewers in enumerate(made.get("reviewers", []))
    }


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize(
    ("models", "rounds", "reviewers"), [(MODELS, 3, 3), (MODELS, 3, 2), ("aab", 2, 1), ("ab", 4, 5)]
)
def test_own_requests_are_those_of_the_formula(models, rounds, reviewers, balanced):
    _, engine, _ = run(tuple(models), items=2, rounds=rounds, reviewers=reviewers, balanced=balanced)
    n, f = len(models), min(reviewers, len(models) - 1)
    assert len(engine.requests) == 2 * ((rounds - 1) * n * (f + 1) + 1)
    assert len(engine.rounds) == 2 * (rounds - 1) + 1
    assert Counter(asked.purpose for asked in engine.requests) == {
        **{f"review {number}": 2 * n * f for number in range(2, rounds + 1)},
        **{f"rewrite {number}": 2 * n for number in range(2, rounds + 1)},
        "summarise": 2,
    }


@pytest.mark.parametrize("params", [{"rounds": 0}, {"reviewers": 0}, {"reviewers": -1}])
def test_no_rounds_and_no_reviewers_are_refused(params):
    with pytest.raises(RequestError, match=next(iter(params))):
        make_method(ID, params)


def test_a_pool_of_one_is_too_small():
    assert make_method(ID, {}).needs(PoolInfo.of_size(4)).min_models == 2


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("reviewers", [1, 2, 3, 9])
def test_nobody_reviews_the_own_answer_and_all_answers_have_as_many_reviewers(reviewers, balanced):
    answers, _, _ = run(items=6, rounds=3, reviewers=reviewers, balanced=balanced)
    drawn = assigned(answers)
    assert len(drawn) == 6 * 2 * 4
    for (_, _, author), chosen in drawn.items():
        assert author not in chosen
        assert len(set(chosen)) == len(chosen) == min(reviewers, 3)


def test_drawn_reviewers_differ_by_item_author_round_and_seed():
    first = assigned(run(items=8, rounds=3, reviewers=1)[0])
    other = assigned(run(items=8, rounds=3, reviewers=1, seed=2)[0])
    assert first != other
    distances = {key: (chosen[0] - key[2]) % 4 for key, chosen in first.items()}
    for part in range(3):
        varied_in = {}
        for key, distance in distances.items():
            varied_in.setdefault(key[:part] + key[part + 1 :], set()).add(distance)
        assert max(map(len, varied_in.values())) > 1
    assert Counter(distances.values()).keys() == {1, 2, 3}


def test_the_assignment_depends_on_seed_and_item_alone():
    items = questions(6)
    whole, alone = assigned(run(chosen=items)[0]), assigned(run(chosen=items[3:4])[0])
    assert {key: value for key, value in whole.items() if key[0] == items[3].uid} == alone
    assert assigned(run(chosen=items[::-1])[0]) == whole
    fewer = assigned(run(chosen=items, reviewers=1)[0])
    assert all(whole[key][:1] == chosen for key, chosen in fewer.items())


def test_balanced_reviewers_review_equally_many_answers():
    drawn = assigned(run(items=8, rounds=3, reviewers=2, balanced=True)[0])
    work = Counter((uid, number, reviewer) for (uid, number, _), chosen in drawn.items() for reviewer in chosen)
    assert set(work.values()) == {2}
    assert len(work) == 8 * 2 * 4
    unbalanced = assigned(run(items=8, rounds=3, reviewers=2)[0])
    work = Counter((uid, number, reviewer) for (uid, number, _), chosen in unbalanced.items() for reviewer in chosen)
    assert set(work.values()) != {2}


def test_all_others_review_whatever_the_seed():
    sets = [
        {key: set(chosen) for key, chosen in assigned(run(rounds=2, reviewers=3, seed=seed)[0]).items()}
        for seed in (1, 2)
    ]
    assert sets[0] == sets[1]
    assert all(chosen == set(range(4)) - {key[2]} for key, chosen in sets[0].items())


def test_a_review_prompt_shows_one_answer_of_the_last_round_and_a_rewrite_prompt_its_own_reviews_in_order():
    answers, engine, _ = run(rounds=3, reviewers=2)
    drawn = assigned(answers)
    for number in (2, 3):
        for asked in by_purpose(engine, f"review {number}"):
            [(title, text)] = shown(asked.prompt)
            assert title == "answer"
            assert text.endswith(f"in round {number - 1}")
            assert not text.startswith(asked.model)
        rewrites = by_purpose(engine, f"rewrite {number}")
        assert len(rewrites) == 3 * 4
        for asked in rewrites:
            own = f"{asked.model}0 in round {number - 1}"
            reviewers = drawn[asked.uid, number, MODELS.index(asked.model)]
            said = [f"{MODELS[place]}0 says of <{own}>" for place in reviewers]
            expected = [("your answer", own), *((f"feedback {place}", text) for place, text in enumerate(said, 1))]
            assert shown(asked.prompt) == expected


def test_copies_review_with_samples_of_their_own():
    _, engine, _ = run(models=("a", "a", "a"), rounds=2, reviewers=2)
    reviews = by_purpose(engine, "review 2")
    assert Counter(asked.sample for asked in reviews) == {0: 6, 1: 6, 2: 6}
    assert all(f"a{asked.sample} in" not in asked.prompt for asked in reviews)


@pytest.mark.parametrize("kind", ["exact_match", "multiple_choice"])
def test_prompts_hold_the_question_and_those_that_ask_for_an_answer_end_with_its_format(kind):
    _, engine, _ = run(kind=kind, rounds=2)
    items = {item.uid: item for item in questions(3, kind)}
    for asked in engine.requests:
        assert asked.prompt.count(blocks.question(items[asked.uid])) == 1
        assert asked.prompt.endswith(blocks.answer_format(kind)) != asked.purpose.startswith("review")
        assert asked.prompt.count(blocks.answer_format(kind)) <= 1


def test_reviews_of_several_lines_stay_in_their_blocks():
    item = questions(1)[0]
    reviews = ["- one\n- two\n\n[end of thought]", "three"]
    prompt = rewrite_prompt(item, "mine\nof two lines", reviews)
    assert shown(prompt) == [("your answer", "mine\nof two lines"), ("feedback 1", reviews[0]), ("feedback 2", "three")]
    assert shown(review_prompt(item, "a\n\n- b")) == [("answer", "a\n\n- b")]


def test_with_one_round_refinement_asks_the_very_same():
    for seed in (1, 2):
        feedback = run(items=12, rounds=1, seed=seed)[1]
        refine = run(items=12, rounds=1, seed=seed, id="text_multiagent_refine")[1]
        assert feedback.requests == refine.requests
        assert len(feedback.requests) == 12


def test_two_and_three_rounds_share_round_two_and_more_reviewers_reuse_reviews_of_plain_answers():
    two = run(rounds=2, reviewers=2)[1]
    resumed = Engine(numbered, finished=two.finished)
    run(rounds=3, reviewers=2, replies=resumed)
    assert len(resumed.generated) == 3 * (4 * 3 + 1)
    more = Engine(numbered, finished=two.finished)
    run(rounds=2, reviewers=3, replies=more)
    assert Counter(asked.purpose for asked in more.generated) == {"review 2": 3 * 4, "rewrite 2": 3 * 4}


def test_the_record_holds_answers_what_was_read_in_them_reviewers_and_reviews_of_every_round():
    def reply(model, prompt, _sample):
        return f"\\box{{{model}{len(shown(prompt))}}}"

    answers, _, _ = run(rounds=2, reviewers=2, replies=reply)
    for answer in answers:
        first, second = answer.record["rounds"]
        assert first == {"answers": [f"\\box{{{m}0}}" for m in MODELS], "extracted": [f"{m}0" for m in MODELS]}
        assert second["extracted"] == [f"{m}3" for m in MODELS]
        assert second["reviews"] == [[f"\\box{{{MODELS[place]}1}}" for place in each] for each in second["reviewers"]]
        assert answer.record["summariser"] == 0


def test_fit_chooses_the_best_on_dev_who_sums_up_all_last_answers():
    method, world = make_method(ID, {"rounds": 2}), World(("a", "b", "c"), dev_scores={"a": 0.25, "b": 0.75, "c": 0.5})
    engine = Engine(numbered)
    rows = world.answer(method, world.fit(method), engine)
    assert all(row["models"] == ["b"] and row["text"] == "summary by b0" for row in rows.values())
    for asked in by_purpose(engine, "summarise"):
        assert sorted(text for _, text in shown(asked.prompt)) == [f"{m}0 in round 2" for m in "abc"]
    equal = fit_context(models=["a", "b"], questions=questions(2, split="dev"), dev_scores={"a": 0.5, "b": 0.5})
    assert method.fit(equal).data["member"] == 0
