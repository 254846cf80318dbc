"""A small registry: names to objects, collisions refused, near misses suggested, plug-ins by entry point."""

import difflib
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from moco.errors import RequestError

T = TypeVar("T")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a remedy for an unknown name: the closest known ones, or all of them when few."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    return "known: " + (", ".join(names) if names else "none")


class Registry(Generic[T]):
    """Objects of one kind by name.

    Args:
        kind: What the objects are, as it reads in an error: `method`, `scorer`.
        group: Entry-point group that third parties use; its modules register on import.
    """

    def __init__(self, kind: str, group: str | None = None) -> None:
        self.kind = kind
        self._group = group
        self._objects: dict[str, T] = {}
        self._plugins_loaded = group is None

    def add(self, name: str, item: T) -> None:
        """Register `item`.

        Raises:
            RequestError: The name is taken; the message names both origins.
        """
        if name in self._objects:
            raise RequestError(
                f"{self.kind} {name!r} is registered twice ({_origin(self._objects[name])} and {_origin(item)})",
                remedy="rename one of them",
            )
        self._objects[name] = item

    def _load_plugins(self) -> None:
        if not self._plugins_loaded and self._group:
            self._plugins_loaded = True
            for point in sorted(entry_points(group=self._group), key=lambda entry: entry.name):
                point.load()

    def get(self, name: str, *, where: str = "") -> T:
        """Return the object called `name`.

        Raises:
            RequestError: There is none; the message suggests the closest names.
        """
        self._load_plugins()
        if name not in self._objects:
            raise RequestError(f"unknown {self.kind} {name!r}", where=where, remedy=did_you_mean(name, self._objects))
        return self._objects[name]

    def __contains__(self, name: str) -> bool:
        self._load_plugins()
        return name in self._objects

    def __iter__(self) -> Iterator[str]:
        self._load_plugins()
        return iter(sorted(self._objects))


def _origin(item: object) -> str:
    return (
        f"{getattr(item, '__module__', type(item).__module__)}.{getattr(item, '__qualname__', type(item).__qualname__)}"
    )
