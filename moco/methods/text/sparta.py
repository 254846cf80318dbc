"""Sparta alignment: members duel, judge each other, and learn from the outcomes."""

from collections.abc import Iterator

from moco.config.fields import identity
from moco.methods.base import Answer, Method, Needs, PoolInfo, State, method
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.duels import (
    Duel,
    DuelParams,
    Tournament,
    chosen_state,
    opponent,
    tournament_needs,
    winner_answers,
)


@method("text_sparta", level="text", papers=("2506.04721",))
class Sparta(Method):
    """Answers with the best of all models that learnt, round after round, from duels judged by their peers.

    Two members answer a dev question, all others score both answers, ratings weigh the judges, and every member learns
    from all outcomes by direct preference optimisation. Among all members of all rounds, the untrained ones included, the
    best on held-out dev items answers.

    Papers:
        2506.04721 SPARTA ALIGNMENT: Collectively Aligning Multiple Language Models through Combat

    Cost:
        `0` calls per item. One plain response of the chosen model. The fit reads plain dev responses; every round makes
        2 replies per instruction and on each of them `judge_rounds` short verdicts of every other member, and trains
        every member; in the end all models answer the held-out dev items.

    Records:
        Nothing per item. Of the fit for all `iterations` the number of `duels`, of those in which no verdict could be
        read (`unread`) and of `preferences`; the `ratings` after every round; the scores of all `entries`, a member
        after an `iteration` each, and the `chosen` one.

    Deviations:
        * Every round goes on with the adapters of the last one, and each of them is a candidate in the end, untrained
          members too: the original stacks adapters, loses the earlier ones, and looks for them where they are not.
        * Opponents are near by their own ratings in every round: the original does not find its ratings again after the
          first.
        * Both ratings of a duel move from where they were: the original lets the second one see the first one's move.
        * A verdict that cannot be read is no verdict: the original takes it for a tie of middling scores.
        * The items that choose the best model are not those of the duels, on which it was trained.
        * Prompts have the chat format of inference, and the learning rate suits adapters: the original's leaves them as
          they were.
    """

    class Params(DuelParams):
        """Settings of Sparta."""

        num_iterations: int = identity("Rounds of duels and training.", 3, ge=1)

    def needs(self, pool: PoolInfo) -> Needs:
        """Plain dev responses, references to choose by, and one model made."""
        return tournament_needs()

    def fit(self, ctx: FitContext) -> State:
        """Duel, judge, rate and train; then choose."""
        contest = Tournament(ctx, self.params)
        record = []
        for iteration in range(self.params.num_iterations):
            contest.ratings.updates = 0  # the step of ratings begins anew
            judged = contest.judged(self._duels(ctx, contest, iteration))
            contest.rate(judged, iteration)
            preferences = contest.preferences(judged)
            contest.train(preferences, iteration)
            unread = sum(not one.scores for one in judged)
            record.append({"duels": len(judged), "unread": unread, "preferences": len(preferences)})
        return chosen_state(contest, {"iterations": record})

    def _duels(self, ctx: FitContext, contest: Tournament, iteration: int) -> list[Duel]:
        """Return one duel per instruction; of as many as there are members, each begins one."""
        rng = ctx.rng("duels", f"iteration {iteration}")
        size, items = len(ctx.pool), contest.instructions
        duels = []
        for start in range(0, len(items), size):
            part = items[start : start + size]
            firsts = rng.permutation(size).tolist()
            if len(part) < size:
                firsts = rng.integers(size, size=len(part)).tolist()
            duels += [
                Duel(item, first, opponent(rng, contest.ratings.values, first, self.params))
                for item, first in zip(part, firsts, strict=True)
            ]
        return duels

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Answer with the plain responses of the chosen model."""
        yield from winner_answers(ctx, state)
