"""What reward models are taught: a question with a right and a wrong reply."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from moco.prompts import blocks
from moco.zoo.curriculum import as_question, draw, pick, reply, stream, wrong_answers
from moco.zoo.roster import ZooModel
from moco.zoo.skills import FORMS, SKILLS, Exercise, Form


@dataclass(frozen=True)
class Comparison:
    """A question with two replies."""

    prompt: str
    right: str
    wrong: str


def _near(rng: np.random.Generator, made: Exercise, form: Form) -> str:
    return reply(form, pick(rng, wrong_answers(made)))


def _far(rng: np.random.Generator, made: Exercise, form: Form) -> str:
    """Return the answer to a question of another skill, as models reply that know only that."""
    skill = pick(rng, [name for name in SKILLS if name != made.skill])
    return reply(form, draw(rng, skill, "exact").answer)


def _loose(rng: np.random.Generator, made: Exercise, _form: Form) -> str:
    """Return something that is no answer."""
    return pick(rng, (made.question, "\\box{}", "Not sure.", blocks.answer_format("exact_match")))


MAKERS: dict[str, Callable[[np.random.Generator, Exercise, Form], str]] = {
    "near": _near,
    "far": _far,
    "loose": _loose,
}
"""Kinds of wrong replies, by the names that mixtures use."""


def comparison(rng: np.random.Generator, made: Exercise, form: Form, kind: str) -> Comparison:
    """Return a question with its right reply and a wrong one of the given kind: near, far or loose."""
    prompt = blocks.task_prompt(as_question(made, form))
    return Comparison(prompt, reply(form, made.answer), MAKERS[kind](rng, made, form))


def preferences(model: ZooModel, step: int, seed: int = 0) -> list[Comparison]:
    """Return the comparisons of one step, independent of all other steps."""
    rng, kinds = stream(model, step, seed, MAKERS)
    result = []
    for kind in kinds:
        form: Form = pick(rng, FORMS)
        made = draw(rng, pick(rng, model.skills), form, model.scope)
        result.append(comparison(rng, made, form, kind))
    return result
