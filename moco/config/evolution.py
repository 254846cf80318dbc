"""The single-multi evolution loop: models learn from their collaboration, round after round."""

from typing import Annotated, Literal

from pydantic import Field

from moco.config.fields import SLUG, Section, identity

Slug = Annotated[str, Field(pattern=SLUG)]


class DistillationTraining(Section):
    """How students are trained."""

    steps: int = identity("Optimiser steps of every student in a round.", 10, ge=0)
    batch: int = identity("Pairs per step.", 8, ge=1)
    learning_rate: float = identity("Learning rate.", 1e-4, ge=0)


class EvolutionEntry(Section):
    """Runs of the loop: every method on every task, each with students of its own."""

    pool: Slug = identity("Pool of round 0.")
    methods: tuple[Slug, ...] = identity("Method variants that teach, each in a run of its own.", min_length=1)
    tasks: tuple[Slug, ...] = identity("Tasks with a distill split, each in a run of its own.", min_length=1)
    rounds: int = identity("Rounds of learning.", 3, ge=0)
    variants: tuple[Literal["supervised"], ...] = identity(
        "How students learn; supervised: from the answers of the collaboration to the distill split.",
        ("supervised",),
        min_length=1,
    )
    training: DistillationTraining = identity("How students are trained.", factory=DistillationTraining)
