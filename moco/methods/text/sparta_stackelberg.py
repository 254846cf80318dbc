"""Sparta with a leader: a bandit chooses the questions of duels, and is rewarded for those that teach most."""

import logging
from collections.abc import Iterator, Sequence
from math import exp
from math import log as ln
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from moco.config.fields import identity
from moco.methods.base import Answer, Method, Needs, PoolInfo, State, method
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.duels import (
    Duel,
    DuelParams,
    Generator,
    Judged,
    Tournament,
    chosen_state,
    tournament_needs,
    winner_answers,
)

log = logging.getLogger("moco")

Vector = NDArray[np.float64]
_RANGE = 9.0  # of scores, from 1 to 10


class StackelbergParams(DuelParams):
    """Settings of Sparta with a leader."""

    num_iterations: int = identity("Rounds of duels and training; with one, no schedule moves.", 3, ge=1)
    num_duels: int | None = identity("Duels of a round; as many as instructions when left out.", None, ge=1)
    leader: Literal["global", "per_model", "uniform"] = identity(
        "One leader for all, one for each member that begins a duel, or questions drawn alike.", "global"
    )
    leader_uniform_mix: float = identity("Share of the leader's draws that are uniform.", 0.2, gt=0, le=1)
    difficulty_reward_weight: float = identity("Weight of hard questions in the leader's reward.", 0.3, ge=0)
    preference_quality_reward_weight: float = identity(
        "Weight of duels whose scores differ as the schedule wants.", 0.7, ge=0
    )
    score_threshold: float = identity(
        "Score below which an answer is hopeless, so its question not hard.", 3.0, ge=1, lt=10
    )
    ideal_start_gap: float = identity(
        "Difference of scores that is wanted in the first round, as a share.", 0.6, ge=0, le=1
    )
    ideal_end_gap: float = identity("Likewise in the last round.", 0.15, ge=0, le=1)
    preference_gap_sigma: float = identity("Width of what is near the wanted difference.", 0.15, gt=0)
    opponent_selection: Literal["schedule_decreasing", "schedule_increasing", "lowest_diff", "highest_diff"] = identity(
        "Opponents of distant ratings first and near ones last, the reverse, or always the nearest or farthest ones.",
        "schedule_decreasing",
    )
    reputation_gap_sigma: float = identity("Width of what is near the wanted distance of ratings.", 0.15, gt=0)


