"""Option labels and option texts as they are written in replies."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from moco.scoring.text import is_negated, occurrences, plain_unicode, unwrapped, without_emphasis
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
_REASON = re.compile(r"\s+(?:because|since|as|due|which|while|based|given|is|for)\b", re.IGNORECASE)
_ANYWHERE = re.compile(
    r"(?<![\w(\[])[(\[](?P<both>[A-Za-z])[)\]]|(?<![\w(\[])(?P<right>[A-Za-z])\)"
    r"|\b(?i:option|choice|letter)\s+[(\[\"']?(?P<word>[A-Z]|[a-z](?=[)\]\"'.,;:]|\s*$))(?![\w'])"
)


@dataclass(frozen=True)
class Label:
    """An option label at the beginning of a text.

    Attributes:
        index: Position of the option.
        end: Where the label ends in the text.
        firm: Whether punctuation or the end of the text shows that it is a label and not a word.
        ambiguous: Whether another label is named in the same breath.
        capital: Whether it is a capital letter.
    """

    index: int
    end: int
    firm: bool
    ambiguous: bool = False
    capital: bool = True


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
    return Label(index, end, firm, ambiguous, letter.isupper())


def option_follows(text: str, label: Label, options: Sequence[str]) -> bool:
    """Return whether the text of the labelled option stands right after the label."""
    wanted = folded(options[label.index])
    rest = folded(text[label.end : label.end + 2 * len(options[label.index]) + 40]).lstrip(" )].:,;-\"'")
    return bool(wanted) and rest.startswith(wanted)


def reason_follows(text: str, label: Label) -> bool:
    """Return whether a word such as "because" stands right after the label, so that it cannot be an article."""
    return bool(_REASON.match(text, label.end))


def labels_anywhere(text: str, count: int) -> list[int]:
    """Return the distinct labels in brackets or after a word such as "option" that are not negated, in order."""
    found: list[int] = []
    for match in _ANYWHERE.finditer(text):
        letter = match["both"] or match["right"] or match["word"]
        index = LETTERS.find(letter.upper())
        if 0 <= index < count and index not in found and not is_negated(text, match.start(), match.end()):
            found.append(index)
    return found


def options_in(text: str, options: Sequence[str]) -> list[int]:
    """Return the distinct options whose text occurs in `text`, not negated and not inside a longer option there.

    Options with identical text count as one, the first.
    """
    haystack = folded(text)
    spans: list[tuple[int, int, int]] = []
    seen: set[str] = set()
    for index, option in enumerate(options):
        wanted = folded(option)
        if wanted and wanted not in seen:
            seen.add(wanted)
            spans.extend((start, end, index) for start, end in occurrences(haystack, wanted))
    outer: list[int] = []
    reach = -1
    for start, end, index in sorted(spans, key=lambda span: (span[0], -span[1])):
        if end <= reach:
            continue
        reach = end
        if index not in outer and not is_negated(haystack, start, end):
            outer.append(index)
    return outer


def option_equal_to(text: str, options: Sequence[str]) -> int | None:
    """Return the option that `text` repeats as a whole, comparing symbols first and words only if that is unique."""
    for form in (folded, letters_only):
        wanted = form(text)
        equal = [index for index, option in enumerate(options) if wanted and form(option) == wanted]
        if equal and len({folded(options[index]) for index in equal}) == 1:
            return equal[0]
    return None


def option_at_start(text: str, options: Sequence[str]) -> int | None:
    """Return the option with the longest text that `text` begins with, if any."""
    longest = max((len(option) for option in options), default=0)
    start = folded(text[: 2 * longest + 80])
    best: int | None = None
    for index, option in enumerate(options):
        wanted = folded(option)
        begins = any(position == 0 for position, _ in occurrences(start[: len(wanted) + 2], wanted))
        if begins and (best is None or len(wanted) > len(folded(options[best]))):
            best = index
    return best
