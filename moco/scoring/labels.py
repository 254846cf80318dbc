"""Option labels and option texts as they are written in replies."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from moco.scoring.text import plain_unicode, unwrapped, without_emphasis
from moco.tasks.item import LETTERS

_LONGEST_LEAD = 200
_LEAD = re.compile(
    r"[\s>•*_–—:=→#-]*"
    r"(?P<word>(?:the\s+)?(?:option|choice|letter|answer|opción|opção|opzione|antwort|réponse|选项|選項)\s*:?\s*)?"
    r"(?P<open>[(\[{\"'$]*)\s*(?P<letter>[A-Za-z])(?![A-Za-z0-9_À-ɏ])",
    re.IGNORECASE,
)
_BRACKET_CLOSES = re.compile(r"\s?[)\]}]+")
_QUOTE_CLOSES = re.compile(r"[.,]?[\"'$]+")
_SEPARATOR = re.compile(r"\s*$|[.,](?!\w)|[:;]|\s?[-–—](?!\w)|\s*\n|\s+[-–—:(=]|[。、，]|[^\x00-\u024f]")
_ANOTHER = re.compile(
    r"[)\].]*\s*(?:(?:,\s*)?(?:or|and|y|o|et|ou|und|oder)\s+(?:option\s+)?|[/&或和]\s*|,\s*(?=[(\[]?[A-Z][)\]]?"
    r"(?:\s*[,.;]|\s*$|\s+(?:or|and)\b)))[(\[]?(?P<letter>[A-Z])(?![\w'])"
)


@dataclass(frozen=True)
class Label:
    """An option label at the beginning of a text.

    Attributes:
        index: Position of the option.
        end: Where the label ends in the text.
        firm: Whether punctuation or the end of the text shows that it is a label and not a word.
        ambiguous: Whether another label is named in the same breath.
    """

    index: int
    end: int
    firm: bool
    ambiguous: bool = False


def folded(text: str) -> str:
    """Return `text` for comparing option texts: clean, without case, emphasis, wrappers and extra white space."""
    cleaned = without_emphasis(unwrapped(plain_unicode(text)))
    return " ".join(cleaned.casefold().split()).rstrip(".").strip()


def letters_only(text: str) -> str:
    """Return the letters and digits of `text`, folded, with single blanks in place of everything else."""
    return " ".join(re.findall(r"\w+", folded(text)))


def leading_label(text: str, count: int = len(LETTERS)) -> Label | None:
    """Return the option label that `text` begins with, if it is one of the first `count` letters."""
    match = _LEAD.match(text, 0, _LONGEST_LEAD)
    if match is None:
        return None
    letter = match["letter"]
    index = LETTERS.find(letter.upper())
    if not 0 <= index < count:
        return None
    end = match.end()
    opened = match["open"]
    closing = None
    if any(mark in opened for mark in "\"'$"):
        closing = _QUOTE_CLOSES.match(text, end)
    if closing is None:
        closing = _BRACKET_CLOSES.match(text, end)
    if closing is not None:
        end = closing.end()
    firm = bool(closing or match["word"] or _SEPARATOR.match(text, end))
    another = _ANOTHER.match(text, end)
    ambiguous = another is not None and LETTERS.index(another["letter"]) not in (index, *range(count, len(LETTERS)))
    return Label(index, end, firm, ambiguous)


def option_follows(text: str, label: Label, options: Sequence[str]) -> bool:
    """Return whether the text of the labelled option stands right after the label."""
    wanted = folded(options[label.index])
    rest = folded(text[label.end : label.end + 2 * len(options[label.index]) + 40]).lstrip(" )].:,;-\"'")
    return bool(wanted) and rest.startswith(wanted)


def option_equal_to(text: str, options: Sequence[str]) -> int | None:
    """Return the option that `text` repeats as a whole, comparing symbols first and words only if that is unique."""
    for form in (folded, letters_only):
        wanted = form(text)
        equal = [index for index, option in enumerate(options) if wanted and form(option) == wanted]
        if equal and len({folded(options[index]) for index in equal}) == 1:
            return equal[0]
    return None
