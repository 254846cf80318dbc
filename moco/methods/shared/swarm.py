"""Particle swarms: points that move towards the best they have seen and the best any has seen, away from the worst.

A swarm knows vectors and scores, not what they stand for: weights of a merge before a softmax, coefficients of a linear
combination of models, inclinations of a graph. Every random number has a name (which update, which particle), so a
search that is run again scores the same positions again, and may look their scores up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from moco.errors import RequestError

Vector = tuple[float, ...]
Draw = Callable[[str, str], np.random.Generator]
"""Gives the random generator of a named purpose and item."""
FreshVelocity = Callable[[int, np.random.Generator, Sequence[Vector]], Vector]
"""Draws a velocity for the particle with a number, among the positions of all."""
Rules = Literal["window", "numeric", "weight"]


def uniform_velocity(particle: int, rng: np.random.Generator, positions: Sequence[Vector]) -> Vector:
    """Return a velocity that is uniform between -1 and 1 in every coordinate."""
    return tuple(float(value) for value in rng.uniform(-1, 1, len(positions[particle])))


def partner_velocity(particle: int, rng: np.random.Generator, positions: Sequence[Vector]) -> Vector:
    """Return the way to another particle, drawn at random."""
    if len(positions) < 2:
        raise RequestError("a swarm of one particle has no partners", remedy="use at least two particles")
    others = [index for index in range(len(positions)) if index != particle]
    partner = positions[others[int(rng.integers(len(others)))]]
    return tuple(there - here for here, there in zip(positions[particle], partner, strict=True))


@dataclass(frozen=True)
class SwarmSettings:
    """How particles move, restart and stop.

    Attributes:
        inertia: Share of the old velocity.
        cognitive: Pull to the best that the particle itself has seen.
        social: Pull to the best that any has seen.
        repel: Push away from the worst that any has seen; 0: none.
        randomness: Draw the strength of all four anew for every particle and update.
        step: Share of the velocity that a particle moves by at first.
        step_factor: What that share is multiplied by after every update.
        minimum_step: Its smallest value.
        patience: Updates without a better best that end the search.
        restart_patience: Updates without a better best of its own after which a particle restarts from that best.
        rules: What "without a better best" means. `window`: none in the last so many updates; a restart draws a new
            velocity, is followed by a move, and by as many updates without another. `numeric` and `weight` are the
            rules of the original implementations for vectors and for models, kept for comparison: in `numeric` a
            restarted particle does not move, and so is likely to restart again, and the search ends at the first
            update without a gain once it is older than `patience`.
    """

    inertia: float = 0.2
    cognitive: float = 0.3
    social: float = 0.4
    repel: float = 0.05
    randomness: bool = True
    step: float = 0.5
    step_factor: float = 0.95
    minimum_step: float = 0.1
    patience: int = 5
    restart_patience: int = 3
    rules: Rules = "window"

    def __post_init__(self) -> None:
        least = 2 if self.rules == "numeric" else 1
        if min(self.patience, self.restart_patience) < least:
            raise RequestError(
                f"patience {self.patience} and restart patience {self.restart_patience}",
                remedy=f"both must be at least {least} under the rules `{self.rules}`",
            )
        if self.inertia + self.cognitive + self.social + self.repel <= 0:
            raise RequestError("nothing moves the particles", remedy="give at least one pull a positive strength")


@dataclass(frozen=True)
class Particle:
    """One particle.

    Attributes:
        position: Where it is.
        velocity: How it moved last.
        best: Best position that it has seen; its own first position before any score.
        best_score: Score there.
        history: All its scores.
        cooldown: Updates until it may restart again.
    """

    position: Vector
    velocity: Vector
    best: Vector
    best_score: float | None = None
    history: tuple[float, ...] = ()
    cooldown: int = 0

    def scored(self, score: float) -> "Particle":
        """Return the particle with a score for its position."""
        known = replace(self, history=(*self.history, score))
        if self.best_score is None or score > self.best_score:
            known = replace(known, best=self.position, best_score=score)
        return known


@dataclass(frozen=True)
class SwarmState:
    """Everything a swarm remembers between updates.

    Attributes:
        particles: In order.
        step: Share of the velocity of the next move.
        best: Best position seen by any, or offered.
        best_score: Score there.
        worst: Worst position seen by any.
        worst_score: Score there.
        bests: Best score after each update; never falls.
        finished: The swarm has stopped.
    """

    particles: tuple[Particle, ...]
    step: float
    best: Vector | None = None
    best_score: float | None = None
    worst: Vector | None = None
    worst_score: float | None = None
    bests: tuple[float, ...] = ()
    finished: bool = False

    @property
    def positions(self) -> tuple[Vector, ...]:
        """Where the particles are."""
        return tuple(particle.position for particle in self.particles)

    def offered(self, position: Vector, score: float) -> "SwarmState":
        """Return the state after somebody else scored a position: it draws the particles while it is the best."""
        better = self.best_score is None or score > self.best_score
        return replace(self, best=position, best_score=score) if better else self


class Swarm:
    """Moves particles; holds no state of its own.

    Args:
        settings: How they move.
        draw: Where randomness comes from.
        fresh_velocity: Draws first velocities and those of restarts.
    """

    def __init__(self, settings: SwarmSettings, draw: Draw, fresh_velocity: FreshVelocity = uniform_velocity) -> None:
        self.settings = settings
        self._draw = draw
        self._fresh_velocity = fresh_velocity

    def random_positions(self, particles: int, dimension: int) -> list[Vector]:
        """Return positions that are uniform between -1 and 1 in every coordinate."""
        drawn = (self._draw("swarm position", str(index)).uniform(-1, 1, dimension) for index in range(particles))
        return [tuple(float(value) for value in position) for position in drawn]

    def start(self, positions: Sequence[Vector], *, at_rest: bool = False) -> SwarmState:
        """Return the first state.

        Args:
            positions: Of the particles.
            at_rest: Begin with velocities of zero instead of fresh ones.
        """
        velocities = [
            _zeros(position) if at_rest else self._velocity(f"start.{index}", index, positions)
            for index, position in enumerate(positions)
        ]
        particles = (Particle(place, speed, place) for place, speed in zip(positions, velocities, strict=True))
        return SwarmState(tuple(particles), self.settings.step)

    def update(self, state: SwarmState, scores: Sequence[float]) -> SwarmState:
        """Return the state after one update; a finished swarm does not move.

        Args:
            state: Before.
            scores: Of the particles' positions, in order; higher is better.
        """
        noted = self._noted(state, scores)
        if self._stops(noted.bests):
            return replace(noted, finished=True)
        moved = tuple(self._moved(index, noted) for index in range(len(noted.particles)))
        step = max(self.settings.minimum_step, self.settings.step_factor * noted.step)
        return replace(noted, particles=moved, step=step)

    def _noted(self, state: SwarmState, scores: Sequence[float]) -> SwarmState:
        particles = tuple(one.scored(score) for one, score in zip(state.particles, scores, strict=True))
        noted = replace(state, particles=particles)
        highest, lowest = max(scores), min(scores)
        noted = noted.offered(state.particles[scores.index(highest)].position, highest)
        if noted.worst_score is None or lowest < noted.worst_score:
            noted = replace(noted, worst=state.particles[scores.index(lowest)].position, worst_score=lowest)
        assert noted.best_score is not None
        return replace(noted, bests=(*noted.bests, noted.best_score))

    def _stops(self, bests: Sequence[float]) -> bool:
        patience, rules = self.settings.patience, self.settings.rules
        if len(bests) <= patience:
            return False
        if rules == "numeric":
            return bests[-1] <= max(bests[-patience:-1])
        return bests[-1] <= bests[-patience if rules == "weight" else -1 - patience]

    def _restarts(self, particle: Particle) -> bool:
        patience, rules, history = self.settings.restart_patience, self.settings.rules, particle.history
        if len(history) <= patience:
            return False
        if rules == "numeric":
            return history[-1] <= max(history[-patience:-1])
        if particle.cooldown > 0:
            return False
        if rules == "weight":
            return history[-1] <= history[-patience]
        return max(history[-patience:]) <= max(history[:-patience])

    def _moved(self, index: int, state: SwarmState) -> Particle:
        particle, rules = state.particles[index], self.settings.rules
        name = f"{len(state.bests)}.{index}"
        if not self._restarts(particle):
            cooled = replace(particle, cooldown=max(0, particle.cooldown - 1))
            return self._step(name, cooled, state)
        back = replace(particle, position=particle.best, cooldown=self.settings.restart_patience)
        if rules == "weight":
            return self._step(name, replace(back, velocity=_zeros(back.position), cooldown=_COMPAT_COOLDOWN), state)
        positions = [back.position if other == index else place for other, place in enumerate(state.positions)]
        fresh = replace(back, velocity=self._velocity(name, index, positions))
        return replace(fresh, cooldown=0) if rules == "numeric" else self._step(name, fresh, state)

    def _step(self, name: str, particle: Particle, state: SwarmState) -> Particle:
        settings = self.settings
        assert state.best is not None
        assert state.worst is not None
        strengths = np.array([settings.inertia, settings.cognitive, settings.social, settings.repel])
        if settings.randomness:
            strengths = strengths * self._draw("swarm strengths", name).random(4)
        old, own, best, worst = strengths / strengths.sum()
        x, v = np.array(particle.position), np.array(particle.velocity)
        v = (
            old * v
            + own * (np.array(particle.best) - x)
            + best * (np.array(state.best) - x)
            + worst * (x - np.array(state.worst))
        )
        return replace(particle, position=tuple((x + state.step * v).tolist()), velocity=tuple(v.tolist()))

    def _velocity(self, name: str, index: int, positions: Sequence[Vector]) -> Vector:
        return self._fresh_velocity(index, self._draw("swarm velocity", name), positions)


_COMPAT_COOLDOWN = 3


def _zeros(position: Vector) -> Vector:
    return (0.0,) * len(position)
