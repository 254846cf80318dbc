"""Rows of a source as they are read: an item, or the fault of a row that is none.

Whoever iterates decides what a fault means: `items` stops at the first, a check goes on and reports them all. A fault
of the file itself (missing, damaged, empty) is raised, since nothing can be read after it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Self

from moco.errors import RequestError
from moco.tasks.raw import RawItem

RowResult = RawItem | RequestError


class SplitRows:
    """The rows of one split, read anew by every iteration, so that no more than one is held.

    Args:
        read: Starts a reading.
    """

    def __init__(self, read: Callable[[], Iterator[RowResult]]) -> None:
        self._read = read

    @classmethod
    def of(cls, items: Sequence[RowResult]) -> Self:
        """Return rows that are held already."""
        return cls(lambda: iter(items))

    def __iter__(self) -> Iterator[RowResult]:
        return self._read()

    def items(self, bad: list[tuple[int, RequestError]] | None = None) -> Iterator[RawItem]:
        """Yield the items.

        Args:
            bad: Receives rows that are no items, with their faults; when it is left out, they stop the reading.

        Raises:
            RequestError: A row is malformed; the message names file, split and row.
        """
        for row, result in enumerate(self):
            if not isinstance(result, RequestError):
                yield result
            elif bad is None:
                hint = "correct the row, or set bad_rows: drop to leave such rows out"
                remedy = "; ".join(filter(None, (result.remedy, hint)))
                raise RequestError(result.what, where=result.where, remedy=remedy)
            else:
                bad.append((row, result))