@method("text_sparta_stackelberg", level="text", papers=("2506.04721",))
class SpartaStackelberg(Method):
    """Sparta in which a leader draws the questions of duels, and learns which of them teach most.

    The leader is a bandit over dev questions. A duel rewards it where answers are poor but not hopeless, and where the
    two scores differ as much as a schedule wants. Duels, ratings, training and the final choice are those of Sparta.

    Papers:
        2506.04721 SPARTA ALIGNMENT: Collectively Aligning Multiple Language Models through Combat

    Cost:
        `0` calls per item. One plain response of the chosen model. The fit costs what Sparta's costs, with `num_duels`
        duels in a round.

    Records:
        Nothing per item. Of the fit for all `iterations` the number of `duels`, of those in which no verdict could be
        read (`unread`) and of `preferences`, and the `leader_entropy`; the `ratings` after every round; the scores of
        all `entries`, a member after an `iteration` each, and the `chosen` one.

    Deviations:
        * All that sets Sparta apart from its original.
        * Preferences are learnt by direct optimisation alone: the original's other way draws its replies greedily, so
          all replies of a group are equal and nothing is learnt.
        * There are three rounds by default: with one, no schedule moves, and the leader's weights are never used, of
          which it warns.
        * A member answers a question once in a round, in however many duels, and judges' verdicts are drawn as the
          task says: the original's judges nearly always give their likeliest one.
        * The leader's reward is the mean over a question's duels: a sum over many duels in one round makes it collapse.
        * The leader's entropy is recorded, to see whether it has collapsed.
    """

    class Params(StackelbergParams):
        """Settings of Sparta with a leader."""

    def needs(self, pool: PoolInfo) -> Needs:
        """Plain dev responses, references to choose by, and one model made."""
        return tournament_needs()

    def fit(self, ctx: FitContext) -> State:
        """Draw, duel, judge, rate, reward the leader and train; then choose."""
        params = self.params
        if params.num_iterations == 1:
            log.warning("with one round no schedule moves, and what the leader learns is never used")
        contest = Tournament(ctx, params)
        leader = Leader(params, len(ctx.pool), len(contest.instructions))
        record = []
        for iteration in range(params.num_iterations):
            time = iteration / max(params.num_iterations - 1, 1)
            chances = [leader.probabilities(place) for place in range(len(ctx.pool))]
            drawn = self._drawn(ctx, contest, chances, time, iteration)
            judged = contest.judged([duel for duel, _ in drawn])
            before = list(contest.ratings.values)
            contest.rate(judged, iteration)
            leader.learn([(place, one) for (_, place), one in zip(drawn, judged, strict=True)], before, time)
            preferences = contest.preferences(judged)
            contest.train(preferences, iteration)
            record.append(
                {
                    "duels": len(judged),
                    "unread": sum(not one.scores for one in judged),
                    "preferences": len(preferences),
                    "leader_entropy": round(leader.entropy(), 6),
                }
            )
        return chosen_state(contest, {"iterations": record})

    def _drawn(
        self, ctx: FitContext, contest: Tournament, chances: Sequence[Vector], time: float, iteration: int
    ) -> list[tuple[Duel, int]]:
        """Return duels with the places of their questions; members begin in turn."""
        rng = ctx.rng("duels", f"iteration {iteration}")
        size, items = len(ctx.pool), contest.instructions
        found = []
        for number in range(self.params.num_duels or len(items)):
            active = number % size
            place = int(rng.choice(len(items), p=chances[active]))
            other = scheduled_opponent(rng, contest.ratings.values, active, self.params, time)
            found.append((Duel(items[place], active, other), place))
        return found

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Answer with the plain responses of the chosen model."""
        yield from winner_answers(ctx, state)


class Leader:
    """Weights of questions, of one leader or of one for each member.

    Args:
        params: Settings.
        members: How many begin duels.
        questions: How many there are to draw from.
    """

    def __init__(self, params: StackelbergParams, members: int, questions: int) -> None:
        self._params = params
        self._logs = np.zeros((members if params.leader == "per_model" else 1, questions))

    def probabilities(self, active: int) -> Vector:
        """Return the chances of the questions where a member begins."""
        logs = self._logs[active % len(self._logs)]
        weights = np.exp(logs - logs.max())
        mix = self._params.leader_uniform_mix
        chances = (1 - mix) * weights / weights.sum() + mix / len(weights)
        scaled: Vector = chances / chances.sum()  # to the last bit, as draws want it
        return scaled

    def learn(self, judged: Sequence[tuple[int, Judged]], ratings: Sequence[float], time: float) -> None:
        """Make questions likelier whose duels were worth it; chances count as they were before.

        Args:
            judged: Duels with the places of their questions.
            ratings: Of the judges, before the round's update.
            time: From 0, the first round, to 1, the last.
        """
        if self._params.leader == "uniform":
            return
        count = self._logs.shape[1]
        gained: dict[tuple[int, int], list[float]] = {}
        for place, one in judged:
            scores = one.means(ratings)
            if scores is None:
                continue
            row = one.duel.first % len(self._logs)
            rewards = [self.reward(score, scores, time) for score in scores]
            reward = rewards[0] if self._params.leader == "per_model" else sum(rewards) / 2
            chance = float(self.probabilities(one.duel.first)[place])
            gained.setdefault((row, place), []).append(reward / chance)
        before = self._logs.copy()
        for (row, place), values in gained.items():
            before[row, place] += sum(values) / len(values) / count
        self._logs = before - before.max(axis=1, keepdims=True)

    def reward(self, score: float, scores: tuple[float, float], time: float) -> float:
        """Return what an answer of a score gives the leader, from 0 to 1.

        Args:
            score: Of the answer.
            scores: Of both answers of the duel.
            time: As for `learn`.
        """
        params = self._params
        threshold = params.score_threshold
        hard = 0.0 if score < threshold else (10 - score) / (10 - threshold)
        gap = abs(scores[0] - scores[1]) / _RANGE
        wanted = params.ideal_end_gap + (params.ideal_start_gap - params.ideal_end_gap) * (1 - time)
        quality = exp(-((gap - wanted) ** 2) / (2 * params.preference_gap_sigma**2))
        weights = params.difficulty_reward_weight, params.preference_quality_reward_weight
        total = sum(weights)
        return (weights[0] * hard + weights[1] * quality) / total if total else 0.0

    def entropy(self) -> float:
        """Return the mean entropy of the chances, as a share of that of equal ones."""
        count = self._logs.shape[1]
        if count == 1:
            return 1.0
        chances = [self.probabilities(row) for row in range(len(self._logs))]
        return float(np.mean([-(p * np.log(np.maximum(p, 1e-300))).sum() for p in chances]) / ln(count))


def scheduled_opponent(
    rng: Generator, ratings: Sequence[float], active: int, params: StackelbergParams, time: float
) -> int:
    """Return an opponent: any other by chance, else by the distance of ratings that is wanted at this time."""
    others = [place for place in range(len(ratings)) if place != active]
    gaps = np.array([abs(ratings[active] - ratings[place]) for place in others])
    if rng.random() < params.random_match_prob or gaps.max() == 0:
        return int(rng.choice(others))
    if params.opponent_selection in ("lowest_diff", "highest_diff"):
        sign = 1 if params.opponent_selection == "lowest_diff" else -1
        mixed = rng.permutation(len(others)).tolist()
        ordered = sorted(mixed, key=lambda at: sign * gaps[at])
        return others[int(rng.choice(ordered[: params.num_opponents]))]
    wanted = 1 - time if params.opponent_selection == "schedule_decreasing" else time
    logs = -((gaps / gaps.max() - wanted) ** 2) / (2 * params.reputation_gap_sigma**2)
    weights = np.exp(logs - logs.max())
    return int(rng.choice(others, p=weights / weights.sum()))
