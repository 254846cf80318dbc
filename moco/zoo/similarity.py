"""What the sentence encoder is taught: texts, each with the skill that it is about."""

from moco.prompts import blocks
from moco.zoo import wordings
from moco.zoo.curriculum import as_question, draw, pick, stream
from moco.zoo.roster import ZooModel
from moco.zoo.skills import FORMS, Form

KINDS = ("question", "description")
"""Kinds of texts, by the names that mixtures use."""


def labelled_texts(model: ZooModel, step: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return the texts of one step with their skills, independent of all other steps."""
    rng, kinds = stream(model, step, seed, KINDS)
    result = []
    for kind in kinds:
        skill = pick(rng, model.skills)
        if kind == "description":
            text = pick(rng, wordings.DESCRIPTIONS[skill])
        else:
            form: Form = pick(rng, FORMS)
            item = as_question(draw(rng, skill, form, model.scope), form)
            text = pick(rng, (item.question, blocks.question(item), blocks.task_prompt(item)))
        result.append((text, skill))
    return result
