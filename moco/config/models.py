"""Models as nodes: hub checkpoint, local folder, adapter, or a model that the workflow trains itself.

Capabilities, family, tokenizer, size and context are declared, since the plan needs them before any model exists;
`moco resolve` stops when the real model differs.
"""

from typing import Annotated, Literal

from pydantic import Field

from moco.config.engine import EngineSettings
from moco.config.fields import SLUG, Section, identity, runtime

COMMIT = r"^[0-9a-f]{40}$"
"""Branches and tags move, so they are no identity."""

Slug = Annotated[str, Field(pattern=SLUG)]


CAPABILITIES = frozenset({"generate", "weights", "logits", "top_logits", "tokenizer", "trainable"})
"""What a language model at hand offers."""

Purpose = Literal["chat", "embed", "reward"]

OFFERED: dict[Purpose, frozenset[str]] = {
    "chat": CAPABILITIES,
    "embed": frozenset({"embed", "tokenizer"}),
    "reward": frozenset({"reward", "tokenizer"}),
}
"""What a model offers by its purpose: encoders and reward models do not write."""


class _Model(Section):
    family: str | None = identity("Architecture as in the checkpoint's model_type, for instance llama or qwen2.", None)
    tokenizer: str | None = identity("Name shared by all models with the same vocabulary and token ids.", None)
    parameters: float | None = identity("Number of parameters.", None, gt=0)
    context: int | None = identity("Longest prompt and reply together, in tokens.", None, gt=0)
    engine: EngineSettings | None = identity("Engine of this model; the study's engine when left out.", None)
    description: str = identity("One sentence on what the model is good at; routers read it.", "")
    gpus: int = runtime("GPUs that the model needs where GPUs are used.", 1, ge=0)

    @property
    def capabilities(self) -> frozenset[str]:
        """What the model offers; everything that a language model can, where its weights are at hand."""
        return CAPABILITIES


class _Checkpoint(_Model):
    purpose: Purpose = identity(
        "chat: a language model. embed: an encoder of texts. reward: a sequence classifier that rates a reply.", "chat"
    )

    @property
    def capabilities(self) -> frozenset[str]:
        """What the model offers by its purpose."""
        return OFFERED[self.purpose]


class HubModel(_Checkpoint):
    """A checkpoint of the Hugging Face hub, at a pinned revision."""

    kind: Literal["hub"] = identity("A checkpoint of the Hugging Face hub.")
    repo: str = identity("Repository, as owner/name.", pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str | None = identity(
        "Commit, 40 hexadecimal digits; null until it is pinned, and then the model cannot be resolved.",
        None,
        pattern=COMMIT,
    )


class LocalModel(_Checkpoint):
    """A checkpoint in a local folder, in the transformers layout."""

    kind: Literal["local"] = identity("A checkpoint in a local folder.")
    path: str = identity("Folder; environment variables are expanded.")


class AdapterModel(_Model):
    """A LoRA adapter on another model of the study."""

    kind: Literal["adapter"] = identity("A PEFT adapter on another model.")
    base: Slug = identity("The model that the adapter was trained on, by its name in this study.")
    path: str | None = identity("Folder of the adapter; or give repo and revision.", None)
    repo: str | None = identity("Repository of the adapter.", None)
    revision: str | None = identity("Commit of the repository, 40 hexadecimal digits.", None, pattern=COMMIT)


class ZooModel(_Model):
    """A tiny model that the workflow trains itself."""

    kind: Literal["zoo"] = identity("A tiny model that the workflow trains itself.")
    recipe: str | None = identity(
        "Which one (docs/zoo.md): base; add, reverse, recall, sort; lora_add, lora_reverse, lora_recall; small, large,"
        " neox; encoder, reward, reward_strict, verifier. The model's own name when left out.",
        None,
    )
    steps: int | None = identity("Training steps instead of the recipe's own; for tests.", None, ge=1)
    seed: int = identity("Seed of the training, for zoos that differ by chance alone.", 0, ge=0)


ModelEntry = Annotated[HubModel | LocalModel | AdapterModel | ZooModel, Field(discriminator="kind")]
