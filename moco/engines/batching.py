"""Batches of requests of similar length, so that little is spent on padding."""

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar


class Sized(Protocol):
    """What is batched: a request with a key."""

    @property
    def key(self) -> str:
        """Breaks ties between requests of equal width."""
        ...

    @property
    def width(self) -> int:
        """Tokens that the request occupies."""
        ...


R = TypeVar("R", bound=Sized)


def batches(requests: Sequence[R], rows: int, tokens: int) -> Iterator[list[R]]:
    """Yield batches in descending order of length, so that memory runs out first if it ever does.

    Args:
        requests: In any order.
        rows: Most requests per batch.
        tokens: Most padded tokens per batch, prompt and reply; a single longer request is a batch of its own.
    """
    ordered = sorted(requests, key=lambda request: (-request.width, request.key))
    batch: list[R] = []
    width = 0
    for request in ordered:
        width = max(width, request.width)
        if batch and (len(batch) >= rows or (len(batch) + 1) * width > tokens):
            yield batch
            batch, width = [], request.width
        batch.append(request)
    if batch:
        yield batch
