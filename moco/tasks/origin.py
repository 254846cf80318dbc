"""Whether splits of two tasks can hold the same items, known from their declarations before any item is loaded."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from moco.config.expand import expand
from moco.config.tasks import HubSource, MocoSource, SyntheticSource, TableSource, TaskEntry
from moco.digest import digest
from moco.tasks.layout import cut_off, unresolved

_Part: TypeAlias = tuple[str, str]
"""The rule of a cut, and which part of it; parts of one rule share nothing."""

_REST = "rest"


def can_share(first: TaskEntry, split: str, second: TaskEntry, other: str) -> bool:
    """Return whether a split of a task can hold items that a split of another one, or of the same, holds.

    Items come from the same place of a source, and no rule that both follow keeps them apart. Texts are not compared.

    Args:
        first: A task whose source is not another task.
        split: Of it.
        second: Likewise.
        other: Split of the second task.
    """
    cuts, other_cuts = _cuts(first, split), _cuts(second, other)
    places = {place: parts for place, parts in _places(second, _of_source(second, other))}
    return any(
        place in places and not _apart([*parts, *cuts], [*places[place], *other_cuts])
        for place, parts in _places(first, _of_source(first, split))
    )


def _apart(parts: list[_Part], others: list[_Part]) -> bool:
    for (rule, part), (other_rule, other_part) in zip(parts, others, strict=False):
        if rule != other_rule:
            return False
        if part != other_part:
            return True
    return False


def _of_source(entry: TaskEntry, split: str) -> str:
    return "dev" if split in cut_off(entry) else split


def _places(entry: TaskEntry, split: str) -> Iterator[tuple[str, list[_Part]]]:
    """Yield where a split of a source lies, and what is taken of there."""
    match entry.source:
        case SyntheticSource(skills=skills, form=form, seed=seed):
            yield f"synthetic {skills} {form} {seed} {split}", []
        case MocoSource(path=path, stratify=True) as source if entry.splits == "clean":
            own = (digest("stratified", source.slice()), split)
            for name in ("dev", "test"):
                yield f"{Path(expand(path)).resolve()} {name}", [own]
        case MocoSource(path=path):
            yield f"{Path(expand(path)).resolve()} {split}", []
        case TableSource(paths=paths):
            yield from ((str(Path(expand(path)).resolve()), []) for name, path in paths.items() if name == split)
        case HubSource(repository=repository, configs=configs, splits=splits) as source:
            names = splits.get(split, ())  # type: ignore[call-overload]
            own = (digest("source", source.slice()), split)
            for config in configs or ("",):
                for name in (names,) if isinstance(names, str) else names:
                    yield f"{repository} {config} {name}", [own]
        case other:
            raise unresolved(other.task)


def _cuts(entry: TaskEntry, split: str) -> list[_Part]:
    """Return how a split is cut from dev, cut by cut."""
    if split not in ("dev", *cut_off(entry)):
        return []
    whole = [entry.limit.get("dev"), entry.seed, entry.splits, entry.group_pattern, entry.bad_rows]
    found: list[_Part] = []
    shares: list[tuple[str, float]] = []
    for name, share in cut_off(entry).items():
        shares.append((name, share))
        found.append((digest("cut", whole, shares), name if name == split else _REST))
        if name == split:
            break
    return found
