"""Something that is expected of a study, and whether it holds."""

from dataclasses import dataclass

from moco.analysis.comparison import Comparison
from moco.analysis.statistics import Interval

NO_WORSE = -0.03
"""Gain that counts as no loss."""


@dataclass(frozen=True)
class Expectation:
    """Something that is expected.

    Attributes:
        what: As a sentence without its end.
        found: What was measured.
        limit: What it shall be at least.
        is_gain: It is a gain, of which a mean says nothing that is not separable from none.
    """

    what: str
    found: Interval
    limit: float
    is_gain: bool = False

    @property
    def verdict(self) -> str:
        """Whether it holds: with the whole interval, in the mean, or not."""
        if self.found.low > self.limit:
            return "holds with its whole interval"
        if self.is_gain:
            return "not separable" if self.found.high >= self.limit else "does not hold"
        return "holds in the mean" if self.found.mean >= self.limit else "does not hold"


def variants_of(comparison: Comparison, pool: str, task: str, method: str) -> list[str]:
    """Return the variants of a method that a pool was compared with on a task."""
    wanted = {"pool": pool, "task": task, "method": method}
    return sorted({entry["variant"] for entry in comparison.spec["methods"] if wanted.items() <= entry.items()})
