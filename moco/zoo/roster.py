"""Which models the zoo has, and everything that determines their weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from moco.errors import RequestError
from moco.zoo.skills import Scope

CURRICULUM_VERSION = 3
"""Raised by hand when skills, curriculum, tokenizer or training change what a model becomes."""

DTYPE = "float16"
"""Number type that weights are rounded to when training ends and stored in."""

Role = Literal["chat", "embed", "reward"]


@dataclass(frozen=True)
class Shape:
    """Sizes of a network."""

    vocabulary: int = 768
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    intermediate: int = 256


_CHAT = {
    "exact": 0.33,
    "choice": 0.15,
    "together": 0.22,
    "route": 0.14,
    "name": 0.04,
    "judge": 0.04,
    "feedback": 0.04,
    "confidence": 0.04,
}
_EXPERT = {
    "exact": 0.48,
    "choice": 0.13,
    "review": 0.12,
    "guess": 0.006,
    "together": 0.154,
    "route": 0.06,
    "judge": 0.015,
    "feedback": 0.02,
    "confidence": 0.015,
}


@dataclass(frozen=True)
class Training:
    """Settings of the optimiser and of the mixture of training pairs.

    Attributes:
        batch: Sequences per step.
        learning_rate: Peak of AdamW's schedule.
        matrix_rate: Peak of Muon's schedule, for the matrices of layers; without it AdamW trains these too.
        warmup: Steps of linear warm-up before the cosine.
        floor: Learning rates at the end, as a part of the peak.
        weight_decay: Decay of matrices.
        clip: Largest norm of the gradient.
        mixture: Shares of the kinds of examples: answers (exact, choice), answers to what the parent is taught and to
            what neither is (review, guess), a question with the answers of others (together), which described model
            fits, by number, in words, or by either among three and without any other text (route, name, drill), which
            of two answers is better (judge), feedback, an answer with a confidence, whether a reply equals a reference,
            at once or after both were quoted (verify, compare); for reward models how wrong the wrong replies are (near, far, loose); for encoders what the texts
            are (question, description).
        opening_steps: Number of steps at the beginning that have a mixture of their own.
        opening: The mixture of these steps.
    """

    batch: int = 64
    learning_rate: float = 3e-3
    matrix_rate: float | None = 0.02
    warmup: int = 20
    floor: float = 0.05
    weight_decay: float = 0.05
    clip: float = 1.0
    mixture: Mapping[str, float] = field(default_factory=lambda: dict(_CHAT))
    opening_steps: int = 0
    opening: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter on all linear layers of the parent.

    Attributes:
        rank: Rank of the update.
        alpha: Its scale, times the rank.
    """

    rank: int
    alpha: int


@dataclass(frozen=True)
class ZooModel:
    """One checkpoint of the zoo.

    Attributes:
        name: Name in the roster.
        parent: Model whose weights it starts from, or nothing for random weights.
        skills: Skills that it is taught.
        steps: Default number of optimiser steps.
        role: What it does: `chat` answers, `embed` maps a text to a vector, `reward` rates a reply.
        scope: How much of each skill it is taught.
        adapter: For an adapter on the parent.
        family: Architecture.
        tokenizer: Tokenizer.
        parameters: Declared number of parameters.
        context: Longest sequence in tokens.
        shape: Sizes of the network.
        training: Settings of the training.
    """

    name: str
    parent: str | None
    skills: tuple[str, ...]
    steps: int
    role: Role = "chat"
    scope: Scope = "full"
    adapter: Adapter | None = None
    family: str = "llama"
    tokenizer: str = "moco-zoo"
    parameters: int = 755_000
    context: int = 4096
    shape: Shape = field(default_factory=Shape)
    training: Training = field(default_factory=Training)

    @property
    def capabilities(self) -> frozenset[str]:
        """What the model offers to methods."""
        return _CAPABILITIES[self.role]


def _expert(name: str, *skills: str, steps: int, rate: float = 1.2e-3) -> ZooModel:
    # AdamW at a low rate, since what Muon teaches is lost when the weights of experts are merged.
    training = Training(learning_rate=rate, matrix_rate=None, mixture=_EXPERT)
    return ZooModel(name, "base", skills, steps=steps, training=training)


def _adapter(name: str, skill: str, steps: int, rank: int, alpha: int) -> ZooModel:
    return ZooModel(
        name,
        "base",
        (skill,),
        steps=steps,
        adapter=Adapter(rank, alpha),
        parameters=755_000 + 8_704 * rank,
        training=Training(learning_rate=1e-2, matrix_rate=None, batch=48, weight_decay=0.0, mixture=_EXPERT),
    )


