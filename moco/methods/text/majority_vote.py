"""Majority vote over the pool's plain answers."""

from collections.abc import Iterator
from typing import Literal

from moco.config.fields import identity
from moco.methods.base import Answer, AnswerNeeds, FitNeeds, Method, MethodParams, Needs, State, method
from moco.methods.context import AnswerContext, FitContext
from moco.optimize.selection import dev_means, ranking
from moco.tasks.item import Question


@method(
    "text_majority_vote",
    level="text",
    task_types={"multiple_choice", "exact_match", "f1_match"},
    paper="2203.11171 (self-consistency, over models instead of samples)",
)
class MajorityVote(Method):
    """Answers with the most frequent answer among the members' plain responses.

    Answers are compared in the metric's normal form; unreadable replies have no vote. Among equal variants of the
    winning answer the most frequent spelling is given, the earliest on ties.

    Differs from the original: unreadable replies cannot win, and 42, 42. and $42$ are one answer.
    """

    class Params(MethodParams):
        """Settings of majority vote."""

        tie: Literal["random", "dev"] = identity(
            "Who wins a tie: a tied answer drawn at random, or that of the tied voter best on dev.", "random"
        )

    def needs(self, models: int) -> Needs:
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
            parsed = [ctx.extract(question, member[question.uid].text).parsed for member in responses]
            yield self._vote(ctx, state, question, parsed)

    def _vote(self, ctx: AnswerContext, state: State, question: Question, parsed: list[str | None]) -> Answer:
        voters: dict[str, list[int]] = {}
        for index, answer in enumerate(parsed):
            if answer is not None and answer.strip():
                voters.setdefault(ctx.normal_form(question, answer), []).append(index)
        votes = {form: len(members) for form, members in voters.items()}
        if not voters:
            record = {"votes": votes, "parsed": parsed, "tied": False}
            return Answer(question.uid, "", record=record, has_extracted=True, fallback="no readable vote")
        most = max(votes.values())
        tied = [form for form, count in votes.items() if count == most]
        winner = tied[0] if len(tied) == 1 else self._break_tie(ctx, state, question, tied, voters)
        spellings = [str(parsed[index]) for index in voters[winner]]
        spelling = max(spellings, key=lambda text: (spellings.count(text), -spellings.index(text)))
        return Answer(
            question.uid,
            spelling,
            extracted=spelling,
            has_extracted=True,
            models=tuple(ctx.pool[index].model for index in voters[winner]),
            record={"votes": votes, "parsed": parsed, "tied": len(tied) > 1},
        )

    def _break_tie(
        self, ctx: AnswerContext, state: State, question: Question, tied: list[str], voters: dict[str, list[int]]
    ) -> str:
        if self.params.tie == "random":
            return sorted(tied)[int(ctx.rng("tie", question.uid).integers(len(tied)))]
        form_of = {index: form for form in tied for index in voters[form]}
        return next(form_of[index] for index in ranking(state.data["dev_means"]) if index in form_of)
