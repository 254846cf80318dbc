"""DARE and TIES: random drop of what distinguishes models from their base, then one elected sign per number.

The drop is ours, so that its masks depend on nothing but the seed, the model and the tensor's name; weighting, election
of signs, normalisation and lambda are mergekit's, in float64.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from moco.errors import RequestError
from moco.merging.streaming import Combine, Read
from moco.models.recipes import Recipe
from moco.seeds import generator

RESCALE = ("none", "1/density", "l1")
_CHUNK = 1 << 24  # numbers worked on at a time: bounds the memory that an embedding matrix needs in float64


@dataclass(frozen=True)
class _Options:
    """Options of the operation, as a recipe holds them."""

    density: float
    rescale: str
    normalize: bool
    scale: float
    seed: int

    @classmethod
    def of(cls, recipe: Recipe) -> "_Options":
        options = {"density": 1.0, "rescale": "none", "normalize": False, "lambda": 1.0, "seed": 0, **recipe.options}
        if not 0 < options["density"] <= 1 or options["rescale"] not in RESCALE:
            what = f"density {options['density']} with rescale {options['rescale']!r}"
            raise RequestError(what, remedy=f"density in (0, 1], rescale one of {', '.join(RESCALE)}")
        return cls(
            options["density"], options["rescale"], options["normalize"], options["lambda"], int(options["seed"])
        )


def dare_ties(recipe: Recipe) -> Combine:
    """Return what makes base + lambda * (sum of the weighted, thinned deltas that have the elected sign).

    Args:
        recipe: One weight per input; options `base` (fingerprint), `density` (share of every delta that is kept),
            `rescale` (`none`; `1/density`; `l1`: to the L1 norm before the drop), `normalize` (divide by the weights
            that agree), `lambda` and `seed`. Weights are used as they are.

    Raises:
        RequestError: An option is out of range.
    """
    options = _Options.of(recipe)

    def combine(name: str, readers: Sequence[Read], dtype: torch.dtype | None = None) -> torch.Tensor:
        *inputs, base = (read(name) for read in readers)
        deltas = [
            _Delta(tensor.reshape(-1), base.reshape(-1), options, fingerprint, name)
            for tensor, fingerprint in zip(inputs, recipe.inputs, strict=True)
        ]
        merged = torch.empty_like(base, dtype=dtype or base.dtype).reshape(-1)
        for part in _chunks(base.numel()):
            start = base.reshape(-1)[part].to(torch.float64)
            moved = _elected([delta[part] for delta in deltas], recipe.weights, options)
            # Adding nothing must not turn -0.0 into 0.0.
            merged[part] = torch.where(moved == 0, start, start + moved).to(merged.dtype)
        return merged.reshape(base.shape)

    return combine


class _Delta:
    """What one model adds to the base in one tensor, thinned."""

    def __init__(
        self, tensor: torch.Tensor, base: torch.Tensor, options: _Options, fingerprint: str, name: str
    ) -> None:
        self._tensor, self._base = tensor, base
        self._mask: torch.Tensor | None = None
        self._factor = 1.0
        if options.density < 1:
            self._mask = torch.from_numpy(keep_mask(options.seed, fingerprint, name, len(tensor), options.density))
            self._factor = self._rescaled_by(options)

    def _whole(self, part: slice) -> torch.Tensor:
        return self._tensor[part].to(torch.float64) - self._base[part].to(torch.float64)

    def __getitem__(self, part: slice) -> torch.Tensor:
        delta = self._whole(part)
        return delta if self._mask is None else delta * self._mask[part] * self._factor

    def _rescaled_by(self, options: _Options) -> float:
        if options.rescale == "1/density":
            return 1 / options.density
        if options.rescale == "none":
            return 1.0
        assert self._mask is not None
        before = after = 0.0
        for part in _chunks(len(self._tensor)):
            # Sums of numpy, unlike those of torch, do not depend on the number of threads.
            sizes = self._whole(part).abs().numpy()
            before += float(sizes.sum())
            after += float((sizes * self._mask[part].numpy()).sum())
        return before / after if after else 1.0


def keep_mask(seed: int, fingerprint: str, name: str, count: int, density: float) -> "np.ndarray[Any, Any]":
    """Return which of a tensor's numbers, in row-major order, are kept: each with probability `density`.

    Args:
        seed: Of the drop.
        fingerprint: Of the model.
        name: Of the tensor.
        count: Numbers in the tensor.
        density: Between 0 and 1.
    """
    draw = generator("dare", seed, fingerprint, name)
    kept = np.empty(count, dtype=bool)
    for part in _chunks(count):
        kept[part] = draw.random(part.stop - part.start) < density
    return kept


def _elected(deltas: Sequence[torch.Tensor], weights: Sequence[float], options: _Options) -> torch.Tensor:
    """Return the weighted sum of the deltas with the elected sign, as mergekit computes it over a base of zeros."""
    from mergekit.merge_methods import merge_tensors

    settings = {
        "weight": list(weights),
        "density": 1.0,  # the drop is done
        "rescale": False,
        "normalize": options.normalize,
        "lambda": options.scale,
    }
    merged: torch.Tensor = merge_tensors(
        [torch.zeros_like(deltas[0]), *deltas], "dare_ties", parameters=settings, base_index=0, dtype=torch.float64
    )
    return merged


def _chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, _CHUNK):
        yield slice(start, min(start + _CHUNK, count))
