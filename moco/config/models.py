"""Models as nodes: hub checkpoint, local folder, adapter, a model that the workflow trains itself, or a served one.

Capabilities, family, tokenizer, size and context are declared, since the plan needs them before any model exists;
`moco resolve` stops when the real model differs.
"""

import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from moco.config.engine import EngineSettings
from moco.config.fields import SLUG, Section, identity, runtime
from moco.config.training import SftRecipe

COMMIT = r"^[0-9a-f]{40}$"
"""Branches and tags move, so they are no identity."""

REPOSITORY = r"^\w[\w.-]*/\w[\w.-]*$"

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

ENDPOINT = r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$"
"""No user, password or query: an endpoint is written into files, and none of these may be."""


TEMPLATE_DATE = "2026-01-01"
"""Today, for chat templates that ask for it, unless a study says otherwise."""

DAY = r"^\d{4}-\d{2}-\d{2}$"


class _Model(Section):
    family: str | None = identity("Architecture as in the checkpoint's model_type, for instance llama or qwen2.", None)
    tokenizer: str | None = identity("Name shared by all models with the same vocabulary and token ids.", None)
    parameters: float | None = identity("Number of parameters.", None, gt=0)
    context: int | None = identity("Longest prompt and reply together, in tokens.", None, gt=0)
    engine: EngineSettings | None = identity("Engine of this model; the study's engine when left out.", None)
    description: str = identity("One sentence on what the model is good at; routers read it.", "")
    gpus: int = runtime("GPUs that the model needs where GPUs are used.", 1, ge=0)
    priced: bool = runtime(
        "Replies are dear: methods that pass on some items only have it asked for these, not for whole splits ahead.",
        False,
    )

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
    repo: str = identity("Repository, as owner/name.", pattern=REPOSITORY)
    revision: str | None = identity(
        "Commit, 40 hexadecimal digits; null until it is pinned, and then the model cannot be resolved.",
        None,
        pattern=COMMIT,
    )


class LocalModel(_Checkpoint):
    """A checkpoint in a local folder, in the transformers layout, or a GGUF file."""

    kind: Literal["local"] = identity("A checkpoint in a local folder, or a GGUF file.")
    path: str = identity(
        "Folder, or file that ends in `.gguf`, whose weights are read into float32; environment variables are expanded.",
        min_length=1,
    )


class AdapterModel(_Model):
    """A LoRA adapter on another model of the study."""

    kind: Literal["adapter"] = identity("A PEFT adapter on another model.")
    base: Slug = identity("The model that the adapter was trained on, by its name in this study.")
    path: str | None = identity("Folder of the adapter; or give repo and revision.", None, min_length=1)
    repo: str | None = identity("Repository of the adapter, as owner/name.", None, pattern=REPOSITORY)
    revision: str | None = identity("Commit of the repository, 40 hexadecimal digits.", None, pattern=COMMIT)


class ZooModel(_Model):
    """A tiny model that comes trained, or that the workflow trains where its recipe is another."""

    kind: Literal["zoo"] = identity("A tiny model that comes trained; one with other steps or another seed is trained.")
    recipe: str | None = identity(
        "Which one (docs/zoo.md): base; add, reverse, recall, sort; reverse_recall, recall_sort, sort_reverse; lora_add,"
        " lora_reverse, lora_recall; small, large, neox; encoder, reward, reward_strict, verifier. The model's own name"
        " when left out.",
        None,
    )
    steps: int | None = identity("Training steps instead of the recipe's own; for tests.", None, ge=1)
    seed: int = identity("Seed of the training, for zoos that differ by chance alone.", 0, ge=0)


class TunedModel(_Model):
    """A model that the study tunes itself, on the right answers of tasks of its own."""

    kind: Literal["tuned"] = identity("A model that the study tunes itself.")
    base: Slug = identity("The model that it is tuned from; an adapter goes on as it is.")
    tasks: tuple[Slug, ...] = identity("Tasks of the study whose split `train` it learns.", min_length=1)
    items: int | None = identity("Most items of each task; all of them when left out.", None, ge=1)
    seed: int = identity("Draws items, their order, and the first weights of an adapter.", 0, ge=0)
    training: SftRecipe = identity("How it is tuned.", factory=SftRecipe)


class ServerRequests(Section):
    """How a served model is asked; nothing here changes what it says."""

    key_env: str | None = runtime(
        "Environment variable that holds the API key; the key itself is written nowhere. No key is sent without it.",
        None,
        pattern=r"^[A-Za-z_]\w*$",
    )
    concurrency: int = runtime("Requests that are under way at the same time.", 8, ge=1, le=512)
    per_minute: float | None = runtime("Most requests that start per minute; no limit when left out.", None, gt=0)
    timeout_seconds: float = runtime("Longest time that a reply may take.", 600.0, gt=0)
    retries: int = runtime("Attempts after the first, where another may help.", 6, ge=0)
    backoff_seconds: float = runtime("Wait before the second attempt; it doubles with every further one.", 1.0, gt=0)


class ServerModel(_Model):
    """A model known only by its endpoint: it has no weights, logits or token ids at hand."""

    kind: Literal["server"] = identity("A model behind an OpenAI-compatible endpoint.")
    endpoint: str = identity("Address that the paths of the API follow, as https://host/v1.", pattern=ENDPOINT)
    name: str = identity("The model's name at the endpoint.", min_length=1)
    date: str = identity(
        "Day (YYYY-MM-DD) since which the model behind this name counts as the same one; another day asks all anew.",
        pattern=DAY,
    )
    reported: str | None = identity(
        "The `system_fingerprint` that every reply must report; any is accepted when left out.", None
    )
    api: Literal["chat", "completions"] = identity("Messages, or a text to be continued.", "chat")
    logprobs: bool = identity("The endpoint gives log-probabilities of tokens, and is asked for them.", False)
    send_seed: bool = identity("Send the seed of a request; false where the endpoint refuses it.", True)
    limit_field: Literal["max_tokens", "max_completion_tokens"] = identity(
        "What the endpoint calls the longest reply.", "max_tokens"
    )
    extra: dict[str, Any] = identity("Further fields of every request, as reasoning_effort: low.", factory=dict)
    requests: ServerRequests = runtime("How it is asked.", factory=ServerRequests)
    gpus: int = runtime("None: it runs elsewhere.", 0, ge=0, le=0)
    priced: bool = runtime("As for other models; false where replies cost nothing, as on a machine of your own.", True)

    @field_validator("date", mode="before")
    @classmethod
    def _date_as_text(cls, value: Any) -> Any:
        """Accept the date that YAML makes of unquoted digits."""
        return value.isoformat() if type(value) is datetime.date else value

    @field_validator("date")
    @classmethod
    def _is_a_day(cls, value: str) -> str:
        try:
            datetime.date.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is no day; write YYYY-MM-DD") from None
        return value

    @property
    def capabilities(self) -> frozenset[str]:
        """It writes; log-probabilities only where declared."""
        return frozenset({"generate", "top_logits"} if self.logprobs else {"generate"})


ModelEntry = Annotated[
    HubModel | LocalModel | AdapterModel | ZooModel | TunedModel | ServerModel, Field(discriminator="kind")
]
