"""Comparing candidate models of a search on dev."""

from collections.abc import Mapping
from statistics import fmean

from moco.config.decoding import Decoding
from moco.methods.context import FitContext
from moco.tasks.item import Question


def selection_decoding(ctx: FitContext, *, greedy: bool) -> Decoding:
    """Return how candidates answer: greedily, or as the task says."""
    return ctx.decoding.model_copy(update={"temperature": 0.0}) if greedy else ctx.decoding


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
