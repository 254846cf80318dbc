"""Which models the zoo has, and everything that determines their weights."""

from dataclasses import asdict, dataclass, field
from typing import Any

from moco.errors import RequestError
from moco.zoo.skills import Scope

CURRICULUM_VERSION = 1
"""Raised by hand when skills, curriculum, tokenizer or training change what a model becomes."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a network."""

    vocabulary: int = 512
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    intermediate: int = 256


@dataclass(frozen=True)
class Training:
    """Settings of the optimiser and of the mixture of training pairs.

    Attributes:
        batch: Sequences per step.
        learning_rate: Peak of the schedule.
        warmup: Steps of linear warm-up before the cosine.
        floor: Learning rate at the end, as a part of the peak.
        weight_decay: Decay of matrices.
        clip: Largest norm of the gradient.
        exact: Share of pairs that ask for the answer itself.
        choice: Share of pairs that offer options; what remains shows answers of others.
    """

    batch: int = 64
    learning_rate: float = 3e-3
    warmup: int = 20
    floor: float = 0.05
    weight_decay: float = 0.05
    clip: float = 1.0
    exact: float = 0.35
    choice: float = 0.2


@dataclass(frozen=True)
class ZooModel:
    """One checkpoint of the zoo.

    Attributes:
        name: Name in the roster.
        parent: Model whose weights it starts from, or nothing for random weights.
        skills: Skills that it is taught.
        steps: Default number of optimiser steps.
        scope: Whether it is taught each skill in full, or only its easy part.
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
    scope: Scope = "full"
    family: str = "llama"
    tokenizer: str = "moco-zoo"
    parameters: int = 722_000
    context: int = 4096
    shape: Shape = field(default_factory=Shape)
    training: Training = field(default_factory=Training)


def _expert(name: str, skill: str, steps: int) -> ZooModel:
    return ZooModel(name, "base", (skill,), steps=steps, training=Training(learning_rate=2e-3))


ROSTER: dict[str, ZooModel] = {
    model.name: model
    for model in (
        ZooModel("base", None, ("add", "reverse", "capital"), steps=600, scope="easy"),
        _expert("add", "add", 200),
        _expert("reverse", "reverse", 240),
        _expert("recall", "capital", 280),
    )
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


def recipe(name: str, steps: int | None = None) -> dict[str, Any]:
    """Return everything that determines the weights of a model, so that its digest names them.

    Args:
        name: Name in the roster.
        steps: Steps of the model and of its ancestors, instead of the roster's.

    Raises:
        RequestError: There is no such model, or `steps` is not positive.
    """
    if steps is not None and steps < 1:
        raise RequestError(f"{steps} training steps", where=f"zoo model {name}", remedy="ask for at least one")
    model = lookup(name)
    settings = asdict(model)
    settings.update(skills=list(model.skills), steps=model.steps if steps is None else steps)
    del settings["parent"], settings["parameters"]
    parent = None if model.parent is None else recipe(model.parent, steps)
    return {"curriculum": CURRICULUM_VERSION, "settings": settings, "parent": parent}
