"""How the logits of several models become one distribution; named, so that a joint reply has a key.

Imports no torch: methods name a combination, and it computes with what it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Combination(Protocol):
    """A way to combine logits."""

    def members(self, fingerprints: Sequence[str]) -> tuple[list[int], "Combination"]:
        """Return which of some models are read, in canonical order, and the combination of just these.

        What two orders or a repetition of the same models cannot change must lead to the same models and combination.
        """
        ...

    def key(self) -> Any:
        """Return what tells this combination from others, as JSON values."""
        ...

    def __call__(self, logits: Sequence[Any]) -> Any:
        """Return one logits tensor (rows by vocabulary) from one per model."""
        ...


@dataclass(frozen=True)
class WeightedSum:
    """Sum of the members' logits with weights.

    With weights that sum to 1 it is the renormalised geometric mean of their distributions: a constant added to one
    member's logits changes nothing, and a member that rules a token out vetoes it. Members of equal fingerprint are
    read once, with their weights added.

    Attributes:
        weights: One per member.
    """

    weights: tuple[float, ...]

    def members(self, fingerprints: Sequence[str]) -> tuple[list[int], "WeightedSum"]:
        """Return the first place of each different model, by fingerprint, and their weights; weight 0 is left out."""
        total: dict[str, float] = {}
        for fingerprint, weight in zip(fingerprints, self.weights, strict=True):
            total[fingerprint] = total.get(fingerprint, 0.0) + weight
        kept = sorted(fingerprint for fingerprint, weight in total.items() if weight)
        # Ten digits, so that the order in which equal weights were added is in no key.
        return [list(fingerprints).index(each) for each in kept], WeightedSum(
            tuple(round(total[each], 10) for each in kept)
        )

    def key(self) -> Any:
        """Return the weights."""
        return ["weighted_sum", list(self.weights)]

    def __call__(self, logits: Sequence[Any]) -> Any:
        """Return the weighted sum, over the pieces that all vocabularies have."""
        width = min(each.shape[-1] for each in logits)
        device = logits[0].device
        total = self.weights[0] * logits[0][:, :width]
        for weight, each in zip(self.weights[1:], logits[1:], strict=True):
            total = total + weight * each[:, :width].to(device)
        return total


def mean_of_logits(members: int) -> WeightedSum:
    """Return the combination in which every member counts alike."""
    return WeightedSum((1 / members,) * members)
