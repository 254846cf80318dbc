"""Logit fusion: all members write one answer together, from the average of their logits."""

from collections.abc import Iterator
from math import fsum
from typing import Literal

from moco.config.fields import identity
from moco.decoding.fusion import WeightedSum, mean_of_logits
from moco.methods.base import (
    Answer,
    AnswerNeeds,
    JointRequest,
    Method,
    MethodParams,
    Needs,
    PoolInfo,
    State,
    TokenTeacher,
    method,
)
from moco.methods.context import AnswerContext
from moco.tasks.item import Question

_ROUNDING = 1e-9


@method("logit_logit_fusion", level="logit", papers=("2601.21257",))
class LogitFusion(Method):
    """Decodes every answer from the average of the members' next-token logits, or weighs options by it.

    An average of logits is the renormalised geometric mean of the members' distributions, so a member that rules a
    token out vetoes it. In mode `average` every member reads the prompt under its own chat template and all of them
    read the same growing answer. In mode `options` the members' cached log-probabilities of the options are averaged
    and the most likely option is the answer; no model runs.

    Papers:
        2601.21257 MoCo: A One-Stop Shop for Model Collaboration Research

    Cost:
        At most `members if mode == "average" else 0` calls per item: every member reads the prompt, and all write one
        reply together. In mode `options` cached log-probabilities are read.

    Records:
        In mode `options` per item the `logprobs` of the options by label. Nothing else: the reply has its own
        log-probabilities.

    Deviations:
        * Padding is masked, as in the newest release: the first one pads every prompt to the longest of the test set
          and reads the padding too, so that an answer depends on other items.
        * Every model is stepped with a cache, and logits are averaged in full precision: the original reads everything
          again at every step, and averages with three digits.
        * Temperature, nucleus and greedy decoding apply to the merged distribution: the original knows the temperature
          alone.
        * Every member reads the prompt under its own chat template: the original shows the first member's template to
          all.
        * A reply ends at any member's end of sequence, of which a model may have several.
        * Members may have weights, and mode `options` is added: without any decoding it is the same idea on multiple
          choice.
    """

    class Params(MethodParams):
        """Settings of logit fusion."""

        mode: Literal["average", "options"] = identity(
            "Decode jointly, or choose among the options of multiple choice items by cached logits.", "average"
        )
        weights: tuple[float, ...] | None = identity(
            "Weight of each member's logits, in pool order; equal weights that sum to 1 when left out.", None
        )
        options: Literal["label", "text"] = identity(
            "What stands for an option in mode options: its letter, or its whole text.", "label"
        )

    def needs(self, pool: PoolInfo) -> Needs:
        """Live models with one tokenizer; in mode options cached logits of options, and no model."""
        size = None if self.params.weights is None else len(self.params.weights)
        answer = AnswerNeeds(live=True) if self.params.mode == "average" else AnswerNeeds(logits=("options",))
        return Needs(
            answer=answer,
            min_models=size or 1,
            max_models=size,
            capabilities=frozenset({"logits"}),
            same=frozenset({"tokenizer"}) if self.params.mode == "average" else frozenset(),
        )

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Decode, or choose, for all members at once."""
        models = tuple(dict.fromkeys(member.model for member in ctx.pool))
        if self.params.mode == "options":
            yield from (self._choose(ctx, question, models) for question in ctx.questions)
            return
        requests = [JointRequest(question.uid, question.prompt, "fuse") for question in ctx.questions]
        live = ctx.live([member.index for member in ctx.pool])
        for question, reply in zip(ctx.questions, live.run(self._fusion(len(ctx.pool)), requests), strict=True):
            yield Answer(question.uid, reply.text, models=models)

    def token_teacher(self, pool: PoolInfo) -> TokenTeacher | None:
        """Return all members with their weights; options are chosen without a distribution over tokens."""
        size = len(pool)
        return TokenTeacher(tuple(range(size)), self._fusion(size)) if self.params.mode == "average" else None

    def _fusion(self, members: int) -> WeightedSum:
        return mean_of_logits(members) if self.params.weights is None else WeightedSum(self.params.weights)

    def _choose(self, ctx: AnswerContext, question: Question, models: tuple[str, ...]) -> Answer:
        weights = self._fusion(len(ctx.pool)).weights
        members = [ctx.logits(member.index, "options")[question.uid] for member in ctx.pool]
        of_members = [each.label_logprobs if self.params.options == "label" else each.text_logprobs for each in members]
        labels = members[0].labels
        totals = [
            fsum(weight * values[place] for weight, values in zip(weights, of_members, strict=True))
            for place in range(len(labels))
        ]
        # Equal members in another order may differ by a rounding; the first of equal options wins.
        best = next(place for place, total in enumerate(totals) if total >= max(totals) - _ROUNDING)
        record = {"logprobs": {label: round(total, 6) for label, total in zip(labels, totals, strict=True)}}
        return Answer(
            question.uid, labels[best], extracted=labels[best], has_extracted=True, models=models, record=record
        )
