"""Duels, verdicts, ratings and preferences of Sparta, with and without a leader."""

import logging
from itertools import pairwise
from math import exp
from types import SimpleNamespace

import numpy as np
import pytest
from support.contexts import World, fit_context
from support.engines import Engine, ScriptedError, fingerprint
from support.items import questions, right_reply, wrong_reply

from moco.methods.base import PoolInfo
from moco.methods.catalogue import make_method
from moco.methods.shared.duels import (
    Duel,
    DuelParams,
    Judged,
    Ratings,
    Tournament,
    contestant_weights,
    opponent,
    verdict,
)
from moco.methods.text.sparta_stackelberg import Leader, StackelbergParams, scheduled_opponent
from moco.models.recipes import Recipe

MODELS = ("a", "b", "c", "d")
ITEMS = questions(10, split="dev")
ID = "text_sparta"


# Verdicts


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"score": 7}', 7),
        ('{"score": "8"}', 8),
        ('I think. {"score": 2} No: {"score": 9.5}', 9.5),
        ('{"other": 1}', None),
        ('{"score": 11}', None),
        ('{"score": true}', None),
        ('{"score": 0}', None),
        ("Score: 4", 4),
        ("I give it 6/10.", 6),
        ("A fine answer in 2024.", None),
        ("", None),
        ('{"score": nonsense} 3/10', 3),
    ],
)
def test_a_verdict_is_read_or_is_none(text, score):
    assert verdict(text) == score


# Ratings


def test_the_first_move_of_a_rating_is_that_of_the_original():
    ratings = Ratings(3, DuelParams())
    ratings.update(0, 2, 2.0)
    step = 10 * 0.9 ** (1 / 10)
    assert step == pytest.approx(9.895, abs=5e-4)
    move = step * 2 * np.tanh(0.5) * 0.01 / 20
    assert move == pytest.approx(0.00457, abs=5e-6)
    assert ratings.values == pytest.approx([100 + move, 100, 100 - move])
    assert ratings.deviations == [0.5] * 3, "one move says nothing of a deviation"


def test_both_ratings_move_from_where_they_were_by_the_share_between_them():
    ratings = Ratings(2, DuelParams(scaling_factor=1.0))
    ratings.values = [101.0, 100.0]
    ratings.update(0, 1, 1.0)
    share = 0.8427007929  # of the normal within sqrt(2) of its mean, the gap in units of sqrt(0.5)
    move = 10 * 0.9**0.1 * np.tanh(0.5) * share
    assert ratings.values == pytest.approx([101 + move, 100 - move])


def test_deviations_follow_the_last_moves_and_ratings_do_not_sink_too_low():
    ratings = Ratings(2, DuelParams(scaling_factor=0.001, window_size=3))
    for _ in range(6):
        ratings.update(0, 1, -9.0)
    assert ratings.values[0] == 10
    assert ratings.deviations[0] == 0.1, "three moves of nothing"
    assert ratings.deviations[1] > 0.1


def test_elo_moves_ratings_against_what_they_expect():
    ratings = Ratings(2, DuelParams(rating="elo", decay_rate=1.0))
    ratings.values = [300.0, 100.0]
    ratings.update(0, 1, 3.0)
    expected = 1 / (1 + 10 ** (-200 / 400))
    assert ratings.values == pytest.approx([300 + 10 * (1 - expected), 100 - 10 * (1 - expected)])
    ratings.update(0, 1, 0.0)
    assert ratings.values[0] < 300 + 10 * (1 - expected), "a draw costs the favourite"


def test_frozen_ratings_stay():
    ratings = Ratings(2, DuelParams(freeze_ratings=True))
    ratings.update(0, 1, 9.0)
    assert ratings.values == [100, 100]


def test_the_step_decays_to_its_least():
    ratings = Ratings(2, DuelParams(rating="elo"))
    ratings.updates = 10_000
    ratings.update(0, 1, 1.0)
    assert ratings.values == [102.5, 97.5]


