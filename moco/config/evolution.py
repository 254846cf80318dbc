"""The single-multi evolution loop: models learn from their collaboration, round after round."""

from typing import Annotated, Literal

from pydantic import Field

from moco.config.fields import SLUG, Section, identity
from moco.config.training import Sft

Slug = Annotated[str, Field(pattern=SLUG)]


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
    training: Sft = identity("How students are trained.", factory=Sft)
