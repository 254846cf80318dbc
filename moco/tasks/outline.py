"""What is remembered of every item while a task is made: enough to find repeats and to draw, without the texts."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from sys import intern
from typing import Any

from moco.digest import canonical_json
from moco.tasks.raw import RawItem

_TWO_WAYS = frozenset({"yes", "no", "true", "false"})


@dataclass(frozen=True, slots=True)
class Outline:
    """An item without its texts.

    Attributes:
        row: Position in the source's split.
        src_id: Id at the source.
        domain: Domain at the source.
        group: What must not be in two splits, or null.
        asked: Equal for items that ask the same.
        gold: Equal for items that also have the same answer.
        closed: Whether there can be only one right answer.
    """

    row: int
    src_id: str
    domain: str
    group: str | None
    asked: bytes
    gold: bytes
    closed: bool


def outline(item: RawItem) -> Outline:
    """Return the outline of an item."""
    return Outline(
        row=item.row,
        src_id=item.src_id,
        domain=intern(item.domain),
        group=None if item.group is None else intern(item.group),
        asked=asked(item.question, item.options),
        gold=answered(item.gold, item.gold_kind, item.options),
        closed=item.gold_kind in ("boolean", "option") or str(item.gold).strip().casefold() in _TWO_WAYS,
    )


def folded(text: str) -> str:
    """Return a text without differences of Unicode form, case and white space.

    Punctuation stays: in formulas, programs and sequences of brackets it is the content.
    """
    form = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(form.casefold().split())


def asked(question: str, options: Sequence[str] | None) -> bytes:
    """Return a digest that is equal for items with the same question and, in any order, the same options."""
    return _digest([folded(question), *sorted(map(folded, options or ()))], 16)


def answered(gold: Any, gold_kind: str, options: Sequence[str] | None) -> bytes:
    """Return a digest that is equal for items with the same gold; of options the text counts, not the position."""
    if gold_kind == "option" and gold["index"] is not None and options is not None:
        return _digest([folded(options[gold["index"]])], 8)
    if isinstance(gold, list):
        return _digest(sorted(folded(str(each)) for each in gold), 8)
    return _digest([folded(gold if isinstance(gold, str) else canonical_json(gold))], 8)


def _digest(texts: Iterable[str], size: int) -> bytes:
    return blake2b("\0".join(texts).encode(), digest_size=size).digest()
