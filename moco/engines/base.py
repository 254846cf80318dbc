"""The protocol of an engine: what runs one model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from moco.config.decoding import Decoding
from moco.store.generations import Stored


@dataclass(frozen=True)
class TokenRequest:
    """A request as an engine gets it: token ids, settings, a seed; its result depends on nothing else.

    Attributes:
        key: Store key.
        prompt: Token ids.
        decoding: Settings.
        seed: Of the request; None for greedy decoding.
    """

    key: str
    prompt: tuple[int, ...]
    decoding: Decoding
    seed: int | None


class Engine(Protocol):
    """One loaded model."""

    memory_bytes: int
    """What the loaded weights occupy."""

    def generate(self, requests: Sequence[TokenRequest]) -> Iterator[Stored]:
        """Yield replies as they finish, in any order."""
        ...

    def score_text(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[list[float]]:
        """Return the raw log-probability of every continuation token.

        Args:
            pairs: Prompt ids and continuation ids.

        Returns:
            One list per pair, as long as its continuation.
        """
        ...

    def close(self) -> None:
        """Free the memory."""
        ...
