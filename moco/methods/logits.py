"""Cached logits as methods see them."""

from dataclasses import dataclass
from typing import Literal

LogitsKind = Literal["options", "reference", "response"]


@dataclass(frozen=True)
class OptionLogits:
    """How likely a reply is to begin with each option of a multiple choice item.

    Attributes:
        labels: Option letters, by position.
        label_logprobs: Log-probability of each letter.
        text_logprobs: Log-probability of each option's whole text, summed over its tokens.
        text_tokens: Number of tokens of each text.
        prompt_tokens: Tokens of the prompt.
        scored_tokens: Tokens of all letters and texts.
    """

    labels: tuple[str, ...]
    label_logprobs: tuple[float, ...]
    text_logprobs: tuple[float, ...]
    text_tokens: tuple[int, ...]
    prompt_tokens: int = 0
    scored_tokens: int = 0


@dataclass(frozen=True)
class ReferenceLogits:
    """Log-probability of each token of a reference answer, after the prompt."""

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    prompt_tokens: int = 0


@dataclass(frozen=True)
class ResponseLogits:
    """A plain response token by token, under the raw, untempered distribution.

    Attributes:
        tokens: Token ids of the whole reply, end of sequence included.
        logprobs: Log-probability of each.
        top_k: Stored alternatives per token.
        top_ids: One tuple of token ids per position, most likely first.
        top_logprobs: Their log-probabilities.
        tail: Probability mass outside them, per position.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    top_k: int
    top_ids: tuple[tuple[int, ...], ...]
    top_logprobs: tuple[tuple[float, ...], ...]
    tail: tuple[float, ...]


Logits = OptionLogits | ReferenceLogits | ResponseLogits
