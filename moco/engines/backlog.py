"""Requests that an engine has still to answer, while other processes may store some of them."""

import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Generic, Protocol, TypeVar, overload


class Keyed(Protocol):
    """A request, or what is made of it."""

    @property
    def key(self) -> str:
        """Of the request."""
        ...


R = TypeVar("R")
K = TypeVar("K", bound=Keyed)


class Backlog(Sequence[R], Generic[R]):
    """The requests of one piece of work, and which of them another process has stored since it began.

    As a sequence it is all of them. An engine that asks `taken` before it begins a batch, or works through `waiting`,
    makes none that is in the store already.

    Args:
        requests: By store key.
    """

    def __init__(self, requests: Mapping[str, R]) -> None:
        self._requests = dict(requests)
        self._order = list(self._requests.values())
        self._taken: set[str] = set()
        self._times_overtaken = 0
        # No result depends on the order of work, and equal processes must not draw the same.
        self._random = random.SystemRandom()

    @overload
    def __getitem__(self, place: int) -> R: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[R]: ...

    def __getitem__(self, place: int | slice) -> R | Sequence[R]:
        return self._order[place]

    def __len__(self) -> int:
        return len(self._order)

    @property
    def taken(self) -> AbstractSet[str]:
        """Keys of the requests that need no answer any more."""
        return self._taken

    def left(self) -> list[str]:
        """Return the keys of all other requests, answered here or not."""
        return [key for key in self._requests if key not in self._taken]

    def take(self, keys: AbstractSet[str]) -> None:
        """Note that another process has stored requests."""
        self._taken |= keys

    def overtaken(self) -> None:
        """Note that another process was faster with a request that was answered here too: it has the same order."""
        self._times_overtaken += 1

    def place(self, pieces: int) -> int:
        """Return which of several pieces, those in everybody's order that nobody has stored, to begin now.

        It is the first, and after being overtaken one of the later half, where the other process comes last.
        """
        return self._random.randrange(pieces // 2, pieces) if self._times_overtaken else 0

    def waiting(self) -> Iterator[R]:
        """Yield requests one by one, for an engine with many under way; one thread at a time may go on."""
        keys = deque(self._requests)
        times_overtaken = 0
        while keys:
            if times_overtaken != self._times_overtaken:
                times_overtaken = self._times_overtaken
                keys.rotate(-self.place(len(keys)))
            key = keys.popleft()
            if key not in self._taken:
                yield self._requests[key]


def as_backlog(requests: Sequence[K]) -> Backlog[K]:
    """Return requests as a backlog; those that are none already are nobody else's work."""
    return requests if isinstance(requests, Backlog) else Backlog({request.key: request for request in requests})
