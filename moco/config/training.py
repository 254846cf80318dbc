"""How models are trained: one vocabulary for students of the loop, models of fits, and models that a study tunes."""

from typing import Literal, Self

from pydantic import model_validator

from moco.config.fields import Section, identity


class Training(Section):
    """What every kind of training has in common."""

    steps: int | None = identity("Optimiser steps; as many as the epochs have when left out.", None, ge=0)
    epochs: float = identity("Times that all examples are read, where steps are left out.", 1.0, gt=0)
    batch: int = identity("Examples per step.", 8, ge=1)
    micro_batch: int | None = identity(
        "Examples in memory at once, a divisor of the batch; all of a step when left out. Dropout falls by them.",
        None,
        ge=1,
    )
    learning_rate: float = identity("Highest learning rate.", 1e-4, ge=0)
    schedule: Literal["constant", "linear", "cosine"] = identity(
        "How the learning rate goes on after the warm-up: as it is, or to zero.", "constant"
    )
    warmup: float = identity("Share of the steps in which the learning rate rises from zero.", 0.0, ge=0, lt=1)
    weight_decay: float = identity("Decay of the weights (AdamW).", 0.0, ge=0)
    max_norm: float = identity("Largest norm of the gradients; 0: any.", 1.0, ge=0)
    rank: int | None = identity(
        "Rank of a new LoRA adapter; all weights when left out. An adapter that is trained further keeps its own.",
        None,
        ge=1,
    )
    alpha: int | None = identity("Scale of the adapter times its rank; twice the rank when left out.", None, ge=1)
    layers: Literal["linear", "attention"] = identity(
        "Layers of the adapter: all linear ones, or the query, key, value and output projections.", "linear"
    )
    max_tokens: int | None = identity(
        "Longest prompt and reply together; the model's context when left out. Prompts are shortened as elsewhere.",
        None,
        ge=8,
    )
    dtype: Literal["float32", "bfloat16"] = identity(
        "Number type of the passes; trained weights and their updates are float32.", "float32"
    )

    @model_validator(mode="after")
    def _whole_parts(self) -> Self:
        """Refuse a step that does not consist of whole parts."""
        if self.micro_batch and self.batch % self.micro_batch:
            raise ValueError(f"micro_batch {self.micro_batch} does not divide batch {self.batch}")
        return self


class Sft(Training):
    """Supervised fine-tuning: replies are learnt, prompts are masked."""

    dropout: float = identity(
        "Dropout of the adapter's input; other kinds compare probabilities, so have none.", 0.0, ge=0, lt=1
    )


class Dpo(Training):
    """Direct preference optimisation against the model as it was before."""

    beta: float = identity("How dear a distance from the model as it was is.", 0.1, gt=0)


class Grpo(Training):
    """Group-relative policy optimisation: replies that score above their group's mean are made likelier."""

    group: int = identity("Replies per prompt; a divisor of the batch, which counts replies.", 4, ge=2)
    max_new_tokens: int | None = identity("Longest reply; that of the task when left out.", None, ge=1)
    temperature: float = identity("Temperature of the replies.", 1.0, gt=0)
    top_p: float = identity("Nucleus of the replies.", 1.0, gt=0, le=1)
    clip: float = identity("Largest change of a token's probability ratio that still counts.", 0.2, gt=0)
    beta: float = identity("Weight of the distance from the model as it was; 0: none.", 0.0, ge=0)

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        """Refuse a step that does not consist of whole groups."""
        if self.batch % self.group:
            raise ValueError(
                f"group {self.group} does not divide batch {self.batch}, which counts replies; set a multiple of it"
            )
        return self


class OnPolicy(Training):
    """On-policy distillation: at every token of its own replies, a student is pulled towards a teacher's distribution."""

    beta: float = identity(
        "Which divergence: 1: reverse KL, 0: forward KL, between: generalised Jensen-Shannon.", 1.0, ge=0, le=1
    )
    max_new_tokens: int | None = identity("Longest reply; that of the task when left out.", None, ge=1)
    temperature: float = identity("Temperature of the student's replies.", 1.0, gt=0)
    top_p: float = identity("Nucleus of the student's replies.", 1.0, gt=0, le=1)


class _Recipe(Training):
    """What methods' trainings have in common: a LoRA adapter of the attention, at a rate that rises and falls."""

    batch: int = identity("Examples per step.", 16, ge=1)
    micro_batch: int | None = identity(
        "Examples in memory at once, a divisor of the batch; all of a step when left out. Dropout falls by them.",
        1,
        ge=1,
    )
    schedule: Literal["constant", "linear", "cosine"] = identity(
        "How the learning rate goes on after the warm-up: as it is, or to zero.", "cosine"
    )
    warmup: float = identity("Share of the steps in which the learning rate rises from zero.", 0.1, ge=0, lt=1)
    rank: int | None = identity(
        "Rank of a new LoRA adapter; all weights when left out. An adapter that is trained further keeps its own.",
        64,
        ge=1,
    )
    alpha: int | None = identity("Scale of the adapter times its rank; twice the rank when left out.", 16, ge=1)
    layers: Literal["linear", "attention"] = identity(
        "Layers of the adapter: all linear ones, or the query, key, value and output projections.", "attention"
    )


class SftRecipe(_Recipe, Sft):
    """How methods tune by default."""

    epochs: float = identity("Times that all examples are read, where steps are left out.", 3.0, gt=0)
    learning_rate: float = identity("Highest learning rate.", 1e-5, ge=0)
    dropout: float = identity(
        "Dropout of the adapter's input; other kinds compare probabilities, so have none.", 0.1, ge=0, lt=1
    )


class DpoRecipe(_Recipe, Dpo):
    """How methods learn from preferences by default: in one pass."""

    learning_rate: float = identity("Highest learning rate.", 2e-5, ge=0)


class GrpoRecipe(_Recipe, Grpo):
    """How methods learn from rewards by default."""

    batch: int = identity("Replies per step, a multiple of the group.", 4, ge=1)
    micro_batch: int | None = identity(
        "Replies in memory at once, a divisor of the batch; all of a step when left out.", None, ge=1
    )
    weight_decay: float = identity("Decay of the weights (AdamW).", 1e-5, ge=0)


KINDS: dict[str, type[Training]] = {"sft": Sft, "dpo": Dpo, "grpo": Grpo}
"""Settings of every kind of training that fits use."""

ON_POLICY = "on_policy"
"""The kind that the loop has besides: it needs a teacher."""
