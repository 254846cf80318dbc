"""The few pieces that every prompt is made of; the wording of a method lives in the method's own file."""

from collections.abc import Sequence

from moco.prompts.prompt import Part, Prompt, stripped
from moco.tasks.item import LETTERS, Question

_SHORT_ANSWER = "Give the final answer directly inside \\box{answer}."


def options(choices: Sequence[str]) -> str:
    """Return one line per option: its letter by position, a closing parenthesis, its text."""
    return "\n".join(f"{LETTERS[position]}) {text}" for position, text in enumerate(choices))


def question(item: Question) -> str:
    """Return the item's text with its options, without any answer format."""
    return item.question if item.options is None else f"{item.question}\n{options(item.options)}"


def answer_format(task_type: str) -> str:
    """Return the sentence that asks for the answer's form, or an empty text where a task type has none."""
    return {
        "multiple_choice": "Choose one option and reply with its letter.",
        "exact_match": _SHORT_ANSWER,
        "f1_match": _SHORT_ANSWER,
    }.get(task_type, "")


def answered(task_type: str, answer: str) -> str:
    """Return a reply that gives an answer in the form that prompts of its type ask for, and says nothing else."""
    return f"\\box{{{answer}}}" if answer_format(task_type) == _SHORT_ANSWER else answer


def task_prompt(item: Question) -> str:
    """Return the unmodified prompt of an item, as single models receive it."""
    form = answer_format(item.type)
    if not form:
        return question(item)
    separator = "\n" if item.options is not None else "\n\n"
    return f"{question(item).rstrip()}{separator}{form}"


def instruction(text: str) -> str:
    """Return an instruction as a paragraph of its own."""
    return text.strip()


def block(title: str, text: str, *, shrinks: bool = True) -> Prompt:
    """Return a delimited block, so that the lines of one reply are never taken for those of another.

    Args:
        title: Stands in its first line.
        text: Its body.
        shrinks: The body may be shortened where a prompt is too long; never that of a question.
    """
    return Prompt((Part(f"[{title}]\n"), Part(text.strip(), shrinks), Part("\n[end]")))


def candidate(number: int, text: str) -> Prompt:
    """Return candidate answer `number` (from 1) as a block."""
    return block(f"answer {number}", text)


def feedback(number: int, text: str) -> Prompt:
    """Return feedback `number` (from 1) as a block."""
    return block(f"feedback {number}", text)


def listed(texts: Sequence[str]) -> Prompt:
    """Return one line per text that may be shortened: its number (from 1), a closing parenthesis, the text."""
    parts: list[Part] = []
    for number, text in enumerate(texts, start=1):
        parts += [Part(f"{number}) " if number == 1 else f"\n{number}) "), Part(text, shrinks=True)]
    return Prompt(parts)


def compose(*parts: str) -> Prompt:
    """Join the non-empty parts, with a blank line between them; of those that are prompts, the same may shrink."""
    joined: list[Part] = []
    for part in filter(None, map(stripped, parts)):
        joined += [Part("\n\n"), *part] if joined else part
    return Prompt(joined)
