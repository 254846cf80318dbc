"""Named, derived randomness: no choice depends on order, batch or process."""

from typing import Any

import numpy as np

from moco.digest import digest


def derive_seed(*parts: Any) -> int:
    """Return a 64-bit seed that depends on every part and on nothing else.

    Args:
        parts: JSON values, for instance run seed, method, purpose and item.
    """
    return int(digest("seed", *parts)[:16], 16)


def generator(*parts: Any) -> np.random.Generator:
    """Return a counter-based random generator (Philox) for the named purpose."""
    return np.random.Generator(np.random.Philox(key=derive_seed(*parts)))