def test_scores_of_low_rated_contestants_count_less_from_the_third_round_on():
    history = [[100.0, 99, 98, 97], [97.0, 98, 99, 100], [1.0, 2, 3, 4], [4.0, 3, 2, 1], *[[4.0, 3, 2, 1]] * 9]
    for kind in ("normal", "dynamic", "static"):
        assert contestant_weights(kind, history, 1) == [1.0] * 4
    assert contestant_weights("normal", history, 3) == [1.0] * 4
    assert contestant_weights("dynamic", history, 2) == [0.0, 1, 1, 1]
    assert contestant_weights("dynamic", history, 3) == [0.0, 0.1, 1, 1]
    assert contestant_weights("dynamic", history, 4) == [1, 0.2, 0.1, 0.0]
    assert contestant_weights("static", history, 3) == [0.0, 0.1, 1, 1]
    assert contestant_weights("static", history, 4) == [0.0, 0.1, 1, 0.2]
    assert contestant_weights("dynamic", history, 12) == contestant_weights("dynamic", history, 7)


# Opponents


def test_opponents_are_near_by_rating_and_anyone_by_chance():
    rng = np.random.Generator(np.random.Philox(key=1))
    ratings = [100.0, 101, 90, 130, 100.5]
    near = DuelParams(random_match_prob=0.0, num_opponents=2)
    assert {opponent(rng, ratings, 0, near) for _ in range(60)} == {1, 4}
    assert {opponent(rng, ratings, 0, DuelParams(random_match_prob=1.0)) for _ in range(60)} == {1, 2, 3, 4}
    equal = {opponent(rng, [100.0] * 5, 0, DuelParams(random_match_prob=0.0, num_opponents=1)) for _ in range(60)}
    assert equal == {1, 2, 3, 4}, "none is nearer for its place in the pool"


@pytest.mark.parametrize(("selection", "first"), [("schedule_decreasing", 3), ("schedule_increasing", 1)])
def test_a_schedule_goes_from_distant_opponents_to_near_ones_or_back(selection, first):
    rng = np.random.Generator(np.random.Philox(key=1))
    params = StackelbergParams(random_match_prob=0.0, opponent_selection=selection, reputation_gap_sigma=0.01)
    ratings = [100.0, 101, 120, 140]
    other = {1: 3, 3: 1}[first]
    assert {scheduled_opponent(rng, ratings, 0, params, 0.0) for _ in range(20)} == {first}
    assert {scheduled_opponent(rng, ratings, 0, params, 1.0) for _ in range(20)} == {other}
    for mode in ("schedule_decreasing", "schedule_increasing", "lowest_diff", "highest_diff"):
        params = StackelbergParams(random_match_prob=0.0, opponent_selection=mode, num_opponents=1)
        assert {scheduled_opponent(rng, [100.0] * 4, 0, params, 0.5) for _ in range(80)} == {1, 2, 3}


# Preferences


def judged(first, second, scores, texts=("one", "two"), item=ITEMS[0]):
    return Judged(Duel(item, first, second), texts, scores)


def tournament(id=ID, **params):
    ctx = fit_context(models=MODELS, questions=ITEMS, method=id)
    return Tournament(ctx, DuelParams(**params))


def test_the_better_answer_is_preferred_and_equal_ones_teach_nothing():
    contest = tournament()
    scores = {2: (7.0, 4.0), 3: (5.0, 6.0)}
    [learnt] = contest.preferences([judged(0, 1, scores)])
    assert (learnt.reply, learnt.rejected, learnt.source) == ("one", "two", "a over b")
    assert (learnt.prompt, learnt.uid) == (ITEMS[0].prompt, ITEMS[0].uid)
    swapped = {judge: (other, one) for judge, (one, other) in scores.items()}
    [learnt] = contest.preferences([judged(0, 1, swapped)])
    assert (learnt.reply, learnt.rejected, learnt.source) == ("two", "one", "b over a")
    assert (
        contest.preferences([judged(0, 1, {2: (5.0, 5.0)}), judged(0, 1, {}), judged(0, 1, scores, ("x", "x"))]) == []
    )


