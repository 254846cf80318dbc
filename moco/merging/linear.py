"""Linear combination of checkpoints."""

from collections.abc import Sequence

import torch

from moco.merging.streaming import Combine, Read
from moco.models.recipes import Recipe


def linear(recipe: Recipe) -> Combine:
    """Return what makes sum(weight_i * tensor_i), summed in float64 and rounded once.

    Args:
        recipe: Its weights, one per input, are used as they are, not normalised.
    """

    def combine(name: str, readers: Sequence[Read], dtype: torch.dtype | None = None) -> torch.Tensor:
        first = readers[0](name)
        total = recipe.weights[0] * first.to(torch.float64)
        for weight, read in zip(recipe.weights[1:], readers[1:], strict=True):
            total += weight * read(name).to(torch.float64)
        return total.to(dtype or first.dtype)

    return combine