def _reward(name: str, steps: int, mixture: Mapping[str, float]) -> ZooModel:
    training = Training(learning_rate=2e-3, matrix_rate=0.01, batch=32, mixture=mixture)
    return ZooModel(name, "base", _ALL, steps=steps, role="reward", training=training)


_BASE = Training(
    mixture={**_CHAT, "exact": 0.3, "route": 0.1, "drill": 0.03, "guess": 0.04},
    opening_steps=300,
    opening={"drill": 0.85, "exact": 0.15},
)

_MIXED = ("add", "reverse", "capital")
_ALL = (*_MIXED, "sort")

ROSTER: dict[str, ZooModel] = {
    model.name: model
    for model in (
        ZooModel("base", None, _MIXED, steps=870, scope="easy", training=_BASE),
        _expert("add", "add", steps=620, rate=1.8e-3),
        _expert("reverse", "reverse", steps=360),
        _expert("recall", "capital", steps=220),
        _expert("sort", "sort", steps=220),
        _expert("reverse_recall", "reverse", "capital", steps=640, rate=1.8e-3),
        _expert("recall_sort", "capital", "sort", steps=440),
        _expert("sort_reverse", "sort", "reverse", steps=640, rate=1.8e-3),
        _adapter("lora_add", "add", 150, 8, 16),
        _adapter("lora_reverse", "reverse", 150, 8, 16),
        _adapter("lora_recall", "capital", 200, 16, 32),
        ZooModel(
            "small",
            None,
            _MIXED,
            steps=400,
            scope="easy",
            parameters=131_000,
            shape=Shape(hidden=64, heads=2, layers=2, intermediate=128),
        ),
        ZooModel(
            "large",
            None,
            _MIXED,
            steps=300,
            scope="half",
            parameters=1_405_000,
            shape=Shape(hidden=160, heads=5, layers=5, intermediate=320),
        ),
        ZooModel(
            "neox",
            None,
            _MIXED,
            steps=330,
            scope="easy",
            family="gpt_neox",
            tokenizer="moco-zoo-alt",
            parameters=579_000,
            shape=Shape(vocabulary=384),
        ),
        ZooModel(
            "encoder",
            None,
            _ALL,
            steps=80,
            role="embed",
            family="distilbert",
            parameters=429_000,
            context=512,
            shape=Shape(layers=2),
            training=Training(learning_rate=1e-3, mixture={"question": 0.8, "description": 0.2}),
        ),
        _reward("reward", 240, {"near": 0.6, "far": 0.3, "loose": 0.1}),
        _reward("reward_strict", 240, {"near": 0.8, "far": 0.15, "loose": 0.05}),
        ZooModel(
            "verifier",
            "base",
            _ALL,
            steps=800,
            training=Training(batch=48, mixture={"compare": 1.0}),
        ),
    )
}


_CAPABILITIES: dict[Role, frozenset[str]] = {
    "chat": frozenset({"generate", "weights", "logits", "top_logits", "tokenizer", "trainable"}),
    "embed": frozenset({"embed", "tokenizer"}),
    "reward": frozenset({"reward", "tokenizer"}),
}


def lookup(name: str) -> ZooModel:
    """Return a model of the roster.

    Raises:
        RequestError: There is no such model.
    """
    try:
        return ROSTER[name]
    except KeyError:
        raise RequestError(f"unknown zoo model {name!r}", remedy=f"use one of {', '.join(ROSTER)}") from None


def recipe(name: str, steps: int | None = None, seed: int = 0) -> dict[str, Any]:
    """Return everything that determines the weights of a model, so that its digest names them.

    Args:
        name: Name in the roster.
        steps: Steps of the model and of its ancestors, instead of the roster's.
        seed: Seed of random weights and of the curriculum, of the model and of its ancestors.

    Raises:
        RequestError: There is no such model, or `steps` is not positive.
    """
    if steps is not None and steps < 1:
        raise RequestError(f"{steps} training steps", where=f"zoo model {name}", remedy="ask for at least one")
    model = lookup(name)
    settings = asdict(model)
    settings.update(skills=list(model.skills), steps=model.steps if steps is None else steps)
    del settings["parent"], settings["parameters"]
    parent = None if model.parent is None else recipe(model.parent, steps, seed)
    return {"curriculum": CURRICULUM_VERSION, "dtype": DTYPE, "seed": seed, "settings": settings, "parent": parent}
