"""Nudging: a small aligned model writes the words at which a base model is unsure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import fsum, inf
from typing import TYPE_CHECKING, Any

from moco.config.fields import identity
from moco.engines.responses import Response
from moco.errors import RequestError
from moco.methods.base import (
    Answer,
    AnswerNeeds,
    FitNeeds,
    JointRequest,
    Method,
    MethodParams,
    Needs,
    PoolInfo,
    State,
    method,
)
from moco.methods.context import AnswerContext, FitContext

if TYPE_CHECKING:
    from moco.decoding.in_turn import InTurn, Proposal, Reply
    from moco.decoding.loop import Row
    from moco.decoding.session import Session

BASE, NUDGER = 0, 1


@dataclass(frozen=True)
class Nudging:
    """Lets the nudger write where the base is unsure, a word at least, and each model run only where it is asked.

    Attributes:
        gamma: The base is unsure where its most likely token has a lower probability.
        retokenise: Models read the whole reply as their tokenizers cut it, not the pieces that were written.
    """

    gamma: float
    retokenise: bool
    one_vocabulary = False

    def key(self) -> Any:
        """Return the threshold and what models read."""
        return ["nudging", self.gamma, self.retokenise]

    def members(self, fingerprints: Sequence[str]) -> tuple[list[int], "Nudging"]:
        """Return base and nudger, whose order matters."""
        return list(range(len(fingerprints))), self

    def run(self, session: "Session", rows: Sequence["Row"]) -> Iterator["Row"]:
        """Write a piece of every row per step."""
        batch = session.in_turn(rows, retokenise=self.retokenise)
        while batch.alive:
            for reply, proposal in self._next(batch):
                batch.append(reply, proposal)
            yield from batch.finished()

    def _next(self, batch: "InTurn") -> list[tuple["Reply", "Proposal"]]:
        """Return the next piece of every reply."""
        nudged = [reply for reply in batch.alive if reply.author != BASE]
        nudges = dict(zip(nudged, batch.propose(NUDGER, nudged), strict=True))
        asked = [reply for reply in batch.alive if reply not in nudges or not self._goes_on(reply, nudges[reply])]
        bases = dict(zip(asked, batch.propose(BASE, asked), strict=True))
        sure = {reply: base for reply, base in bases.items() if base.top >= self.gamma or reply.holding}
        taken = [reply for reply in asked if reply not in sure and reply not in nudges]
        nudges.update(zip(taken, batch.propose(NUDGER, taken), strict=True))
        return [(reply, sure.get(reply) or nudges[reply]) for reply in batch.alive]

    @staticmethod
    def _goes_on(reply: "Reply", nudge: "Proposal") -> bool:
        """Return whether the nudger writes this piece whatever the base thinks: it begins, or is within a word."""
        return reply.author is None or reply.holding or not any(map(str.isspace, nudge.text))


@method("api_nudging", level="api", papers=("2410.09300",))
class NudgingMethod(Method):
    """Lets a base model answer, and a nudging model write the words at which the base is unsure.

    The nudger writes the first word. Then the base goes on as long as the probability of its most likely token is at
    least `gamma`; where it is lower, the nudger takes over until it would begin a new word and the base is sure again.
    Both read the prompt under their own chat template, and each other's words as text, so their tokenizers may differ.

    Papers:
        2410.09300 Nudging: Inference-time Alignment of LLMs via Guided Decoding

    Cost:
        `2` calls per item: base and nudger read the prompt and write one reply together. A search writes all of dev
        once for every pair of gamma and nudger.

    Records:
        Per item `gamma`, the `nudger`, the `shares` of the reply that each model wrote, and the number of `hand_overs`.
        Of the fit the chosen `gamma` and `nudger`, and the scores of all pairs that were `tried`.

    Deviations:
        * Any white space ends a word, and no model takes over within a character: the original knows the blank alone,
          so a word goes on over line ends, and it writes characters that several tokens make as rubble.
        * A reply ends at any of a model's ends of sequence, and has no special tokens: an end that is not the
          tokenizer's own is written out as text by the original.
        * A model runs only where its token is needed: it costs less and changes nothing.
        * The task's decoding settings apply, the nucleus and greedy decoding included, as for all methods.
        * A search compares all pairs of its grid even where no score is above zero: the original then keeps the last
          one.
        * Variant `use_kv_cache` differs in what models read, not only in speed, as in the original: a model reads its
          own tokens as it wrote them, and what the other wrote cut into tokens where turns change.
    """

    class Params(MethodParams):
        """Settings of nudging."""

        gamma: float = identity("The nudger writes where the base's largest token probability is below this.", 0.4)
        base_model_id: int = identity("Position of the base in the pool.", 0, ge=0)
        nudging_model_id: int = identity("Position of the nudger in the pool.", 1, ge=0)
        search_gamma: bool = identity("Choose gamma on dev, among `gammas`.", False)
        gammas: tuple[float, ...] = identity("Values of gamma that a search compares.", (0.2, 0.3, 0.4, 0.5))
        search_nudging: bool = identity("Choose the nudger on dev, among all members but the base.", False)
        use_kv_cache: bool = identity(
            "Models read tokens as they were written; else the whole reply as their tokenizers cut it.", False
        )

    def needs(self, pool: PoolInfo) -> Needs:
        """Live models; references of dev where something is searched.

        Raises:
            RequestError: Base and nudger are the same position, or a search has no values.
        """
        params = self.params
        if not params.search_nudging and params.base_model_id == params.nudging_model_id:
            raise RequestError("base and nudger are the same member", remedy="set another nudging_model_id")
        if params.search_gamma and not params.gammas:
            raise RequestError("the search has no values of gamma", remedy="set gammas")
        searches = params.search_gamma or params.search_nudging
        last = params.base_model_id if params.search_nudging else max(params.base_model_id, params.nudging_model_id)
        return Needs(
            fit=FitNeeds(live=True, references=True) if searches else None,
            answer=AnswerNeeds(live=True),
            min_models=max(2, last + 1),
            capabilities=frozenset({"logits"}),
        )

    def fit(self, ctx: FitContext) -> State:
        """Write all of dev with every pair of gamma and nudger, and keep the first of the best pairs."""
        params = self.params
        gammas = params.gammas if params.search_gamma else (params.gamma,)
        others = [member.index for member in ctx.pool if member.index != params.base_model_id]
        nudgers = others if params.search_nudging else [params.nudging_model_id]
        tried = [
            {"gamma": gamma, "nudger": nudger, "score": self._dev_score(ctx, gamma, nudger)}
            for gamma, nudger in product(gammas, nudgers)
        ]
        best = max(tried, key=lambda pair: -inf if pair["score"] is None else pair["score"])
        return State({"gamma": best["gamma"], "nudger": best["nudger"], "tried": tried})

    def _dev_score(self, ctx: FitContext, gamma: float, nudger: int) -> float | None:
        replies = self._write(ctx, gamma, nudger, "search")
        uids = [question.uid for question in ctx.questions]
        scored = ctx.score([(uid, reply.text) for uid, reply in zip(uids, replies, strict=True)])
        scores = [score for score in scored if score is not None]
        return fsum(scores) / len(scores) if scores else None

    def _write(self, ctx: AnswerContext | FitContext, gamma: float, nudger: int, purpose: str) -> list[Response]:
        requests = [JointRequest(question.uid, question.prompt, purpose) for question in ctx.questions]
        live = ctx.live([self.params.base_model_id, nudger])
        return live.run(Nudging(gamma, retokenise=not self.params.use_kv_cache), requests)

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Write all answers, with what the fit chose."""
        gamma = state.data.get("gamma", self.params.gamma)
        nudger = state.data.get("nudger", self.params.nudging_model_id)
        base_model, nudging_model = (ctx.pool[place].model for place in (self.params.base_model_id, nudger))
        for question, reply in zip(ctx.questions, self._write(ctx, gamma, nudger, "nudge"), strict=True):
            authors = [segment.model for segment in reply.segments]
            record = {
                "gamma": gamma,
                "nudger": nudging_model,
                "shares": {
                    model: round(authors.count(model) / max(1, len(authors)), 6)
                    for model in (base_model, nudging_model)
                },
                "hand_overs": sum(one != other for one, other in pairwise(authors)),
            }
            models = tuple(dict.fromkeys((base_model, nudging_model)))
            yield Answer(question.uid, reply.text, models=models, record=record)
