"""Weights of a mixture of models that sum to one, and a swarm that searches them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from moco.methods.context import FitContext
from moco.methods.shared.swarm import Swarm, SwarmState, Vector

UNITS = 1_000_000
"""Weights have six digits: they are counted in millionths, so that equal ones are equal and their sum is exact."""

Units = tuple[int, ...]


def in_units(weights: Sequence[float]) -> Units:
    """Return weights that sum to 1 as whole millionths that do, the largest remainders rounded up."""
    units = [math.floor(weight * UNITS) for weight in weights]
    order = sorted(range(len(weights)), key=lambda place: (units[place] - weights[place] * UNITS, place))
    for place in order[: UNITS - sum(units)]:
        units[place] += 1
    return tuple(units)


def as_weights(units: Sequence[int]) -> list[float]:
    """Return weights that `in_units` counted."""
    return [unit / UNITS for unit in units]


def softmax(position: Vector) -> Units:
    """Return the weights that a position stands for."""
    powers = [math.exp(value - max(position)) for value in position]
    return in_units([power / math.fsum(powers) for power in powers])


@dataclass(frozen=True)
class Mixture:
    """The models that are weighted: the pool's, copies taken together.

    Attributes:
        members: First place of every model in the pool.
        copies: How many places it has.
    """

    members: tuple[int, ...]
    copies: tuple[int, ...]

    @classmethod
    def of(cls, ctx: FitContext) -> "Mixture":
        """Return the mixture of a pool."""
        places: dict[str, list[int]] = {}
        for member in ctx.pool:
            places.setdefault(ctx.fingerprint(member.index), []).append(member.index)
        return cls(tuple(found[0] for found in places.values()), tuple(len(found) for found in places.values()))

    @property
    def uniform(self) -> Units:
        """Equal weights of all places."""
        return in_units([count / sum(self.copies) for count in self.copies])

    @property
    def singles(self) -> list[Units]:
        """All weight on one model, for each."""
        size = len(self.members)
        return [tuple(UNITS if place == other else 0 for other in range(size)) for place in range(size)]


class MixtureSearch:
    """Searches weights by a swarm whose positions are weights before a softmax; none are scored twice.

    Args:
        swarm: Moves the particles.
        score: Scores several weights together; higher is better.
    """

    def __init__(self, swarm: Swarm, score: Callable[[Sequence[Units]], Sequence[float]]) -> None:
        self._swarm, self._score = swarm, score
        self._known: dict[Units, float] = {}
        self._record: list[dict[str, Any]] = []

    def run(self, mixture: Mixture, *, population: int, iterations: int, at_rest: bool, baselines: bool) -> SwarmState:
        """Return the swarm's last state.

        Args:
            mixture: What is weighted.
            population: Number of particles.
            iterations: Updates at most.
            at_rest: Begin with velocities of zero.
            baselines: Also score equal weights and every model alone, first.
        """
        positions = self._swarm.random_positions(population, len(mixture.members))
        state = self._swarm.start(positions, at_rest=at_rest)
        if baselines:
            state = self._with_baselines(state, mixture)
        for iteration in range(1, iterations + 1):
            if state.finished:
                break
            scores = self._scored([(softmax(position), "swarm") for position in state.positions], iteration)
            state = self._swarm.update(state, scores)
        return state

    def _with_baselines(self, state: SwarmState, mixture: Mixture) -> SwarmState:
        """Score the baselines; equal weights have a position and may draw the swarm, a single model has none."""
        uniform = mixture.uniform
        position = tuple(math.log(weight) for weight in as_weights(uniform))
        scores = self._scored([(uniform, "uniform"), *((single, "single") for single in mixture.singles)], 0)
        return state.offered(position, scores[0])

    def _scored(self, places: Sequence[tuple[Units, str]], iteration: int) -> list[float]:
        """Return the scores of weights with their origins; those that are not known are scored together."""
        fresh: dict[Units, str] = {}
        for units, origin in places:
            if units not in self._known:
                fresh.setdefault(units, origin)
        for (units, origin), score in zip(fresh.items(), self._score(list(fresh)) if fresh else [], strict=True):
            self._known[units] = score
            found = {"dev": score, "origin": origin, "iteration": iteration}
            self._record.append({"weights": as_weights(units), **found})
        return [self._known[units] for units, _ in places]

    def best(self, count: int) -> list[tuple[Units, float]]:
        """Return the best weights with their scores, best first; of equal ones those scored first."""
        return sorted(self._known.items(), key=lambda found: -found[1])[:count]

    def record(self) -> list[dict[str, Any]]:
        """Return all candidates in the order they were scored, with weights, score, origin and iteration."""
        return list(self._record)
