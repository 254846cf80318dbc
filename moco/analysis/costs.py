"""Attributed cost of every result: what each needs when it works alone, whether or not it was cached."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path

import numpy as np
import pandas as pd

from moco import paths
from moco.records import ALL_COSTS, COSTS, read_frame

Answered = Mapping[tuple[str, str, str, str, int], int]
"""Number of answered items by kind, pool, name, task and seed."""

_NAMES = ["kind", "pool", "name", "level", "task", "seed"]
_NUMBERS = {"flops": "float64", "parameters": "Int64"}
"""Columns in which a number may be unknown."""
_COLUMNS = list(dict.fromkeys([*_NAMES, *COSTS.columns.names]))


@dataclass(frozen=True)
class Cost:
    """What a result costs.

    Attributes:
        tokens: Tokens read and written per item, at inference.
        flops: FLOPs per item, at inference; NaN where a model's size is not known, as in all other FLOPs.
        loads: Model loads to answer the items of one task.
        learning: FLOPs on dev and in training, in total.
        shared_learning: Those of a fit that serves all tasks of the pool.
    """

    tokens: float
    flops: float
    loads: float
    learning: float = 0.0
    shared_learning: float = 0.0

    @property
    def all_learning(self) -> float:
        """FLOPs on dev and in training, in total."""
        return self.learning + self.shared_learning


def load_costs(results: Path, part: str = paths.BENCHMARK) -> pd.DataFrame:
    """Return the attributed cost of every single model and method.

    Args:
        results: The results folder.
        part: Of the study.

    Returns:
        A long frame: kind, pool, name, level, task and seed of the result, and the columns of a cost file. A single
        model has one row, `answer`.

    Raises:
        WorkError: A file is missing or damaged.
    """
    frame = read_frame(results / paths.collected(part, "costs"), ALL_COSTS)
    return frame.astype(_NUMBERS)[_COLUMNS]


def result_costs(frame: pd.DataFrame, answered: Answered) -> dict[tuple[str, str, str, str], Cost]:
    """Return the cost of every result that has answered items, as the mean over its seeds.

    Args:
        frame: From `load_costs`.
        answered: Number of answered items.
    """
    inference, learning, shared = (
        _sums(frame.loc[mask])
        for mask in (
            frame["stage"] == "answer",
            (frame["stage"] != "answer") & (frame["scope"] == "task"),
            (frame["stage"] != "answer") & (frame["scope"] == "pool"),
        )
    )
    nothing = dict.fromkeys(("tokens", "flops", "loads"), 0.0)
    costs: dict[tuple[str, str, str, str], list[Cost]] = {}
    for key, items in answered.items():
        spent = inference.get(key, nothing)
        cost = Cost(
            spent["tokens"] / items,
            spent["flops"] / items,
            spent["loads"],
            learning.get(key, nothing)["flops"],
            shared.get(key, nothing)["flops"],
        )
        costs.setdefault(key[:4], []).append(cost)
    return {key: mean_cost(every) for key, every in costs.items()}


def _sums(frame: pd.DataFrame) -> dict[tuple[str, str, str, str, int], dict[str, float]]:
    frame = frame.assign(tokens=frame["prompt_tokens"] + frame["completion_tokens"])
    sums = frame.groupby(["kind", "pool", "name", "task", "seed"], sort=False)[["tokens", "flops", "loads"]].sum(
        skipna=False
    )
    numbers = zip(sums["tokens"], sums["flops"], sums["loads"], strict=True)
    keys = sums.index.to_list()
    return {key: dict(zip(sums.columns, row, strict=True)) for key, row in zip(keys, numbers, strict=True)}


def mean_cost(costs: Sequence[Cost]) -> Cost:
    """Return the mean of every number."""
    names = ("tokens", "flops", "loads", "learning", "shared_learning")
    return Cost(**{name: fsum(getattr(cost, name) for cost in costs) / len(costs) for name in names})


def over_tasks(costs: Iterable[Cost | None]) -> Cost | None:
    """Return inference as the mean over tasks and learning as the total; None when a task has no number."""
    every = list(costs)
    found = [cost for cost in every if cost is not None]
    if not found or len(found) < len(every):
        return None
    mean = mean_cost(found)
    # A fit that serves all tasks is listed with each of them.
    shared = float(np.max([cost.shared_learning for cost in found]))  # not known where one is not
    return Cost(mean.tokens, mean.flops, mean.loads, fsum(cost.learning for cost in found), shared)
