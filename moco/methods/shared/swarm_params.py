"""Settings of methods that let a swarm search."""

from typing import Literal, Self

from pydantic import model_validator

from moco.config.fields import identity
from moco.methods.base import MethodParams
from moco.methods.shared.swarm import SwarmSettings


class SwarmParams(MethodParams):
    """How many particles search, for how long, and how they move."""

    population: int = identity("Particles of the search.", 5, ge=1)
    max_iterations: int = identity("Updates of the search.", 5, ge=1)
    starting_velocity: Literal["random", "zero"] = identity("How particles move at first.", "random")
    weight_randomness: bool = identity("Draw the strengths of all pulls anew for every move.", True)
    repel_term: bool = identity("Push particles away from the worst position seen.", True)
    inertia: float = identity("Share of the velocity that a particle keeps.", 0.2, ge=0)
    cognitive_coeff: float = identity("Pull to the best position that the particle has seen.", 0.3, ge=0)
    social_coeff: float = identity("Pull to the best position that any particle has seen.", 0.4, ge=0)
    repel_coeff: float = identity("Push away from the worst position that any particle has seen.", 0.05, ge=0)
    step_length: float = identity("Share of the velocity that is walked at first.", 0.5, gt=0)
    step_length_factor: float = identity("What the step length is multiplied by after every update.", 0.95, gt=0)
    minimum_step_length: float = identity("Smallest step length.", 0.1, gt=0)
    patience: int = identity("Updates without a gain that end the search.", 5, ge=1)
    restart_patience: int = identity("Updates without a gain of its own that restart a particle.", 3, ge=1)
    original_rules: bool = identity("Stop and restart as the original does.", False)

    @model_validator(mode="after")
    def _swarm_is_possible(self) -> Self:
        self.swarm()
        return self

    def swarm(self) -> SwarmSettings:
        """Return the settings of the search."""
        return SwarmSettings(
            inertia=self.inertia,
            cognitive=self.cognitive_coeff,
            social=self.social_coeff,
            repel=self.repel_coeff if self.repel_term else 0.0,
            randomness=self.weight_randomness,
            step=self.step_length,
            step_factor=self.step_length_factor,
            minimum_step=self.minimum_step_length,
            patience=self.patience,
            restart_patience=self.restart_patience,
            rules="numeric" if self.original_rules else "window",
        )
