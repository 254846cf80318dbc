"""How far the adapters of a pool are from each other, read from their files: whether a pool becomes alike."""

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from moco.errors import RequestError
from moco.merging.lora import FACTOR_A, FACTOR_B, check_factors, read_factors

_DIGITS = 6


def mean_distances(folders: Sequence[Path]) -> list[float] | None:
    """Return for every adapter the mean distance of what it adds to its base from what the others add to theirs.

    With U and V for the updates of all weights, scale·B·A each, the distance of two is |U - V| / sqrt(|U|² + |V|²) in
    the Frobenius norm: 0 where they are equal, 1 where they have nothing in common, the square root of 2 where they are
    opposite. No update is written out: <B A, B' A'> is the sum of the products of B^T B' and A A'^T.

    Args:
        folders: Of adapters.

    Returns:
        One number each, rounded; None for fewer than two, for a folder that is no plain LoRA adapter, and for adapters
        of several shapes.
    """
    if len(folders) < 2:
        return None
    try:
        read = [read_factors(folder, str(folder)) for folder in folders]
        for folder, (tensors, _) in zip(folders, read, strict=True):
            check_factors(read[0][0], tensors, str(folder), str(folders[0]), ranks=False)
    except RequestError:
        return None
    places = range(len(read))
    products = {(one, other): _product(read[one], read[other]) for one in places for other in places if one <= other}

    def distance(one: int, other: int) -> float:
        both = products[one, one] + products[other, other]
        apart = both - 2 * products[min(one, other), max(one, other)]
        return sqrt(max(apart, 0.0) / both) if both > 0 else 0.0

    means = (sum(distance(one, other) for other in places if other != one) / (len(read) - 1) for one in places)
    return [round(mean, _DIGITS) for mean in means]


def _product(one: tuple[Mapping[str, Any], float], other: tuple[Mapping[str, Any], float]) -> float:
    """Return the inner product of two updates over all weights."""
    (first, scale), (second, factor) = one, other
    total = 0.0
    for name in sorted(first):
        if not name.endswith(FACTOR_A):
            continue
        below = name.removesuffix(FACTOR_A) + FACTOR_B
        rows = first[name].double() @ second[name].double().T
        columns = first[below].double().T @ second[below].double()
        total += float((rows * columns).sum())
    return scale * factor * total
