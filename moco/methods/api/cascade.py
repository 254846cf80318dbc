"""Cascade: cheap models answer what they are sure of, and pass the rest on."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from moco.config.fields import identity
from moco.methods.base import (
    Answer,
    AnswerNeeds,
    FitNeeds,
    Method,
    MethodParams,
    Needs,
    PoolInfo,
    Request,
    State,
    method,
)
from moco.methods.context import AnswerContext, FitContext
from moco.methods.logits import ResponseLogits
from moco.methods.shared.confidence import likelihood, quantile, quantile_probability, top_share
from moco.prompts import blocks

ASK = blocks.instruction(
    "Answer as well as you can. If you doubt your answer, write one more line after it that says: I am unconfident."
)

_ECHO = re.compile(r"\s+".join(map(re.escape, ASK.split())), re.I)

_REMARK = re.compile(
    r"\b(?P<no>not|isn't|never)?\s*(?:very\s+|really\s+|fully\s+|at\s+all\s+|so\s+)?(?P<doubt>un)?confident\b", re.I
)


@method("api_cascade", level="api", papers=("2305.05176", "2404.10136"))
class Cascade(Method):
    """Answers with the first member, in pool order, that is sure enough; the last one answers whatever remains.

    The pool is ordered from cheap to strong, and the order is trusted. In mode `logit` a member is sure when the
    confidence of its plain response reaches a threshold, a quantile of its own dev confidences; no member generates
    anything of its own. In mode `just_ask` all but the last are asked to say so when they doubt their answer.

    Papers:
        2305.05176 FrugalGPT: How to Use Large Language Models While Reducing Cost and Improving Performance
        2404.10136 Language Model Cascades: Token-level uncertainty and beyond

    Cost:
        At most `members - 1 if mode == "just_ask" else 0` calls per item. In mode `logit` an item costs the plain
        responses of the members that it reaches: 1, and 1 more for every member that passes it on. The fit reads a
        plain dev response of every member but the last.

    Records:
        Per item the `level`, the position of the member that answers; in mode `logit` the `confidences` of the members
        that it reached, and the `thresholds`. Of the fit the `thresholds`.

    Deviations:
        * Confidence is taken from raw logits of the response up to its end: after the nucleus is cut a token is often
          the only one, so sure by definition, and what follows the end depends on what shares the batch.
        * Every member has a threshold from its own dev confidences, as in the newest release: the first release gives
          all of them the first member's, which says nothing about others.
        * `percentage` is the share that is passed on. The original calls it the share that is kept, which it is only at
          0.5.
        * A threshold of zero is one: the original takes it for a missing one and passes everything on.
        * The remark of an unconfident member is read with its negations, and is not scored: the bare word also stands
          in "not unconfident", and a remark can be in the way of what reads the answer.
    """

    class Params(MethodParams):
        """Settings of the cascade."""

        mode: Literal["logit", "just_ask"] = identity(
            "How a member is found to be sure: by logits, or by asking.", "logit"
        )
        percentage: float = identity("Share of dev items that every member passes on.", 0.5, ge=0, le=1)
        statistic: Literal["top5", "likelihood", "quantile"] = identity(
            "Confidence of a response: the most likely token's share of the top five, the mean log-probability of its"
            " tokens, or a quantile of their probabilities.",
            "top5",
        )
        quantile: float = identity(
            "Which quantile of the tokens' probabilities, for statistic quantile.", 0.1, ge=0, le=1
        )
        only_deferred: bool = identity(
            "Take a member's threshold from the dev items that reach it, not from all of them.", False
        )

    def needs(self, pool: PoolInfo) -> Needs:
        """Plain responses with their logits; in mode just_ask requests of its own instead."""
        if self.params.mode == "just_ask":
            return Needs(answer=AnswerNeeds(plain=1, plain_mode="lazy", generates=True), min_models=2)
        return Needs(
            fit=FitNeeds(plain=1, logits=("response",)),
            answer=AnswerNeeds(plain=1, plain_mode="lazy", logits=("response",)),
            min_models=2,
            capabilities=frozenset({"top_logits"}),
        )

    def confidence(self, logits: ResponseLogits) -> float:
        """Return how sure a member was of a response."""
        if self.params.statistic == "top5":
            return top_share(logits)
        if self.params.statistic == "likelihood":
            return likelihood(logits)
        return quantile_probability(logits, self.params.quantile)

    def fit(self, ctx: FitContext) -> State:
        """Set the threshold of every member but the last."""
        thresholds: list[float] = []
        reached = [question.uid for question in ctx.questions]
        for member in ctx.pool[:-1]:
            logits = ctx.logits(member.index, "response")
            confidences = {question.uid: self.confidence(logits[question.uid]) for question in ctx.questions}
            # Where nothing reaches a member on dev, all its dev responses are the only evidence.
            evidence = [confidences[uid] for uid in reached] or list(confidences.values())
            thresholds.append(quantile(evidence, self.params.percentage) if evidence else 0.0)
            if self.params.only_deferred:
                reached = [uid for uid in reached if confidences[uid] < thresholds[-1]]
        return State({"thresholds": thresholds})

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Go up the pool, item by item."""
        if self.params.mode == "just_ask":
            yield from self._ask(ctx)
            return
        thresholds: Sequence[float] = state.data["thresholds"]
        confidences: dict[str, list[float]] = {question.uid: [] for question in ctx.questions}
        answers: dict[str, Answer] = {}
        waiting = list(confidences)
        for level, member in enumerate(ctx.pool):
            if level < len(thresholds):
                logits = ctx.logits(member.index, "response", items=waiting)
                for uid in waiting:
                    confidences[uid].append(self.confidence(logits[uid]))
            kept = [uid for uid in waiting if level == len(thresholds) or confidences[uid][-1] >= thresholds[level]]
            responses = ctx.plain(member.index, items=kept)
            for uid in kept:
                record = {"level": level, "confidences": confidences[uid], "thresholds": list(thresholds)}
                answers[uid] = Answer(uid, responses[uid].text, models=(member.model,), record=record)
            waiting = [uid for uid in waiting if uid not in answers]
        yield from (answers[question.uid] for question in ctx.questions)

    def _ask(self, ctx: AnswerContext) -> Iterator[Answer]:
        waiting = list(ctx.questions)
        for level, member in enumerate(ctx.pool):
            if level == len(ctx.pool) - 1:
                plain = ctx.plain(member.index, items=[question.uid for question in waiting])
                for question in waiting:
                    yield self._asked(question.uid, plain[question.uid].text, member.model, level)
                return
            requests = [
                Request(member.index, question.uid, blocks.compose(question.prompt, ASK), "ask") for question in waiting
            ]
            passed_on = []
            for question, reply in zip(waiting, ctx.generate(requests) if requests else [], strict=True):
                doubt, text = read_remark(reply.text)
                if doubt:
                    passed_on.append(question)
                else:
                    yield self._asked(question.uid, text, member.model, level)
            waiting = passed_on

    @staticmethod
    def _asked(uid: str, text: str, model: str, level: int) -> Answer:
        record: dict[str, Any] = {"level": level}
        return Answer(uid, text, models=(model,), record=record)


def read_remark(reply: str) -> tuple[bool, str]:
    """Return whether a reply says that its author doubts it, and the reply without the lines that speak of that.

    The last remark counts. "Not confident" is doubt, "not unconfident" is none. The instruction is no remark.
    """
    reply = _ECHO.sub("", reply)
    remarks = list(_REMARK.finditer(reply))
    if not remarks:
        return False, reply
    doubt = bool(remarks[-1]["no"]) != bool(remarks[-1]["doubt"])
    kept = [line for line in reply.splitlines() if not _REMARK.search(line)]
    # A remark in the line of the answer stays, since the answer would go with it.
    text = "\n".join(kept).strip()
    return doubt, text or reply
