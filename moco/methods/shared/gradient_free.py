"""Searches without gradients, by the nevergrad package."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

Point = tuple[float, ...]


def search(
    losses: Callable[[Sequence[Point]], Sequence[float]],
    size: int,
    starts: Sequence[Point],
    *,
    budget: int,
    bound: float,
    digits: int,
    optimizer: str,
    seed: int,
) -> tuple[list[tuple[Point, float]], str]:
    """Return the points that a search evaluated, in order, with their losses, and the version of its package.

    Args:
        losses: To minimise, of several points at once: the starts come together, all others one by one.
        size: Numbers of a point.
        starts: First points; the search goes on from the best of them.
        budget: Number of points, the first ones included.
        bound: Largest absolute number.
        digits: Numbers are rounded to these before a loss is asked for.
        optimizer: Of nevergrad's registry.
        seed: Of its random numbers.
    """
    first = [tuple(min(number, bound) for number in start) for start in starts[:budget]]
    points = list(zip(first, losses(first), strict=True)) if first else []
    best = min(points, key=lambda found: found[1])[0] if points else (0.0,) * size
    left = budget - len(points)
    with _own_randomness(seed):
        import nevergrad

        if left:
            # From the best start on: not every optimiser takes in points that it did not ask for.
            box = nevergrad.p.Array(init=np.array(best)).set_mutation(sigma=bound / 2).set_bounds(-bound, bound)
            chosen = nevergrad.optimizers.registry[optimizer](parametrization=box, budget=left, num_workers=1)
            for _ in range(left):
                asked = chosen.ask()
                point = tuple(round(float(number), digits) + 0.0 for number in asked.value)
                [value] = losses([point])
                chosen.tell(asked, value)
                points.append((point, value))
        return points, str(nevergrad.__version__)


@contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """Seed the global generators, from which nevergrad draws, and put them back as they were."""
    before, numbers = random.getstate(), np.random.get_state()
    try:
        random.seed(seed)
        np.random.seed(seed)
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numbers)
