"""The few pieces that every prompt is made of; the wording of a method lives in the method's own file."""

from collections.abc import Sequence

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


def block(title: str, text: str) -> str:
    """Return a delimited block, so that the lines of one reply are never taken for those of another."""
    return f"[{title}]\n{text.strip()}\n[end]"


def candidate(number: int, text: str) -> str:
    """Return candidate answer `number` (from 1) as a block."""
    return block(f"answer {number}", text)


def feedback(number: int, text: str) -> str:
    """Return feedback `number` (from 1) as a block."""
    return block(f"feedback {number}", text)


def compose(*parts: str) -> str:
    """Join the non-empty parts, with a blank line between them."""
    return "\n\n".join(part.strip() for part in parts if part.strip())
