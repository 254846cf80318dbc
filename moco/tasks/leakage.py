"""Repeats within a split, and test items that dev or train give away.

Two items repeat each other when they ask the same (`moco.tasks.outline.asked`), whatever their golds: a model cannot
tell them apart. Groups stay whole: when one of its items is given away, the group is, and a group goes as a repeat only
if all its items are repeats.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from moco.tasks.outline import Outline

LEARNED = ("train", "dev")
"""Splits of a source that methods learn from; others are cut off dev."""

BAD_ROW = "bad_row"

REASONS = {
    "repeat": "asks what an earlier item of the split asks, with the same answer",
    "conflict": "asks what an earlier item of the split asks, with another answer",
    "seen": "asks what an item of dev or train asks, with the same answer",
    "seen_conflict": "asks what an item of dev or train asks, with another answer",
    "seen_group": "belongs to a group of which dev or train have items",
    BAD_ROW: "is a row of the file that is no item, and bad_rows: drop is set",
}
"""Why items are left out."""

Place = tuple[str, int]
"""Split of the source and row."""


@dataclass(frozen=True)
class Drop:
    """An item that is left out, and the item because of which."""

    split: str
    item: Outline
    reason: str
    other: Place


def find_drops(splits: Mapping[str, Sequence[Outline]]) -> list[Drop]:
    """Return what clean splits leave out, in source order.

    Of repeats within a split the first item stays. Test loses what dev or train have, never the other way round,
    because methods learn from dev and a smaller test set only widens intervals.
    """
    drops = [drop for split, items in splits.items() if split != "test" for drop in _repeats(split, items)]
    if "test" in splits:
        given = _given_away(splits)
        gone = {drop.item.row for drop in given}
        rest = [item for item in splits["test"] if item.row not in gone]
        drops += sorted([*given, *_repeats("test", rest)], key=lambda drop: drop.item.row)
    return drops


def contradictions(items: Iterable[Outline]) -> set[int]:
    """Return the rows of a split's closed questions that are asked twice with different golds: one must be wrong."""
    first: dict[bytes, Outline] = {}
    found = set()
    for item in items:
        other = first.setdefault(item.asked, item)
        if other.gold != item.gold and other.closed and item.closed:
            found |= {other.row, item.row}
    return found


def _repeats(split: str, items: Sequence[Outline]) -> list[Drop]:
    first: dict[bytes, Outline] = {}
    found = [(item, other) for item in items if (other := first.setdefault(item.asked, item)) is not item]
    if not found:
        return []
    whole, repeated = _sizes(items), _sizes(item for item, _ in found)
    return [
        Drop(split, item, "repeat" if other.gold == item.gold else "conflict", (split, other.row))
        for item, other in found
        if item.group is None or other.group == item.group or repeated[item.group] == whole[item.group]
    ]


def _sizes(items: Iterable[Outline]) -> Mapping[str, int]:
    sizes: dict[str, int] = defaultdict(int)
    for item in items:
        if item.group is not None:
            sizes[item.group] += 1
    return sizes


def _given_away(splits: Mapping[str, Sequence[Outline]]) -> list[Drop]:
    wanted = {item.asked for item in splits["test"]}
    wanted_groups = {item.group for item in splits["test"] if item.group is not None}
    asked: dict[bytes, tuple[Place, bytes]] = {}
    groups: dict[str, Place] = {}
    for split in LEARNED:
        for item in splits.get(split, ()):
            if item.asked in wanted:
                asked.setdefault(item.asked, ((split, item.row), item.gold))
            if item.group in wanted_groups and item.group is not None:
                groups.setdefault(item.group, (split, item.row))
    for item in splits["test"]:
        if item.asked in asked and item.group is not None:
            groups.setdefault(item.group, asked[item.asked][0])
    drops = []
    for item in splits["test"]:
        if item.asked in asked:
            place, gold = asked[item.asked]
            drops.append(Drop("test", item, "seen" if gold == item.gold else "seen_conflict", place))
        elif item.group is not None and item.group in groups:
            drops.append(Drop("test", item, "seen_group", groups[item.group]))
    return drops
