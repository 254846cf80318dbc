"""A prompt that knows which of its parts may be shortened where a model cannot read all of it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Part:
    """A piece of a prompt.

    Attributes:
        text: As it stands in the prompt, separators included.
        shrinks: It may be shortened: others' answers, history, documents; never the task or an instruction.
    """

    text: str
    shrinks: bool = False


class Prompt(str):
    """A text made of parts; a plain text to all that do not shorten it, and equal to it.

    What string methods and formatting make of it are plain texts, whose parts are lost: compose prompts instead.

    Attributes:
        parts: In order; they make the whole text.
    """

    __slots__ = ("parts",)
    parts: tuple[Part, ...]

    def __new__(cls, parts: Iterable[Part]) -> "Prompt":
        """Join parts without anything between them."""
        kept = tuple(parts)
        made = super().__new__(cls, "".join(part.text for part in kept))
        made.parts = kept
        return made

    def __getnewargs__(self) -> tuple[tuple[Part, ...]]:  # type: ignore[override]
        """Return what a copy is made of."""
        return (self.parts,)


def parts_of(text: str) -> tuple[Part, ...]:
    """Return the parts of a prompt; a plain text is one that never shrinks."""
    return text.parts if isinstance(text, Prompt) else (Part(text),)


def stripped(text: str) -> tuple[Part, ...]:
    """Return the parts of a text without the white space around all of it."""
    parts = list(parts_of(text))
    while parts and not parts[0].text.strip():
        del parts[0]
    while parts and not parts[-1].text.strip():
        del parts[-1]
    if parts:
        parts[0] = replace(parts[0], text=parts[0].text.lstrip())
        parts[-1] = replace(parts[-1], text=parts[-1].text.rstrip())
    return tuple(parts)
