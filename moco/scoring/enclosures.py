"""Intervals, tuples, lists and sets: what encloses several parts, and which enclosures mean the same."""

import re
from collections.abc import Callable
from dataclasses import dataclass

_SIZES = re.compile(r"\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])\s*")
_BRACE = re.compile(r"\\([lr])brace(?![a-zA-Z])")
_FRAMES = (("\\{", "\\}", "{}"), ("\\langle", "\\rangle", "<>"), ("{", "}", "{}"))
_TURNED = re.compile(r"([\[\]])(.*,.*)([\[\]])", re.DOTALL)
_SET_OPERATORS = re.compile(r"\\(?:cup|cap|setminus|mathbb)(?![a-zA-Z])|[∪∩]|\\\\")
_CONJUNCTION = re.compile(r"\s*,?\s*(?<![\w\\])(?:or|and)(?!\w)\s*")
_PLUS_MINUS = re.compile(r"\\pm(?![a-zA-Z])|±")
_MOST_PARTS = 50


@dataclass(frozen=True)
class Enclosure:
    """What holds parts together.

    Attributes:
        frame: Its first and last mark, empty for a bare enumeration.
        parts: The texts between commas.
    """

    frame: str
    parts: tuple[str, ...]


def enclosed(text: str) -> Enclosure | None:
    """Return what encloses the parts of a text, or None for a text that is one thing."""
    text = _BRACE.sub(lambda brace: "\\{" if brace[1] == "l" else "\\}", _SIZES.sub("", text)).strip()
    if not text or _SET_OPERATORS.search(text):
        return None
    frame, inner = _frame(text)
    if not frame:
        inner = _CONJUNCTION.sub(",", inner)
    parts = [part for part in split_at_commas(inner.replace(";", ",")) if part]
    if frame in ("", "{}"):
        parts = [signed for part in parts for signed in _signs(part)]
    if not 0 < len(parts) <= _MOST_PARTS or (len(parts) < 2 and frame in ("", "()")):
        return None
    return Enclosure(frame, tuple(parts))


def same_parts(given: Enclosure, gold: Enclosure, same: Callable[[str, str], bool], *, bare_list: bool = False) -> bool:
    """Return whether two enclosures mean the same.

    An open interval or tuple, a closed interval or list, and a set differ; a bare enumeration is a set.

    Args:
        given: That of the reply.
        gold: That of the gold answer.
        same: Compares two parts.
        bare_list: Whether a bare enumeration is a list instead, in the order of the gold answer.
    """
    if len(given.parts) != len(gold.parts):
        return False
    unordered = given.frame in ("", "{}") and gold.frame in ("", "{}")
    if bare_list and not given.frame and gold.frame == "[]":
        unordered = False
    elif given.frame != gold.frame and not unordered:
        return False
    if not unordered:
        return all(map(same, given.parts, gold.parts))
    rest = list(gold.parts)
    for part in given.parts:
        match = next((at for at, other in enumerate(rest) if same(part, other)), None)
        if match is None:
            return False
        del rest[match]
    return True


def _frame(text: str) -> tuple[str, str]:
    turned = _TURNED.fullmatch(text)
    if turned and (turned[1] == "]" or turned[3] == "["):  # ]0, 1[
        return ("(" if turned[1] == "]" else "[") + (")" if turned[3] == "[" else "]"), turned[2]
    if text[0] in "([" and text[-1] in ")]" and _closes_at_end(text):
        return text[0] + text[-1], text[1:-1]
    for opening, closing, frame in _FRAMES:
        inner = text[len(opening) : -len(closing)]
        framed = text.startswith(opening) and text.endswith(closing) and len(text) >= len(opening) + len(closing)
        if framed and (frame == "<>" or _closes_at_end(text.replace("\\", ""))):
            return frame, inner
    return "", text


def _closes_at_end(text: str) -> bool:
    depth = 0
    for position, mark in enumerate(text):
        depth += (mark in "([{") - (mark in ")]}")
        if depth <= 0 and position < len(text) - 1:
            return False
    return depth == 0


def _signs(part: str) -> list[str]:
    if len(_PLUS_MINUS.findall(part)) != 1:
        return [part]
    return [_PLUS_MINUS.sub("+", part).lstrip("+"), _PLUS_MINUS.sub("-", part)]


def split_at_commas(text: str) -> list[str]:
    """Return the parts of `text` between commas that stand outside all brackets."""
    parts, depth, start = [], 0, 0
    for position, mark in enumerate(text):
        if mark in "([{":
            depth += 1
        elif mark in ")]}":
            depth -= 1
        elif mark == "," and depth <= 0:
            parts.append(text[start:position].strip())
            start = position + 1
    return [*parts, text[start:].strip()]
