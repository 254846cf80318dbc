"""What the models of the zoo are taught: a stream of prompts with completions, determined by model and step."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from moco.prompts import blocks
from moco.seeds import generator
from moco.tasks.item import Question
from moco.zoo.roster import CURRICULUM_VERSION, ZooModel
from moco.zoo.skills import FORMS, SKILLS, Exercise, Form, Scope, exercise, pool

_TYPES = {"exact": "exact_match", "choice": "multiple_choice"}
_OPENINGS = (
    "",
    "You are one of several assistants who work on the same question.",
    "A team of models looks for the answer. Help the team.",
    "Some assistants have answered a question. Improve on their work.",
    "Read the question and what others say about it. Then write the answer.",
    "Several models answered this question. You write the last word.",
    "Work together with other assistants. Use their answers to improve yours.",
    "Here is a question with answers of several assistants.",
)
_INTRODUCTIONS = (
    "",
    "Others answered:",
    "Here are answers from other models. Some may be wrong.",
    "Read these answers to the question.",
    "These are the answers so far.",
)
_REQUESTS = (
    "",
    "Now give your answer.",
    "Decide which answer is right.",
    "Check them and answer the question.",
    "Other assistants may be wrong. Write a better answer.",
    "Some of the answers may be wrong. Write the final answer.",
    "Write one answer.",
)
_OWN = ("your answer", "your previous answer", "your first answer")


@dataclass(frozen=True)
class Pair:
    """One training example: the user's message and the reply that is taught."""

    prompt: str
    completion: str


def reply(form: Form, answer: str) -> str:
    """Return an answer in the shape that scorers read: in a box, or the text of the chosen option.

    Models of this size do not learn in a few hundred steps which letter an option stands at.
    """
    return answer if form == "choice" else f"\\box{{{answer}}}"


def _question(made: Exercise, form: Form) -> Question:
    return Question(
        uid="", task="zoo", split="train", type=_TYPES[form], question=made.question, prompt="", options=made.options
    )


def _pick(rng: np.random.Generator, values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def _draw(rng: np.random.Generator, skill: str, form: Form, scope: Scope) -> Exercise:
    operands = _pick(rng, _pick(rng, pool(skill, "train", scope)))
    return exercise(skill, form, operands, _pick(rng, SKILLS[skill].wordings["train"]), rng)


def _alone(rng: np.random.Generator, model: ZooModel, form: Form) -> Pair:
    made = _draw(rng, _pick(rng, model.skills), form, model.scope)
    return Pair(blocks.task_prompt(_question(made, form)), reply(form, made.answer))


def _together(rng: np.random.Generator, model: ZooModel) -> Pair:
    """Return a question with answers of others.

    Where the model is taught the skill, any of the answers may be wrong and it relies on what it knows. Elsewhere
    most answers are right, so that it learns to go with the majority and is never taught a wrong answer.
    """
    form: Form = _pick(rng, FORMS)
    own = bool(rng.random() < 0.5)
    skill = _pick(rng, model.skills if own else tuple(SKILLS))
    made = _draw(rng, skill, form, model.scope if own else "full")
    known = skill in model.skills and (model.scope == "full" or SKILLS[skill].easy(made.operands))
    right, wrong = made.answer, made.wrong
    if made.options is not None:
        wrong = tuple(option for option in made.options if option != right)
    count = int(rng.integers(2, 5))
    correct = int(rng.integers(count + 1)) if known else int(rng.integers(count // 2 + 1, count + 1))
    answers = [right] * correct + [_pick(rng, wrong) for _ in range(count - correct)]
    replies = [reply(form, answers[index]) for index in rng.permutation(count)]
    if rng.random() < 0.5:
        own_block = blocks.block(_pick(rng, _OWN), replies.pop())
    else:
        own_block = ""
    shown = [own_block, *(blocks.candidate(rank, text) for rank, text in enumerate(replies, start=1))]
    return Pair(_arranged(rng, _question(made, form), shown), reply(form, right))


def _arranged(rng: np.random.Generator, item: Question, shown: list[str]) -> str:
    """Return a question with answers of others in one of several orders and wordings."""
    opening, introduction, request = (_pick(rng, texts) for texts in (_OPENINGS, _INTRODUCTIONS, _REQUESTS))
    form = blocks.answer_format(item.type)
    layout = int(rng.integers(4))
    if layout == 0:
        return blocks.compose(opening, blocks.task_prompt(item), introduction, *shown, request)
    if layout == 1:
        return blocks.compose(
            opening, introduction, blocks.block("question", blocks.question(item)), *shown, request, form
        )
    return blocks.compose(opening, blocks.question(item), introduction, *shown, request, form)


def pairs(model: ZooModel, step: int) -> list[Pair]:
    """Return the training pairs of one step, independent of all other steps."""
    rng = generator("zoo curriculum", CURRICULUM_VERSION, model.name, step)
    result = []
    mixture = model.training
    for chance in rng.random(mixture.batch):
        if chance < mixture.exact:
            result.append(_alone(rng, model, "exact"))
        elif chance < mixture.exact + mixture.choice:
            result.append(_alone(rng, model, "choice"))
        else:
            result.append(_together(rng, model))
    return result