def test_judges_count_by_their_ratings():
    contest = tournament()
    contest.ratings.values = [100.0, 100, 300, 100]
    # (300 * 4 + 100 * 9) / 400 = 5.25 against (300 * 6 + 100 * 1) / 400 = 4.75
    scores = {2: (4.0, 6.0), 3: (9.0, 1.0)}
    assert judged(0, 1, scores).means(contest.ratings.values) == pytest.approx((5.25, 4.75))
    contest.ratings.values = [100.0, 100, 500, 100]
    [learnt] = contest.preferences([judged(0, 1, scores)])
    assert learnt.source == "b over a"


def test_frozen_ratings_give_preferences_all_the_same():
    contest = tournament(freeze_ratings=True)
    duel = judged(0, 1, {2: (7.0, 4.0)})
    contest.rate([duel], 0)
    assert contest.history == [[100.0] * 4]
    assert len(contest.preferences([duel])) == 1


# The whole


def reply(model, prompt, _sample):
    """`a` is right on all items until it is trained, `c` when it is trained; judges have their own taste."""
    item = next(item for item in (*ITEMS, *questions(10)) if item.question in prompt)
    if "Rate the answer" in prompt:
        return f'{{"score": {1 + sum(prompt.encode()) % 10}}}'
    good = {"a": 0.7, "c*": 1.0, "c**": 0.8}.get(model, 0.0)
    number = int(item.uid.rsplit("-", 1)[1])
    return f"{(right_reply if number < 10 * good else wrong_reply)(item)} by {model}"


def fitted(id=ID, models=MODELS, script=reply, **params):
    method = make_method(id, {"num_iterations": 2, **params})
    engine = Engine(script)
    ctx = fit_context(
        models=models, questions=ITEMS, replies=engine, needs=method.needs(PoolInfo.of_size(len(models))), method=id
    )
    return method, engine, method.fit(ctx)


@pytest.mark.parametrize("id", [ID, "text_sparta_stackelberg"])
def test_judges_are_no_contestants_and_every_round_goes_on_with_the_last_one(id):
    _, engine, state = fitted(id)
    for asked in engine.requests:
        if asked.purpose == "judge":
            answer = asked.prompt.partition("[answer to rate]\n")[2].partition("\n[end]")[0]
            assert not answer.endswith(f"by {engine.names.get(asked.model, asked.model)}")
            assert asked.decoding.max_new_tokens == 64
    parents = [(name, parent) for _, parent, name, _, _ in engine.trained]
    assert parents == [
        *[(f"round1_{place}", model) for place, model in enumerate(MODELS)],
        *[(f"round2_{place}", f"round1_{place}") for place in range(4)],
    ]
    assert len({tuple(examples) for _, _, _, examples, _ in engine.trained[:4]}) == 1, "all learn from all"
    assert {kind for kind, *_ in engine.trained} == {"dpo"}
    assert len(state.data["ratings"]) == 2


def test_the_best_of_all_models_is_chosen_the_untrained_ones_included():
    method, _, state = fitted()
    entries = state.data["entries"]
    assert [(one["iteration"], one["member"]) for one in entries] == [
        (t, place) for t in range(3) for place in range(4)
    ]
    best = max(entries, key=lambda one: one["score"])
    assert state.data["chosen"] == {"iteration": best["iteration"], "member": best["member"]}
    assert (best["iteration"], best["member"]) == (1, 2)
    world = World(MODELS, replies=reply, items=10)
    rows = world.answer(method, state).values()
    assert all(row["text"].endswith("by c*") and row["fallback"] is None for row in rows)


