"""A small registry: names to objects, collisions refused, near misses suggested, plug-ins by entry point."""

import difflib
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from moco.errors import RequestError

T = TypeVar("T")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a remedy for an unknown name: the closest known ones, or all of them when few.

    A name that looks like the unknown one (blanks around it, another Unicode form) is shown so that the difference is
    seen.
    """
    names = sorted(set(known) - {name})
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return (
            "did you mean " + " or ".join(ascii(each) if _looks(each) == _looks(name) else each for each in close) + "?"
        )
    return "known: " + (", ".join(names) if names else "none")


def _looks(name: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKC", name) if char.isprintable() and not char.isspace())


class Registry(Generic[T]):
    """Objects of one kind by name.

    Args:
        kind: What the objects are, as it reads in an error: `method`, `scorer`.
        group: Entry-point group that third parties use; its modules register on import.

    Attributes:
        broken: Modules that could not be imported, with what is wrong with them. What needs none of them goes on.
        collisions: Names that two objects claim; none of the two can be had.
    """

    def __init__(self, kind: str, group: str | None = None) -> None:
        self.kind = kind
        self._group = group
        self._objects: dict[str, T] = {}
        self._plugins_loaded = group is None
        self.broken: dict[str, str] = {}
        self.collisions: dict[str, RequestError] = {}

    def add(self, name: str, item: T) -> None:
        """Register `item`.

        Raises:
            RequestError: The name is taken; the message names both origins.
        """
        if name in self._objects:
            self.collisions[name] = RequestError(
                f"{self.kind} {name!r} is registered twice ({_origin(self._objects[name])} and {_origin(item)})",
                remedy="rename one of them",
            )
            raise self.collisions[name]
        self._objects[name] = item

    def load(self, module: str, load: Callable[[], object]) -> None:
        """Import a module that registers objects; a fault of it is noted in `broken`, and what it registered forgotten."""
        before = set(self._objects)
        try:
            load()
        except (Exception, SystemExit) as error:
            self.broken[module] = fault(error)
            for name in set(self._objects) - before:
                if self._objects[name].__module__ not in sys.modules:  # where an import failed, nothing is left
                    del self._objects[name]

    def _load_plugins(self) -> None:
        if not self._plugins_loaded and self._group:
            self._plugins_loaded = True
            for point in sorted(entry_points(group=self._group), key=lambda entry: entry.name):
                self.load(point.value, point.load)

    def get(self, name: str, *, where: str = "") -> T:
        """Return the object called `name`.

        Raises:
            RequestError: There is none, or two; the message suggests the closest names, and names broken modules.
        """
        self._load_plugins()
        if name in self.collisions:
            raise self.collisions[name]
        if name not in self._objects:
            broken = [f"or correct {module} ({what})" for module, what in self.broken.items()]
            remedy = "; ".join([did_you_mean(name, self._objects), *broken])
            raise RequestError(f"unknown {self.kind} {name!r}", where=where, remedy=remedy)
        return self._objects[name]

    def __contains__(self, name: str) -> bool:
        self._load_plugins()
        return name in self._objects

    def __iter__(self) -> Iterator[str]:
        self._load_plugins()
        return iter(sorted(self._objects))


def fault(error: BaseException) -> str:
    """Return what went wrong in a module, and in which line."""
    if isinstance(error, RequestError):
        return str(error)
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    text = " ".join(str(error).split())
    return f"line {place.tb_lineno if place else '?'}: {type(error).__name__}{f': {text}' if text else ''}"[:200]


def _origin(item: object) -> str:
    return (
        f"{getattr(item, '__module__', type(item).__module__)}.{getattr(item, '__qualname__', type(item).__qualname__)}"
    )
