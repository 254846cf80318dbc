"""Which items of a source a task keeps, and which of dev become the splits train and distill.

Draws are named by seed, split and domain only, so that tasks over one source with one seed draw the same items.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Protocol, TypeVar

from moco.config.tasks import SPLITS, TaskEntry
from moco.errors import RequestError
from moco.seeds import generator
from moco.tasks.layout import cut_off


class Drawn(Protocol):
    """What a draw looks at; `RawItem` and `Outline` have it."""

    @property
    def row(self) -> int:
        """Position in the source's split."""

    @property
    def domain(self) -> str:
        """Domain at the source."""

    @property
    def group(self) -> str | None:
        """Items of one group are drawn together."""


Item = TypeVar("Item", bound=Drawn)


def cut_splits(entry: TaskEntry, items: Mapping[str, list[Item]], where: str = "") -> dict[str, list[Item]]:
    """Return the items of every split of the task: limits applied, train and distill cut off the limited dev.

    Train is cut first, so that it is the same with and without a split distill.

    Args:
        entry: The task.
        items: What the source delivers, by split.
        where: The task, as errors name it.

    Raises:
        RequestError: A limit or a share leaves a split without items.
    """
    kept = {
        split: limited(rows, entry.limit[split], entry.seed, split, where) if split in entry.limit else list(rows)
        for split, rows in items.items()
    }
    whole = len(kept.get("dev", ()))
    for split, share in cut_off(entry).items():
        kept["dev"], kept[split] = cut(kept["dev"], share, entry.seed, where, split, whole)
        if split in entry.limit:
            kept[split] = limited(kept[split], entry.limit[split], entry.seed, split, where)
    return {split: kept[split] for split in SPLITS if split in kept}


def limited(items: Sequence[Item], most: int, seed: int, split: str, where: str = "") -> list[Item]:
    """Return at most `most` items in source order, in equal shares of the domains as far as available.

    Items of one group are kept or left out together, because group scores need complete groups; with groups fewer
    than `most` items may remain.

    Raises:
        RequestError: The limit is not positive, or smaller than every group.
    """
    if most < 1:
        raise RequestError(f"limit of {split} is {most}", where=where, remedy="give at least 1, or leave the split out")
    if most >= len(items):
        return list(items)
    domains = _units_by_domain(items, "limit", seed, split)
    shares = _equal_shares({domain: _size(units) for domain, units in domains.items()}, most)
    chosen = _pick(domains, shares, most)
    if not chosen:
        smallest = min(len(unit) for units in domains.values() for unit in units)
        raise RequestError(
            f"limit of {split} is {most}, but its smallest group has {smallest} items",
            where=where,
            remedy=f"give at least {smallest}",
        )
    return sorted(chosen, key=lambda item: item.row)


def divide(items: Sequence[Item], count: int, *names: Any) -> tuple[list[Item], list[Item]]:
    """Return the items without a part of about `count`, and that part, both in source order.

    Every domain gives the same share as nearly as whole items and whole groups allow.

    Args:
        items: What is divided.
        count: Size of the part; groups can make it smaller.
        names: Name the draw.
    """
    domains = _units_by_domain(items, *names)
    sizes = {domain: _size(units) for domain, units in domains.items()}
    part = sorted(_pick(domains, _proportional_shares(sizes, count), count), key=lambda item: item.row)
    taken = {item.row for item in part}
    return [item for item in items if item.row not in taken], part


def cut(
    items: Sequence[Item], share: float, seed: int, where: str = "", split: str = "distill", whole: int | None = None
) -> tuple[list[Item], list[Item]]:
    """Return dev without a share that becomes another split, and that share, both in source order.

    Every domain gives the same share as nearly as whole items and whole groups allow.

    Args:
        items: What is left of dev.
        share: Of the whole.
        seed: Of the draw, with the split.
        where: The task, as errors name it.
        split: What is cut off.
        whole: Size of dev before anything was cut off; that of `items` when left out.

    Raises:
        RequestError: One of the two would be empty.
    """
    whole = len(items) if whole is None else whole
    dev, part = divide(items, int(share * whole + 0.5), split, seed)
    if not dev or not part:
        raise RequestError(
            f"{split} = {share} of {whole} dev items leaves {'dev' if part else split} empty",
            where=where,
            remedy=f"change {split}, or use more dev items",
        )
    return dev, part


def _units_by_domain(items: Sequence[Item], *names: Any) -> dict[str, list[list[Item]]]:
    """Return what is drawn as one piece, by domain; domains and their units in seeded order."""
    groups: dict[str, list[Item]] = {}
    domains: dict[str, list[list[Item]]] = defaultdict(list)
    for item in items:
        if item.group in groups:
            groups[item.group].append(item)
            continue
        unit = [item]
        domains[item.domain].append(unit)
        if item.group is not None:
            groups[item.group] = unit
    ordered = sorted(domains)
    return {
        domain: [
            domains[domain][at] for at in generator("tasks", *names, "items", domain).permutation(len(domains[domain]))
        ]
        for domain in (ordered[at] for at in generator("tasks", *names, "domains").permutation(len(ordered)))
    }


def _size(units: Sequence[list[Item]]) -> int:
    return sum(len(unit) for unit in units)


def _equal_shares(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    shares = {}
    left = total
    for place, domain in enumerate(sorted(sizes, key=lambda name: sizes[name])):
        shares[domain] = min(sizes[domain], left // (len(sizes) - place))
        left -= shares[domain]
    return shares


def _proportional_shares(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    everything = sum(sizes.values())
    exact = {domain: Fraction(size * total, everything) for domain, size in sizes.items()}
    shares = {domain: int(part) for domain, part in exact.items()}
    by_remainder = sorted(sizes, key=lambda domain: shares[domain] - exact[domain])
    for domain in by_remainder[: total - sum(shares.values())]:
        shares[domain] += 1
    return shares


def _pick(domains: Mapping[str, Sequence[list[Item]]], shares: Mapping[str, int], total: int) -> list[Item]:
    chosen: list[Item] = []
    passed_over = []
    for domain, units in domains.items():
        room = shares[domain]
        for unit in units:
            if len(unit) <= room:
                chosen += unit
                room -= len(unit)
            else:
                passed_over.append(unit)
    # Groups can leave room in a share that no unit of that domain fits; units of any domain may use it.
    for unit in passed_over:
        if len(chosen) == total:
            break
        if len(chosen) + len(unit) <= total:
            chosen += unit
    return chosen