def test_without_preferences_nothing_is_trained_and_an_untrained_model_may_win():
    def silent(model, prompt, sample):
        return "no verdict" if "Rate the answer" in prompt else reply(model, prompt, sample)

    method, engine, state = fitted(script=silent)
    assert engine.trained == []
    rows = World(MODELS, replies=reply, items=10).answer(method, state).values()
    assert {row["fallback"] for row in rows} == {"no duel had a preference to learn from"}
    assert len(state.data["entries"]) == 12
    assert state.models["winner"] == Recipe("linear", (fingerprint("a"),), (1.0,))
    assert [each["unread"] for each in state.data["iterations"]] == [each["duels"] for each in state.data["iterations"]]


def test_items_of_duels_do_not_choose():
    _, engine, _ = fitted()
    learnt = {example.uid for *_, examples, _ in engine.trained for example in examples}
    judged_on = {asked.uid for asked in engine.requests if asked.purpose == "judge"}
    asked = {asked.uid for asked in engine.requests if asked.purpose == "answer"}
    assert learnt <= judged_on
    assert len(judged_on) == 7
    assert asked == {item.uid for item in ITEMS}


def test_two_members_have_no_judge():
    assert make_method(ID, {}).needs(PoolInfo.of_size(2)).min_models == 3
    assert make_method("text_sparta_stackelberg", {}).needs(PoolInfo.of_size(2)).min_models == 3


# The leader


def led(params, rounds, members=3, count=4):
    leader = Leader(StackelbergParams(**params), members, count)
    for duels, time in rounds:
        leader.learn([(place, judged(*pair, {9: scores})) for place, pair, scores in duels], [100.0] * 10, time)
    return leader


def test_one_duel_moves_the_leader_as_worked_out_by_hand():
    leader = Leader(StackelbergParams(), 3, 4)
    assert leader.reward(4.0, (4.0, 7.0), 0.0) == pytest.approx(0.4013, abs=5e-5)
    assert leader.reward(7.0, (4.0, 7.0), 0.0) == pytest.approx(0.2727, abs=5e-5)
    leader = led({"leader_uniform_mix": 0.2}, [([(2, (0, 1), (4.0, 7.0))], 0.0)])
    weights = np.array([1, 1, exp(0.3370), 1])
    expected = 0.8 * weights / weights.sum() + 0.2 / 4
    assert leader.probabilities(0) == pytest.approx(expected, abs=1e-5)


def test_rewards_lie_between_zero_and_one():
    hard = Leader(StackelbergParams(preference_quality_reward_weight=0.0), 3, 4)
    assert hard.reward(2.9, (2.9, 9.0), 0.0) == 0
    assert hard.reward(3.0, (3.0, 9.0), 0.0) == 1
    assert hard.reward(10.0, (10.0, 9.0), 0.0) == 0
    apart = Leader(StackelbergParams(difficulty_reward_weight=0.0), 3, 4)
    assert apart.reward(1.0, (1.0, 1.0 + 9 * 0.6), 0.0) == pytest.approx(1)
    assert apart.reward(1.0, (1.0, 1.0 + 9 * 0.15), 1.0) == pytest.approx(1)
    both = Leader(StackelbergParams(), 3, 4)
    for one in np.linspace(1, 10, 19):
        for other in np.linspace(1, 10, 19):
            assert 0 <= both.reward(one, (one, other), 0.3) <= 1


def test_a_uniform_leader_stays_and_a_full_mix_is_uniform():
    rounds = [([(2, (0, 1), (4.0, 7.0))], 0.0)]
    assert led({"leader": "uniform"}, rounds).probabilities(0).tolist() == [0.25] * 4
    assert led({"leader_uniform_mix": 1.0}, rounds).probabilities(0).tolist() == [0.25] * 4
    assert led({"leader": "uniform"}, rounds).entropy() == pytest.approx(1)


