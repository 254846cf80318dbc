"""Majority vote over the pool's plain answers."""

from collections.abc import Iterator
from typing import Literal

from moco.config.fields import identity
from moco.methods.base import Answer, AnswerNeeds, FitNeeds, Method, MethodParams, Needs, PoolInfo, State, method
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.selection import dev_means, ranking
from moco.methods.shared.voting import Ballot, ballot, drawn
from moco.tasks.item import Question


@method(
    "text_majority_vote",
    level="text",
    task_types={"multiple_choice", "exact_match", "f1_match"},
    papers=("2203.11171",),
)
class MajorityVote(Method):
    """Answers with the most frequent answer among the members' plain responses.

    Answers are compared in the metric's normal form; unreadable replies have no vote. Among equal variants of the
    winning answer the most frequent spelling is given, the earliest on ties, with the first reply that has it.

    Papers:
        2203.11171 Self-Consistency Improves Chain of Thought Reasoning in Language Models

    Cost:
        `0` calls per item. One plain response of every member; dev scores where they break ties.

    Records:
        Per item the `votes` by normal form, the `parsed` answers in pool order, and whether it was `tied`. Of a fit all
        members' `dev_means`.

    Deviations:
        * Unreadable replies have no vote: as an answer they could win, and would be wrong for certain.
        * Answers are compared in the metric's normal form: spellings that score alike, as 42 and $42$, are one answer.
        * The answer that wins a tie is drawn by seed and item, so that a run can be repeated.
    """

    class Params(MethodParams):
        """Settings of majority vote."""

        tie: Literal["random", "dev"] = identity(
            "Who wins a tie: a tied answer drawn at random, or that of the tied voter best on dev.", "random"
        )

    def needs(self, pool: PoolInfo) -> Needs:
        """Plain responses; dev scores only where they break ties."""
        fit = FitNeeds(dev_scores=True) if self.params.tie == "dev" else None
        return Needs(fit=fit, answer=AnswerNeeds(plain=1, extracts=True))

    def fit(self, ctx: FitContext) -> State:
        """Remember how good each member is on dev."""
        return State({"dev_means": dev_means(ctx)})

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Count votes, item by item."""
        responses = [ctx.plain(member.index) for member in ctx.pool]
        for question in ctx.questions:
            yield self._vote(ctx, state, question, ballot(ctx, question, [one[question.uid].text for one in responses]))

    def _vote(self, ctx: AnswerContext, state: State, question: Question, cast: Ballot) -> Answer:
        record = {"votes": cast.votes, "parsed": list(cast.parsed), "tied": len(cast.tied) > 1}
        if not cast.tied:
            return Answer(question.uid, "", record=record, has_extracted=True, fallback="no readable vote")
        winner = self._winner(ctx, state, question, cast)
        return Answer(
            question.uid,
            cast.reply(winner),
            extracted=cast.spelling(winner),
            has_extracted=True,
            models=tuple(ctx.pool[index].model for index in cast.voters[winner]),
            record=record,
        )

    def _winner(self, ctx: AnswerContext, state: State, question: Question, cast: Ballot) -> str:
        if self.params.tie == "random":
            return drawn(ctx, cast.tied, "tie", question.uid)
        form_of = {index: form for form in cast.tied for index in cast.voters[form]}
        return next(form_of[index] for index in ranking(state.data["dev_means"]) if index in form_of)
