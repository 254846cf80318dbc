"""Choosing models by their plain dev responses."""

from collections.abc import Sequence
from statistics import fmean

from moco.methods.base import State
from moco.methods.context import FitContext


def dev_means(ctx: FitContext) -> list[float | None]:
    """Return each member's mean dev score, in pool order; None for a member without a single scored dev item."""
    means: list[float | None] = []
    for member in ctx.pool:
        scores = ctx.dev_scores(member.index).values()
        means.append(fmean(scores) if scores else None)
    return means


def ranking(means: Sequence[float | None]) -> list[int]:
    """Return member positions from best to worst; equal means keep pool order, members without a mean come last."""
    return sorted(range(len(means)), key=lambda index: (means[index] is None, -(means[index] or 0.0), index))


def best_on_dev(ctx: FitContext) -> State:
    """Return the position of the member that is best on dev (`member`), and all members' means (`dev_means`)."""
    means = dev_means(ctx)
    return State({"member": ranking(means)[0], "dev_means": means})


def dev_table(ctx: FitContext) -> dict[str, list[float]]:
    """Return the scores of all members on the dev items that each has a score for."""
    by_member = [ctx.dev_scores(member.index) for member in ctx.pool]
    return {
        item.uid: [scores[item.uid] for scores in by_member]
        for item in ctx.questions
        if all(item.uid in scores for scores in by_member)
    }