def test_leaders_of_members_learn_from_the_duels_that_these_begin():
    leader = led({"leader": "per_model"}, [([(2, (1, 0), (4.0, 7.0))], 0.0)])
    assert leader.probabilities(0).tolist() == leader.probabilities(2).tolist() == [0.25] * 4
    assert leader.probabilities(1)[2] > 0.25


def test_a_question_that_teaches_becomes_likelier_in_every_round():
    params = {"preference_quality_reward_weight": 0.0}
    duels = [(place, (0, 1), (6.0, 6.0) if place == 1 else (10.0, 10.0)) for place in range(4)]
    chances = [led(params, [(duels, 0.0)] * rounds).probabilities(0)[1] for rounds in range(5)]
    assert all(later > earlier for earlier, later in pairwise(chances))


def test_many_duels_on_a_question_count_as_one():
    one = led({}, [([(2, (0, 1), (4.0, 7.0))], 0.0)])
    many = led({}, [([(2, (0, 1), (4.0, 7.0))] * 50, 0.0)])
    assert many.probabilities(0) == pytest.approx(one.probabilities(0))


def steps_of_ratings(*what, **settings):
    """Return the state of a fit, and the number that ratings give to each of their steps."""
    seen = []
    original = Ratings.update

    def update(self, *args):
        original(self, *args)
        seen.append(self.updates)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ratings, "update", update)
        return fitted(*what, **settings)[2], seen


def test_the_step_of_ratings_goes_on_through_all_rounds_with_a_leader():
    state, seen = steps_of_ratings("text_sparta_stackelberg")
    duels = sum(each["duels"] for each in state.data["iterations"])
    assert seen == list(range(1, duels + 1))
    assert SimpleNamespace(**state.data["iterations"][0]).leader_entropy <= 1


# Both together


def always(best):
    """Every judge finds the answers of one model, trained or not, better than all others'."""

    def script(model, prompt, _sample):
        if "Rate the answer" in prompt:
            answer = prompt.partition("[answer to rate]\n")[2].partition("\n[end]")[0]
            return f'{{"score": {9 if answer.rpartition(" ")[2].rstrip("*") == best else 3}}}'
        return f"\\box{{0}} by {model}"

    return script


@pytest.mark.parametrize("id", [ID, "text_sparta_stackelberg"])
def test_who_always_wins_rises_in_every_round_and_alone_is_preferred(id):
    _, engine, state = fitted(id, script=always("c"), num_iterations=4)
    before = [100.0] * 4
    for now in state.data["ratings"]:
        assert now[2] > before[2]
        assert all(
            other <= earlier for place, (other, earlier) in enumerate(zip(now, before, strict=True)) if place != 2
        )
        before = now
    assert len(engine.trained) == 4 * 4
    for *_, examples, _ in engine.trained:
        assert examples
        assert {example.source.partition(" over ")[0] for example in examples} == {"c"}
        assert all(" by c" in example.reply and " by c" not in example.rejected for example in examples)


def test_a_judge_counts_by_the_mean_of_those_rounds_in_which_it_could_be_read_twice():
    first, second = (7, None, 4), (2, 9, 3)  # of a's and of b's answer, by round

    def script(model, prompt, sample):
        if "Rate the answer" not in prompt:
            return f"said by {model}"
        if model == "d":
            return "no number"
        score = (first if "said by a" in prompt else second)[sample]
        return "no number" if score is None else f'{{"score": {score}}}'

    ctx = fit_context(models=MODELS, questions=ITEMS, replies=Engine(script), method=ID)
    contest = Tournament(ctx, DuelParams(judge_rounds=3))
    [found] = contest.judged([Duel(contest.instructions[0], 0, 1)])
    assert found.texts == ("said by a", "said by b")
    assert found.scores == {2: (5.5, 2.5)}


def duels_of(id, **params):
    """The duels of every round."""
    seen = []
    original = Tournament.judged

    def judging(self, duels):
        seen.append(list(duels))
        return original(self, duels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tournament, "judged", judging)
        fitted(id, **params)
    return seen


