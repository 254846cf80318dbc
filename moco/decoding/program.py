"""Programs: how several live models write replies together. Imports no torch, so methods can name programs.

A program is a value: it has a key, which is part of the key of every reply that it writes, and it may not remember
anything between batches. Its replies must depend on a row alone, never on the other rows of the batch.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from moco.decoding.loop import Row
    from moco.decoding.session import Session


class Program(Protocol):
    """A way to write jointly; hashable."""

    @property
    def one_vocabulary(self) -> bool:
        """Whether token ids must mean the same to all members."""
        ...

    def key(self) -> Any:
        """Return what tells this program from others, as JSON values: all that can change a text."""
        ...

    def members(self, fingerprints: Sequence[str]) -> tuple[list[int], "Program"]:
        """Return which of some models take part, in canonical order, and the program of just these.

        What two orders or a repetition of the same models cannot change must lead to the same models and program.
        """
        ...

    def run(self, session: "Session", rows: Sequence["Row"]) -> Iterator["Row"]:
        """Write all rows, and yield each as it finishes.

        Args:
            session: The members, in the order of `members`.
            rows: Empty replies with their prompts and settings.
        """
        ...
