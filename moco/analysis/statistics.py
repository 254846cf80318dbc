"""Bootstrap intervals over items: seeded by name, independent of the order of rows.

Estimates made under the same names from the same number of items resample the same positions. Estimates of one task
are therefore resampled jointly and those of different tasks independently, and the interval of an average follows
from the averaged replicates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from moco.errors import WorkError
from moco.seeds import generator

RESAMPLES = 2_000
LEVEL = 0.95

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Interval:
    """A mean with its interval.

    Attributes:
        mean: Mean over items.
        low: Lower end.
        high: Upper end.
        n: Number of items.
        seeds: Number of run seeds that each item's score is averaged over.
        percent: Shown in percent; otherwise in the score's own unit.
    """

    mean: float
    low: float
    high: float
    n: int
    seeds: int = 1
    percent: bool = True


@dataclass(frozen=True, eq=False)
class Estimate:
    """A mean and its bootstrap replicates."""

    mean: float
    replicates: Array
    n: int
    seeds: int = 1

    def interval(self, *, percent: bool = True) -> Interval:
        """Return the percentile interval."""
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(self.replicates, [tail, 1 - tail])
        return Interval(self.mean, float(low), float(high), self.n, self.seeds, percent)


# One matrix of 1,000 items takes 16 MB, so that few are kept; callers go task by task.
@lru_cache(maxsize=2)
def _positions(n: int, names: tuple[str, ...]) -> Array:
    return generator("bootstrap", *names).integers(0, n, size=(RESAMPLES, n))


def estimate(scores: "pd.Series[float]", *names: str, seeds: int = 1) -> Estimate:
    """Return the mean of `scores` with item-bootstrap replicates.

    Args:
        scores: One score per item, indexed by uid, in any order.
        names: What the resampling is named after, usually the task.
        seeds: Number of run seeds behind each score.

    Raises:
        WorkError: There are no scores.
    """
    if scores.empty:
        raise WorkError("there are no scores to average", where=" ".join(names))
    values = scores.sort_index().to_numpy(dtype=np.float64)
    low, high = values.min(), values.max()
    # Rounding may push a mean out of the range of its values, and give equal scores an interval of some width.
    replicates = np.clip(values[_positions(len(values), names)].mean(axis=1), low, high)
    mean = float(np.clip(math.fsum(values) / len(values), low, high))
    return Estimate(mean, replicates, len(values), seeds)


def mean_interval(scores: "pd.Series[float]", *names: str, seeds: int = 1) -> Interval:
    """Return the mean of `scores` with its interval; arguments and errors as in `estimate`."""
    return estimate(scores, *names, seeds=seeds).interval()


def paired_difference(first: "pd.Series[float]", second: "pd.Series[float]", *names: str, seeds: int = 1) -> Estimate:
    """Return the mean of `first - second` over the items that both have, resampled by item.

    Args:
        first: One score per item, indexed by uid.
        second: The same for what it is compared with.
        names: What the resampling is named after, usually the task.
        seeds: Number of run seeds behind each score.

    Raises:
        WorkError: No item is in both.
    """
    return estimate((first - second).dropna(), *names, seeds=seeds)


def paired_interval(first: "pd.Series[float]", second: "pd.Series[float]", *names: str, seeds: int = 1) -> Interval:
    """Return the mean difference with its interval; arguments and errors as in `paired_difference`."""
    return paired_difference(first, second, *names, seeds=seeds).interval()


def average(estimates: Sequence[Estimate], *, n: int | None = None) -> Estimate:
    """Return the unweighted average of estimates.

    Args:
        estimates: At least one.
        n: Number of items behind the average; their sum when left out.
    """
    return Estimate(
        float(np.mean([each.mean for each in estimates])),
        np.mean([each.replicates for each in estimates], axis=0),
        sum(each.n for each in estimates) if n is None else n,
        min(each.seeds for each in estimates),
    )
