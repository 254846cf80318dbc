"""Entries of a study, expanded: what is asked of methods, what fits make, and what never becomes a job."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from moco.errors import RequestError
from moco.registry import did_you_mean

_Entry = TypeVar("_Entry")


@dataclass(frozen=True)
class Cell:
    """A method variant on a pool and a batch, with the run seeds for which it is asked."""

    pool: str
    batch: str
    variant: str
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Made:
    """A model that a fit makes: of which pool, batch, task, variant and seed, and its name in the method's needs.

    Batch and task are `paths.ALL` where one fit serves all tasks.
    """

    pool: str
    batch: str
    task: str
    variant: str
    seed: int
    name: str


@dataclass(frozen=True)
class NotApplicable:
    """A variant on a pool and a batch that never becomes a job, with the reason that tables show."""

    pool: str
    batch: str
    variant: str
    reason: str


def known_entry(name: str, known: Mapping[str, _Entry], kind: str) -> _Entry:
    """Return an entry by its name.

    Raises:
        RequestError: There is none of this name.
    """
    if name not in known:
        raise RequestError(f"unknown {kind} {name!r}", remedy=did_you_mean(name, known))
    return known[name]
