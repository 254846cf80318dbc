"""How sure a model was of its own response, from the cached logits of its tokens. All in [0, 1]; 0 for an empty one."""

import math
from collections.abc import Sequence

import numpy as np

from moco.errors import WorkError
from moco.methods.logits import ResponseLogits

TOP = 5


def top_share(logits: ResponseLogits) -> float:
    """Return the mean over tokens of the most likely token's share of the five most likely ones.

    Raises:
        WorkError: Fewer than five alternatives are stored.
    """
    if not logits.tokens:
        return 0.0
    if logits.top_k < TOP:
        raise WorkError(
            f"{logits.top_k} alternatives per token are stored, {TOP} are needed", remedy="raise engine.top_logprobs"
        )
    shares = [1 / math.fsum(math.exp(each - step[0]) for each in step[:TOP]) for step in logits.top_logprobs]
    return math.fsum(shares) / len(shares)


def likelihood(logits: ResponseLogits) -> float:
    """Return the geometric mean of the tokens' probabilities, which orders responses as their mean log-probability."""
    return math.exp(math.fsum(logits.logprobs) / len(logits.tokens)) if logits.tokens else 0.0


def quantile_probability(logits: ResponseLogits, level: float) -> float:
    """Return the probability below which a share `level` of the tokens lies, linearly interpolated."""
    return math.exp(quantile(logits.logprobs, level)) if logits.tokens else 0.0


def quantile(values: Sequence[float], level: float) -> float:
    """Return the linearly interpolated quantile of at least one value."""
    return float(np.quantile(values, level))
