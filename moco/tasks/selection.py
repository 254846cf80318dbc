"""Which rows of a source a task uses, found in one reading that keeps no texts."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from moco.config.tasks import TaskEntry
from moco.errors import RequestError
from moco.tasks.leakage import Drop, contradictions, find_drops
from moco.tasks.outline import Outline, outline
from moco.tasks.raw import RawItem
from moco.tasks.sources import SplitRows
from moco.tasks.splits import cut_splits


@dataclass(frozen=True)
class Selection:
    """What becomes of the items of a source.

    Attributes:
        sizes: Items at the source, by its splits.
        kept: Outlines of the items of the task, by its splits, in source order.
        drops: Items that clean splits leave out. Those beyond a limit are in neither.
        contradicted: Rows, by split of the source, whose gold another item of that split contradicts.
        beyond: Number of items that a limit leaves out, by split of the source.
        bad: Rows that are no items, by split of the source, where the task drops such rows.
    """

    sizes: Mapping[str, int]
    kept: Mapping[str, list[Outline]]
    drops: list[Drop]
    contradicted: Mapping[str, set[int]]
    beyond: Mapping[str, int] = field(default_factory=dict)
    bad: Mapping[str, list[int]] = field(default_factory=dict)

    @cached_property
    def _cut(self) -> dict[int, str]:
        """Splits that are cut off dev, by row of it."""
        return {item.row: split for split, items in self.kept.items() if split not in self.sizes for item in items}

    def source_of(self, split: str) -> str:
        """Return the source's split that a split of the task is made of."""
        return split if split in self.sizes else "dev"

    def notes(self) -> list[str]:
        """Return what a user should know of the rows that are not used, one sentence each."""
        beyond = [f"{count:,} of {self.sizes[split]:,} {split} items" for split, count in self.beyond.items() if count]
        bad = [
            f"{len(rows):,} of {self.sizes[split] + len(rows):,} {split} rows"
            for split, rows in self.bad.items()
            if rows
        ]
        found = [f"limit leaves out {' and '.join(beyond)}"] if beyond else []
        return found + ([f"{' and '.join(bad)} are no items, and dropped as bad_rows asks"] if bad else [])

    def split_of(self, split: str, row: int) -> str:
        """Return the task's split that an item of the source is in or, where it is left out, would be in."""
        return self._cut.get(row, split) if split == "dev" else split


def grouping(entry: TaskEntry) -> Callable[[RawItem], RawItem]:
    """Return what gives an item the group that the task's pattern finds."""
    if entry.group_pattern is None:
        return lambda item: item
    pattern = re.compile(entry.group_pattern)

    def grouped(item: RawItem) -> RawItem:
        found = pattern.search(item.question)
        return item if found is None else replace(item, group=found[1 if pattern.groups else 0])

    return grouped


def select(entry: TaskEntry, splits: Mapping[str, SplitRows], where: str = "") -> Selection:
    """Return which rows the task uses: clean splits first, then limits, then what is cut off dev.

    Raises:
        RequestError: A row is malformed, or a split is left without items.
    """
    grouped = grouping(entry)
    bad: dict[str, list[tuple[int, RequestError]]] = {split: [] for split in splits}
    outlines = {}
    for split, rows in splits.items():
        found = rows.items(bad[split] if entry.bad_rows == "drop" else None)
        outlines[split] = [outline(grouped(item)) for item in found]
        if bad[split] and not outlines[split]:
            first = bad[split][0][1]
            what = f"all {len(bad[split]):,} rows are bad, the first: {first.what}"
            raise RequestError(what, where=first.where, remedy=first.remedy)
    selection = select_from(entry, outlines, where)
    return replace(selection, bad={split: [row for row, _ in found] for split, found in bad.items()})


def select_from(entry: TaskEntry, outlines: Mapping[str, list[Outline]], where: str = "") -> Selection:
    """Return which of the items of a source the task uses; as `select`."""
    drops = find_drops(outlines) if entry.splits == "clean" else []
    gone: dict[str, set[int]] = {}
    for drop in drops:
        gone.setdefault(drop.split, set()).add(drop.item.row)
    clean = {
        split: [item for item in items if item.row not in gone[split]] if split in gone else items
        for split, items in outlines.items()
    }
    for split, items in clean.items():
        if not items:
            raise RequestError(
                f"clean splits leave no {split} item of {len(outlines[split])}: dev or train have them all",
                where=where,
                remedy="use other items, or set splits: upstream",
            )
    kept = cut_splits(entry, clean, where)
    left = {split: len(kept[split]) for split in clean}
    if "dev" in left:
        left["dev"] += sum(len(kept[split]) for split in kept if split not in clean)
    return Selection(
        sizes={split: len(items) for split, items in outlines.items()},
        kept=kept,
        drops=drops,
        contradicted={split: contradictions(items) for split, items in outlines.items()},
        beyond={split: len(items) - left[split] for split, items in clean.items()},
    )
