"""The single-multi evolution loop: models learn from their collaboration, round after round."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from moco.config.fields import SLUG, Section, identity
from moco.config.training import OnPolicy, Sft

Slug = Annotated[str, Field(pattern=SLUG)]
Variant = Literal["supervised", "multi_student", "on_policy"]
Lineage = Literal["continue", "continue_same", "reset"]
Protocol = Literal["clean", "upstream"]


class Mix(Section):
    """What the variant `multi_student` teaches: pairs by source, as shares of the items that are learnt from."""

    teach: float = identity("Answers of the collaboration.", 1.0, ge=0, le=1)
    self: float = identity("The student's own replies.", 0.5, ge=0, le=1)
    best: float = identity(
        "Replies of the student that does best on dev; other pairs than its own share.", 0.5, ge=0, le=1
    )
    gold: float = identity("Reference answers, as a control.", 0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        """Refuse shares that the best student's replies cannot hold apart, and a mixture of nothing."""
        shares = self.slice()
        if shares["self"] + shares["best"] > 1:
            raise ValueError("self and best are disjoint shares of the best student's replies: together at most 1")
        if not any(shares.values()):
            raise ValueError("no share is above 0")
        return self


class EvolutionEntry(Section):
    """Runs of the loop: every method on every task, each with students of its own."""

    pool: Slug = identity("Pool of round 0.")
    methods: tuple[Slug, ...] = identity("Method variants that teach, each in a run of its own.", min_length=1)
    baselines: tuple[Slug, ...] = identity(
        "Method variants that learn by themselves, asked with the pool of round 0 on the same tasks for comparison.", ()
    )
    tasks: tuple[Slug, ...] = identity(
        "Tasks, each in a run of its own; with a distill split, but in protocol upstream.", min_length=1
    )
    rounds: int = identity("Rounds of learning.", 3, ge=0)
    variants: tuple[Variant, ...] = identity(
        "How students learn; supervised: from the answers of the collaboration to the distill split; multi_student: from"
        " a mixture of these with their own replies and those of the best student; on_policy: from the next-token"
        " distribution of the collaboration at every token of their own replies, which methods on logits or weights have.",
        ("supervised",),
        min_length=1,
    )
    mix: Mix = identity("Shares of the variant multi_student.", factory=Mix)
    filter: str = identity(
        "Pairs that may be learnt, by the score of what is taught: none (all), correct, or score>=NUMBER.",
        "none",
        pattern=r"^(none|correct|score>=-?[0-9]+(\.[0-9]+)?)$",
    )
    dedupe: bool = identity("Leave out a pair that a student has already.", False)
    held_out: float = identity(
        "Share of the items that are learnt from which no student of any round learns; on what they would teach, the loss is"
        " measured before and after each training.",
        0.0,
        ge=0,
        lt=1,
    )
    lineage: Lineage = identity(
        "What a round trains: continue: the student of the round before, by an adapter on top of its adapter where a"
        " rank is given; continue_same: the same, by training its adapter on; reset: the base of round 0's model, or"
        " that model where it is no adapter.",
        "continue",
    )
    protocol: Protocol = identity(
        "clean: dev chooses, distill teaches, test is scored only; upstream, the original's: dev teaches, and the"
        " students' own replies are those to test, so results leak and are marked so.",
        "clean",
    )
    training: Sft = identity("How students are trained, but in on_policy.", factory=Sft)
    on_policy: OnPolicy = identity("How students are trained in the variant on_policy.", factory=OnPolicy)
