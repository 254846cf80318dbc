"""The protocol of an engine: what runs one model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from moco.config.decoding import Decoding
from moco.store.generations import Measured, Stored

if TYPE_CHECKING:
    from moco.decoding.loop import Row, Steps


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

    @property
    def width(self) -> int:
        """Most tokens that the request occupies: prompt and reply."""
        return len(self.prompt) + self.decoding.max_new_tokens


@dataclass(frozen=True)
class ServedRequest:
    """A request to a served model: text instead of token ids, since its tokenizer is not at hand.

    Attributes:
        key: Store key.
        prompt: One user turn.
        decoding: Settings.
        seed: Of the request; None for greedy decoding.
    """

    key: str
    prompt: str
    decoding: Decoding
    seed: int | None

    @property
    def width(self) -> int:
        """About as many tokens as the request occupies; a token has some four characters."""
        return len(self.prompt) // 4 + self.decoding.max_new_tokens


@dataclass(frozen=True)
class TextRequest:
    """Text whose log-probability is wanted.

    Attributes:
        key: Store key.
        prompt: Token ids of the prompt.
        continuation: Token ids of the text; may be empty.
    """

    key: str
    prompt: tuple[int, ...]
    continuation: tuple[int, ...]

    @property
    def width(self) -> int:
        """Tokens that the request occupies."""
        return len(self.prompt) + len(self.continuation)

    def scored(self, text: str, logprobs: Sequence[float], seconds: float) -> Stored:
        """Return the text with its log-probabilities as it is stored.

        Args:
            text: The decoded continuation.
            logprobs: One per token of it.
            seconds: Share of its batch's time.
        """
        return Stored(
            key=self.key,
            text=text,
            finish="scored",
            prompt_tokens=len(self.prompt),
            tokens=list(self.continuation),
            logprobs=list(logprobs),
            top_k=0,
            top_ids=[],
            top_logprobs=[],
            tail=[],
            seconds=seconds,
        )


Pooling = Literal["mask", "padded"]
"""What a text's vector is the mean of: its own positions, or all positions of a text padded to full length."""


@dataclass(frozen=True)
class MeasureRequest:
    """A text, or a conversation, that a model reads without writing.

    Attributes:
        key: Store key.
        tokens: Token ids.
        pooling: How the vector is pooled; None for a reward.
        positions: Positions that the text is padded to; 0: no more than its batch needs.
    """

    key: str
    tokens: tuple[int, ...]
    pooling: Pooling | None = None
    positions: int = 0

    @property
    def width(self) -> int:
        """Positions that the request occupies."""
        return max(len(self.tokens), self.positions, 1)


class Resident(Protocol):
    """What is kept in memory for the next round."""

    memory_bytes: int
    """What the loaded weights occupy."""

    def close(self) -> None:
        """Free the memory."""
        ...


class RewardEngine(Resident, Protocol):
    """A loaded model that rates replies."""

    def reward(self, requests: Sequence[MeasureRequest]) -> Iterator[Measured]:
        """Yield the reward of each conversation, in any order."""
        ...


class EmbedEngine(Resident, Protocol):
    """A loaded model that maps texts to vectors."""

    def embed(self, requests: Sequence[MeasureRequest]) -> Iterator[Measured]:
        """Yield the vector of each text, in any order."""
        ...


class Engine(Resident, Protocol):
    """One loaded model that writes."""

    @property
    def read_tokens(self) -> int:
        """Tokens of prompts and given texts that it has read so far, without padding; what is shared counts once."""
        ...

    def generate(self, requests: Sequence[TokenRequest]) -> Iterator[Stored]:
        """Yield replies as they finish, in any order."""
        ...

    def score_text(self, requests: Sequence[TextRequest]) -> Iterator[Stored]:
        """Yield texts with the raw log-probability of each of their tokens, in any order."""
        ...


class LiveEngine(Engine, Protocol):
    """A loaded model that can be stepped token by token together with others."""

    top_logprobs: int
    """Alternatives that are stored per position."""

    stop_ids: frozenset[int]
    """Token ids that end a reply."""

    tokenizer: Any
    """Of transformers."""

    def stepper(self, prompts: Sequence[Sequence[int]]) -> "Steps":
        """Return the state of the model over a batch of prompts."""
        ...

    def stored(self, row: "Row") -> Stored:
        """Return a finished reply as it is stored."""
        ...
