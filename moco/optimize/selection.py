"""Choosing models by their plain dev responses."""

from moco.methods.context import FitContext


def dev_means(ctx: FitContext) -> list[float]:
    """Return each member's mean dev score, in pool order.

    A member without a single scored dev item counts as minus infinity.
    """
    means = []
    for member in ctx.pool:
        scores = list(ctx.dev_scores(member.index).values())
        means.append(sum(scores) / len(scores) if scores else float("-inf"))
    return means


def ranking(means: list[float]) -> list[int]:
    """Return member positions from best to worst; equal means keep pool order."""
    return sorted(range(len(means)), key=lambda index: (-means[index], index))
