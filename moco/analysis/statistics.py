"""Bootstrap intervals over items: seeded by name, independent of the order of rows.

Estimates made under the same names from the same number of items resample the same positions. Estimates of one task
are therefore resampled jointly and those of different tasks independently, and the interval of an average follows
from the averaged replicates.

Resampling scores that are all 0 or all 1 shows no variation, which says nothing of the items that were not drawn. Such
means have Wilson's score interval, and such differences Tango's, which is the same idea for pairs (Statistics in
Medicine 17, 1998); in an average they vary as the bounds of these intervals do over all levels of confidence.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from moco.errors import WorkError
from moco.seeds import generator

RESAMPLES = 2_000
LEVEL = 0.95

_NORMAL = NormalDist()
_Z = _NORMAL.inv_cdf(0.5 + LEVEL / 2)

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
    """A mean and its bootstrap replicates.

    Attributes:
        mean: Mean over items.
        replicates: Of the mean.
        n: Number of items.
        seeds: Number of run seeds that each item's score is averaged over.
        ends: The interval, where it is a score interval.
    """

    mean: float
    replicates: Array
    n: int
    seeds: int = 1
    ends: tuple[float, float] | None = None

    def interval(self, *, percent: bool = True) -> Interval:
        """Return the percentile interval, or the score interval of scores without variation."""
        tail = (1 - LEVEL) / 2
        low, high = self.ends or np.quantile(self.replicates, [tail, 1 - tail])
        # Replicates of many means without variation may all lie at one side of their average.
        low, high = min(float(low), self.mean), max(float(high), self.mean)
        return Interval(self.mean, low, high, self.n, self.seeds, percent)


# One matrix of 1,000 items takes 16 MB, so that few are kept; callers go task by task.
@lru_cache(maxsize=2)
def _positions(n: int, names: tuple[str, ...]) -> Array:
    return generator("bootstrap", *names).integers(0, n, size=(RESAMPLES, n))


def estimate(scores: "pd.Series[float]", *names: str, seeds: int = 1, accuracy: bool = True) -> Estimate:
    """Return the mean of `scores` with item-bootstrap replicates.

    Args:
        scores: One score per item, indexed by uid, in any order.
        names: What the resampling is named after, usually the task.
        seeds: Number of run seeds behind each score.
        accuracy: Scores lie between 0 and 1, so that Wilson's interval is right where all are 0 or all are 1.

    Raises:
        WorkError: There are no scores.
    """
    found = _resampled(scores, names, seeds)
    return _wilson(found, names) if accuracy and _constant(scores) in (0.0, 1.0) else found


def paired_difference(
    first: "pd.Series[float]", second: "pd.Series[float]", *names: str, seeds: int = 1, accuracy: bool = True
) -> Estimate:
    """Return the mean of `first - second` over the items that both have, resampled by item.

    Args:
        first: One score per item, indexed by uid.
        second: The same for what it is compared with.
        names: What the resampling is named after, usually the task.
        seeds: Number of run seeds behind each score.
        accuracy: Scores lie between 0 and 1, so that Tango's interval is right where all differences are 0, 1 or -1.

    Raises:
        WorkError: No item is in both.
    """
    differences = (first - second).dropna()
    found = _resampled(differences, names, seeds)
    return _tango(found, names) if accuracy and _constant(differences) in (-1.0, 0.0, 1.0) else found


def _resampled(scores: "pd.Series[float]", names: tuple[str, ...], seeds: int) -> Estimate:
    if scores.empty:
        raise WorkError("there are no scores to average", where=" ".join(names))
    values = scores.sort_index().to_numpy(dtype=np.float64)
    low, high = values.min(), values.max()
    # Rounding may push a mean out of the range of its values, and give equal scores an interval of some width.
    replicates = np.clip(values[_positions(len(values), names)].mean(axis=1), low, high)
    mean = float(np.clip(math.fsum(values) / len(values), low, high))
    return Estimate(mean, replicates, len(values), seeds)


def _constant(scores: "pd.Series[float]") -> float | None:
    """Return what all scores are, if they are equal; the mean over seeds of equal scores may be rounded."""
    low, high = float(scores.min()), float(scores.max())
    return round(low, 9) if high - low < 1e-9 else None


def _deviates(names: tuple[str, ...]) -> Array:
    """Return the quantiles of a normal distribution in the order that belongs to `names`."""
    quantiles = [_NORMAL.inv_cdf((number + 0.5) / RESAMPLES) for number in range(RESAMPLES)]
    return generator("no variation", *names).permutation(np.array(quantiles))


def _wilson(found: Estimate, names: tuple[str, ...]) -> Estimate:
    """Return the estimate of a share that is 0 or 1: at z deviations, its far bound is z^2 / (n + z^2) away."""
    side = 1 if found.mean < 0.5 else -1

    def bound(z: Any) -> Any:
        return found.mean + side * np.maximum(z, 0) ** 2 / (found.n + z**2)

    return _with_bounds(found, bound, names)


def _tango(found: Estimate, names: tuple[str, ...]) -> Estimate:
    """Return the estimate of a difference that is -1, 0 or 1 for every pair.

    The bound for equal pairs is z^2 / (n + z^2) away at both sides; that of pairs which all differ twice as far at one.
    """

    def bound(z: Any) -> Any:
        if round(found.mean):
            return found.mean * (1 - 2 * np.maximum(z, 0) ** 2 / (found.n + z**2))
        return np.sign(z) * z**2 / (found.n + z**2)

    return _with_bounds(found, bound, names)


def _with_bounds(found: Estimate, bound: Callable[[Any], Any], names: tuple[str, ...]) -> Estimate:
    """Return an estimate with the bounds at both ends of the level, and replicates from those of all levels."""
    low, high = sorted(float(bound(z)) for z in (-_Z, _Z))
    return replace(found, replicates=bound(_deviates(names)), ends=(low, high))


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
