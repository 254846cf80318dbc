"""Fusion: several models of one vocabulary write every token together, drawn from their combined logits.

Imports no torch: it computes with what it is given.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moco.decoding.loop import Row
    from moco.decoding.session import Session


@dataclass(frozen=True)
class WeightedSum:
    """Writes from the sum of the members' logits with weights.

    With weights that sum to 1 it is the renormalised geometric mean of their distributions: a constant added to one
    member's logits changes nothing, and a member that rules a token out vetoes it. Members of equal fingerprint are
    read once, with their weights added.

    Attributes:
        weights: One per member.
    """

    weights: tuple[float, ...]
    one_vocabulary = True

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

    def run(self, session: "Session", rows: Sequence["Row"]) -> Iterator["Row"]:
        """Write a token of every row per step."""
        batch = session.in_step(rows)
        while batch.alive:
            yield from batch.write(self.combine(batch.logits()))

    def combine(self, logits: Sequence[Any]) -> Any:
        """Return the weighted sum of logits tensors (rows by vocabulary), over the pieces that all vocabularies have."""
        width = min(each.shape[-1] for each in logits)
        device = logits[0].device
        total = self.weights[0] * logits[0][:, :width]
        for weight, each in zip(self.weights[1:], logits[1:], strict=True):
            total = total + weight * each[:, :width].to(device)
        return total


def mean_of_logits(members: int) -> WeightedSum:
    """Return the program in which every member counts alike."""
    return WeightedSum((1 / members,) * members)
