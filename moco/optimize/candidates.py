"""Scoring candidate models of a search on dev."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from moco.methods.base import Recipe, Request
from moco.methods.context import FitContext
from moco.tasks.item import Question


def candidate_scores(
    ctx: FitContext, candidate: Recipe | int, *, greedy: bool, questions: Sequence[Question] | None = None
) -> dict[str, float]:
    """Return a candidate's scores by item; broken items are left out.

    Args:
        ctx: Of the fit.
        candidate: A recipe, whose model is made and deleted again, or a member of the pool.
        greedy: Decode greedily instead of as the task says.
        questions: Items to score on; all when left out.
    """
    asked = ctx.questions if questions is None else questions
    decoding = ctx.decoding.model_copy(update={"temperature": 0.0}) if greedy else ctx.decoding
    name = ctx.merge(candidate) if isinstance(candidate, Recipe) else candidate
    requests = [Request(name, item.uid, item.prompt, "candidate", decoding=decoding) for item in asked]
    try:
        replies = ctx.generate(requests)
    finally:
        if isinstance(name, str):
            ctx.discard(name)
    return ctx.score({item.uid: reply.text for item, reply in zip(asked, replies, strict=True)})


def mean_score(scores: Mapping[str, float]) -> float:
    """Return the mean of scores by item, 0 where there are none."""
    return fmean(scores.values()) if scores else 0.0
