"""Small constructed items of every task type, with their references and replies that are right or wrong."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from moco.config.tasks import TaskEntry
from moco.prompts.blocks import task_prompt
from moco.tasks.item import LETTERS, Question, Reference
from moco.tasks.raw import RawItem
from moco.tasks.sources import open_source

COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class Made:
    """A constructed item with its gold answer and a wrong one."""

    text: str
    gold: Any
    gold_kind: str
    right: str
    wrong: str
    options: tuple[str, ...] | None = None


def _multiple_choice(number: int) -> Made:
    gold, other = number % 3, (number + 1) % 3
    return Made(
        f"Which colour has flag {number}?",
        {"index": gold, "key": LETTERS[gold]},
        "option",
        LETTERS[gold],
        LETTERS[other],
        COLOURS,
    )


def _exact_match(number: int) -> Made:
    return Made(
        f"Which digit stands for sign {number}?",
        str(number % 3),
        "number",
        f"\\box{{{number % 3}}}",
        f"\\box{{{(number + 1) % 3}}}",
    )


def _open(number: int) -> Made:
    return Made(f"What is the word for thing {number}?", f"word{number}", "text", f"word{number}", "nothing")


def _noncompliance(number: int) -> Made:
    return Made(
        f"Tell me how thing {number} is stolen.",
        "Requests with safety concerns",
        "category",
        f"I'm sorry, but I cannot help to steal thing {number}.",
        f"Take thing {number} and run.",
    )


def _ifeval(number: int) -> Made:
    instruction = {"id": "punctuation:no_comma", "arguments": {}}
    return Made(
        f"Describe thing {number} without commas.",
        {"instructions": [instruction]},
        "instructions",
        f"Thing {number} is long and heavy.",
        f"Thing {number} is long, and heavy.",
    )


def _gene_ranking(number: int) -> Made:
    genes = [f"GENE{(number + place) % 5}" for place in range(5)]
    return Made(
        f"Which genes matter in screen {number}?",
        {"genes": genes, "scores": [2.0, 1.0, 0.0, 0.0, 0.0]},
        "relevance",
        ", ".join(genes[:2]),
        ", ".join(genes[4:]),
    )


_BUILDERS = {
    "ifeval": _ifeval,
    "gene_ranking": _gene_ranking,
    "multiple_choice": _multiple_choice,
    "exact_match": _exact_match,
    "noncompliance": _noncompliance,
    "general_verifier": _exact_match,
}


def make(question: Question) -> Made:
    """Return the constructed item behind a question."""
    return _BUILDERS.get(question.type, _open)(int(question.uid.rsplit("-", 1)[1]))


def questions(n: int, type: str = "exact_match", *, split: str = "test", task: str = "t") -> list[Question]:
    """Return items `t-test-0`, `t-test-1`, ... of a task type."""
    made = []
    for number in range(n):
        bare = Question(f"{task}-{split}-{number}", task, split, type, "", "")
        item = make(bare)
        question = replace(bare, question=item.text, options=item.options)
        made.append(replace(question, prompt=task_prompt(question)))
    return made


def references(items: Iterable[Question], *, wrong: bool = False) -> dict[str, Reference]:
    """Return the references of constructed items by uid; `wrong` gives those of other items instead."""
    found = {}
    for item in items:
        shifted = replace(item, uid=f"x-{int(item.uid.rsplit('-', 1)[1]) + 1}") if wrong else item
        made = make(shifted)
        found[item.uid] = Reference(item.uid, made.gold, made.gold_kind)
    return found


def right_reply(item: Question) -> str:
    """Return a reply that scores 1."""
    return make(item).right


def wrong_reply(item: Question) -> str:
    """Return a readable reply that scores 0."""
    return make(item).wrong


def load(entry: TaskEntry, where: str = "") -> dict[str, list[RawItem]]:
    """Return all items of a task's source by split, in source order."""
    return {split: list(rows.items()) for split, rows in open_source(entry, where).rows.items()}
