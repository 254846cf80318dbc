"""SLM-MUX: the member whose own samples agree most answers."""

import logging
from collections.abc import Iterator, Sequence
from typing import Literal

from moco.config.fields import identity
from moco.methods.base import Answer, AnswerNeeds, FitNeeds, Method, MethodParams, Needs, PoolInfo, State, method
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.selection import dev_means, ranking
from moco.methods.shared.voting import Ballot, ballot, drawn
from moco.tasks.item import Question

log = logging.getLogger("moco")

_EQUAL = 1e-9


@method("text_slm_mux", level="text", task_types={"multiple_choice", "exact_match", "f1_match"}, papers=("2510.05077",))
class SlmMux(Method):
    """Answers with the majority answer of the member whose samples agree most with each other.

    Every member answers several times. Its confidence is the share of its samples that give its most frequent answer;
    one consistent member can overrule all others. With one sample, or greedy ones, every readable member is equally sure:
    then the rule for ties decides, and `tied` in the records says how often.

    Papers:
        2510.05077 SLM-MUX: Orchestrating Small Language Models for Reasoning

    Cost:
        `0` calls per item. `samples_per_model` plain responses of every member; dev scores where they break ties.

    Records:
        Per item the `confidences` of the members, their `answers` in normal form, the `votes` of their samples, whether
        several were `tied`, and the `member` that answers. Of a fit all members' `dev_means`.

    Deviations:
        * Confidence is a share of all samples, not of the readable ones: else one readable sample out of five is
          certainty. `share_of: readable` restores the original.
        * Answers are compared in the metric's normal form: spellings that score alike, as 42 and $42$, are one answer.
        * The answer that wins a tie among a member's samples is drawn by seed and item, so that a run can be repeated.
    """

    class Params(MethodParams):
        """Settings of SLM-MUX."""

        samples_per_model: int = identity("Samples that every member gives.", 5, ge=1)
        tie: Literal["dev", "order", "random"] = identity(
            "Who wins among equally confident members: the one best on dev, the first, or one drawn at random.", "dev"
        )
        share_of: Literal["samples", "readable"] = identity(
            "What the most frequent answer is a share of: all samples, or those in which an answer could be read.",
            "samples",
        )

    def needs(self, pool: PoolInfo) -> Needs:
        """Several plain samples per member; dev scores where they break ties."""
        fit = FitNeeds(dev_scores=True) if self.params.tie == "dev" else None
        return Needs(fit=fit, answer=AnswerNeeds(plain=self.params.samples_per_model, extracts=True))

    def fit(self, ctx: FitContext) -> State:
        """Remember how good each member is on dev."""
        return State({"dev_means": dev_means(ctx)})

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Compare the members' confidences, item by item."""
        if ctx.decoding.greedy or self.params.samples_per_model == 1:
            log.warning("members that answer once, or greedily, are all equally sure: the rule for ties decides")
        samples = range(self.params.samples_per_model)
        responses = [[ctx.plain(member.index, sample) for sample in samples] for member in ctx.pool]
        for question in ctx.questions:
            cast = [ballot(ctx, question, [one[question.uid].text for one in member]) for member in responses]
            yield self._select(ctx, state, question, cast)

    def _select(self, ctx: AnswerContext, state: State, question: Question, cast: Sequence[Ballot]) -> Answer:
        confidences = [self._confidence(one) for one in cast]
        forms = [
            drawn(ctx, one.tied, f"vote {member.index}", question.uid) if one.tied else None
            for member, one in zip(ctx.pool, cast, strict=True)
        ]
        most = max(confidences)
        tied = [index for index, confidence in enumerate(confidences) if confidence >= most - _EQUAL]
        record = {
            "confidences": confidences,
            "answers": forms,
            "votes": [one.votes for one in cast],
            "tied": len(tied) > 1,
        }
        if most == 0:
            return Answer(question.uid, "", record=record, has_extracted=True, fallback="no readable sample")
        chosen = self._break_tie(ctx, state, question, tied)
        ours, form = cast[chosen], str(forms[chosen])
        return Answer(
            question.uid,
            ours.reply(form),
            extracted=ours.spelling(form),
            has_extracted=True,
            models=(ctx.pool[chosen].model,),
            record={**record, "member": chosen},
        )

    def _confidence(self, cast: Ballot) -> float:
        whole = len(cast.parsed) if self.params.share_of == "samples" else sum(cast.votes.values())
        return max(cast.votes.values(), default=0) / whole if whole else 0.0

    def _break_tie(self, ctx: AnswerContext, state: State, question: Question, tied: Sequence[int]) -> int:
        if self.params.tie == "dev":
            return next(index for index in ranking(state.data["dev_means"]) if index in tied)
        if self.params.tie == "order":
            return tied[0]
        return tied[int(ctx.rng("member", question.uid).integers(len(tied)))] if len(tied) > 1 else tied[0]
