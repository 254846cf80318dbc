"""Scoring candidate models of a search on dev."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from moco.digest import digest
from moco.methods.base import Request
from moco.methods.context import FitContext
from moco.models.recipes import Recipe
from moco.tasks.item import Question


def candidate_scores(
    ctx: FitContext,
    candidate: Recipe | int,
    *,
    greedy: bool,
    questions: Sequence[Question] | None = None,
    purpose: str = "candidate",
) -> dict[str, float]:
    """Return a candidate's scores by item; broken items are left out. An interrupted fit remembers them.

    Args:
        ctx: Of the fit.
        candidate: A recipe, whose model is made and deleted again, or a member of the pool.
        greedy: Decode greedily instead of as the task says.
        questions: Items to score on; all when left out.
        purpose: What its requests are for.
    """
    asked = ctx.questions if questions is None else questions
    decoding = ctx.decoding.model_copy(update={"temperature": 0.0}) if greedy else ctx.decoding

    def scores() -> dict[str, float]:
        name = ctx.merge(candidate) if isinstance(candidate, Recipe) else candidate
        requests = [Request(name, item.uid, item.prompt, purpose, decoding=decoding) for item in asked]
        try:
            replies = ctx.generate(requests)
        finally:
            if isinstance(name, str):
                ctx.discard(name)
        return ctx.score({item.uid: reply.text for item, reply in zip(asked, replies, strict=True)})

    about = candidate.as_json() if isinstance(candidate, Recipe) else candidate
    name = digest(about, purpose, decoding.model_dump(), [item.uid for item in asked])
    return ctx.remembered(f"candidate-{name[:32]}", scores)


def mean_score(scores: Mapping[str, float]) -> float:
    """Return the mean of scores by item, 0 where there are none."""
    return fmean(scores.values()) if scores else 0.0


def dev_halves(ctx: FitContext) -> tuple[list[Question], list[Question]]:
    """Return a half of the questions to search on and one to choose on, drawn at random, each in order.

    The first is the larger one; a single question is searched on.
    """
    order = ctx.rng("held-out half", "dev").permutation(len(ctx.questions)).tolist()
    half = (len(order) + 1) // 2
    searched, held_out = sorted(order[:half]), sorted(order[half:])
    return [ctx.questions[place] for place in searched], [ctx.questions[place] for place in held_out]