def test_of_as_many_duels_as_members_each_member_begins_one_and_questions_are_the_same_in_every_round():
    rounds = duels_of(ID, num_iterations=3)
    for duels in rounds:
        assert len(duels) == 7
        assert sorted(duel.first for duel in duels[:4]) == [0, 1, 2, 3]
        assert all(duel.first != duel.second for duel in duels)
        assert [duel.item for duel in duels] == [duel.item for duel in rounds[0]]
    assert len({tuple((duel.first, duel.second) for duel in duels) for duels in rounds}) > 1
    assert [len(duels) for duels in duels_of(ID, num_instructions=3)] == [3, 3]


def test_the_step_of_ratings_begins_anew_in_every_round_without_a_leader():
    _, seen = steps_of_ratings(num_iterations=2)
    assert seen == [*range(1, 8), *range(1, 8)]


def test_members_begin_in_turn_and_the_leader_s_chances_draw_the_questions():
    def chances(_self, active):
        return np.eye(7)[active + 1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Leader, "probabilities", chances)
        rounds = duels_of("text_sparta_stackelberg", num_duels=10)
    contest = tournament("text_sparta_stackelberg")
    for duels in rounds:
        assert [duel.first for duel in duels] == [number % 4 for number in range(10)]
        assert [duel.item for duel in duels] == [contest.instructions[number % 4 + 1] for number in range(10)]


def test_the_leader_learns_by_ratings_before_the_round_and_preferences_by_those_after_it():
    learnt, preferred, times = [], [], []
    learn, preferences = Leader.learn, Tournament.preferences

    def learning(self, judged, ratings, time):
        learnt.append(list(ratings))
        times.append(time)
        learn(self, judged, ratings, time)

    def preferring(self, judged):
        preferred.append(list(self.ratings.values))
        return preferences(self, judged)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Leader, "learn", learning)
        patch.setattr(Tournament, "preferences", preferring)
        _, _, state = fitted("text_sparta_stackelberg", num_iterations=3)
    ratings = state.data["ratings"]
    assert learnt == [[100.0] * 4, *ratings[:-1]]
    assert preferred == ratings
    assert times == [0, 0.5, 1], "schedules go from their beginning to their end"


def test_an_interrupted_fit_with_a_leader_goes_on_to_the_same_weights_ratings_and_models(tmp_path):
    weights = []
    original = Leader.learn

    def learning(self, *args):
        original(self, *args)
        weights[-1].append(self._logs.tolist())

    def run(engine):
        weights.append([])
        method = make_method("text_sparta_stackelberg", {"num_iterations": 3})
        needs = method.needs(PoolInfo.of_size(4))
        ctx = fit_context(
            models=MODELS, questions=ITEMS, replies=engine, needs=needs, method=method.id, workdir=tmp_path
        )
        return method.fit(ctx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Leader, "learn", learning)
        whole = Engine(reply)
        state = run(whole)
        for fail_at in (whole.accesses // 3, whole.accesses // 2, whole.accesses - 5):
            broken = Engine(reply, fail_at=fail_at)
            with pytest.raises(ScriptedError):
                run(broken)
            assert broken.trained, "it was interrupted after a round of training"
            resumed = Engine(reply, finished=broken.finished)
            assert run(resumed) == state
            assert weights[-1] == weights[0]
            assert resumed.trained == whole.trained
            assert not set(resumed.generated) & set(broken.generated)
    assert len({str(each) for each in weights[0]}) == 3, "the leader learns in every round"


@pytest.mark.parametrize("rounds", [1, 2])
def test_one_round_with_a_leader_is_warned_of(caplog, rounds):
    with caplog.at_level(logging.WARNING, "moco"):
        fitted("text_sparta_stackelberg", num_iterations=rounds)
    assert ("no schedule moves" in caplog.text) == (rounds == 1)
