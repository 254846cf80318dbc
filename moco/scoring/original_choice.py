"""The option that the original rules read out of a reply, as of the paper and as of release 1.1.2."""

import re
from collections.abc import Sequence
from functools import cache

from moco.scoring.base import Extraction, Unevaluable
from moco.tasks.item import LETTERS

_TRAILING_MARKS = re.compile(r"[\s.,;:!?]+\Z")

Options = Sequence[str | None]
"""Texts of the options; null where the source has none."""


def paper_choice(reply: str, options: Options) -> Extraction:
    """Return the first letter or option text found in list order.

    Raises:
        Unevaluable: An option that is needed is null.
    """
    text = reply.lower().strip()
    letters = LETTERS[: len(options)]
    for letter in letters:
        low = letter.lower()
        if text == low or text.startswith((low + ")", low + ".", low + " ")):
            return Extraction(letter, "start")
    for letter, option in zip(letters, options, strict=False):
        if _lowered(option) in text:
            return Extraction(letter, "option_text")
    for letter in letters:
        low = letter.lower()
        if any(form in text for form in (low + ")", f"({low})", f"answer is {low}", low + ".")):
            return Extraction(letter, "label")
    return Extraction(None, "none")


def paper_1_1_choice(reply: str, options: Options) -> Extraction:
    """Return a letter alone, else the last letter in the firmest form there is, else the last option text.

    Raises:
        Unevaluable: An option that is needed is null, or the letter is one of two that look like I and K and are none.
    """
    text = reply.lower().strip()
    letters = LETTERS[: len(options)]
    for letter in letters:
        low = letter.lower()
        if text in (low, low + ".", low + ")"):
            return Extraction(letter, "start")
    for rule, form in _forms(len(options)):
        found = form.findall(reply)
        if found:
            letter = found[-1].upper()
            if letter not in letters:
                raise Unevaluable
            return Extraction(letter, rule)
    for letter, option in zip(letters, options, strict=False):
        if _without_trailing_marks(_lowered(option)) == _without_trailing_marks(text):
            return Extraction(letter, "whole_reply")
    best = (-1, -1)
    chosen = None
    for letter, option in zip(letters, options, strict=False):
        low = _lowered(option)
        start = text.rfind(low)
        if start >= 0 and (start + len(low), len(low)) > best:
            best, chosen = (start + len(low), len(low)), letter
    return Extraction(chosen, "none" if chosen is None else "option_text")


def _lowered(option: str | None) -> str:
    if option is None:
        raise Unevaluable
    return option.lower()


def _without_trailing_marks(text: str) -> str:
    return _TRAILING_MARKS.sub("", text).strip()


@cache
def _forms(count: int) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Return the forms in which one of the first `count` letters may stand, firmest first."""
    if not count:
        return ()
    letter = rf"(?-i:(?<![A-Za-z0-9]))([A-{LETTERS[count - 1]}])(?-i:(?![A-Za-z0-9]))"
    after_cue = rf"\s*(?:is|:|=)?\s*[:-]?\s*\(?{letter}\)?"
    forms = {
        "final_answer": f"final answer{after_cue}",
        "answer": rf"\banswer{after_cue}",
        "brackets": rf"\({letter}\)",
        "bracket": rf"{letter}\)",
        "full_stop": rf"{letter}\.",
    }
    return tuple((rule, re.compile(form, re.IGNORECASE)) for rule, form in forms.items())
