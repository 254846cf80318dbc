"""What the models of the zoo are trained for: the next token, a preference between replies, or nearness of texts."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from moco.zoo.curriculum import Pair, pairs
from moco.zoo.networks import inner
from moco.zoo.preferences import preferences
from moco.zoo.roster import ZooModel
from moco.zoo.similarity import labelled_texts

_ROWS = 8
_TEMPERATURE = 0.1

Row = tuple[list[int], list[bool]]


class Objective(Protocol):
    """The loss of a step, in parts that are backpropagated one after the other to save memory."""

    def parts(self, network: Any, step: int) -> Iterator[torch.Tensor]:
        """Yield losses whose sum is that of the step."""


def encode(tokenizer: PreTrainedTokenizerFast, examples: Sequence[Pair]) -> list[Row]:
    """Return each example as tokens, rendered as at inference, with a mark on those that are taught."""
    chats = [[{"role": "user", "content": pair.prompt}] for pair in examples]
    prompts = tokenizer.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)
    replies = [pair.completion + str(tokenizer.eos_token) for pair in examples]
    starts = tokenizer(prompts, add_special_tokens=False)["input_ids"]
    ends = tokenizer(replies, add_special_tokens=False)["input_ids"]
    return [(start + end, [False] * len(start) + [True] * len(end)) for start, end in zip(starts, ends, strict=True)]


def padded(rows: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
    """Return rows of numbers as one array; padding comes last, where causal attention never looks back at it."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])


class NextToken:
    """Cross-entropy of the completions: the mean over examples of the mean over an example's tokens.

    A reply of one number so counts as much as one of many words.
    """

    def __init__(self, model: ZooModel, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self._model, self._tokenizer, self._seed = model, tokenizer, seed

    def parts(self, network: Any, step: int) -> Iterator[torch.Tensor]:
        """Yield the loss of a few rows of similar length at a time."""
        rows = sorted(encode(self._tokenizer, pairs(self._model, step, self._seed)), key=lambda row: len(row[0]))
        for start in range(0, len(rows), _ROWS):
            yield self._loss(inner(network), rows[start : start + _ROWS]) / len(rows)

    def _loss(self, network: Any, rows: Sequence[Row]) -> torch.Tensor:
        ids = padded([tokens for tokens, _ in rows], int(self._tokenizer.pad_token_id))
        taught = padded([marks for _, marks in rows], False)[:, 1:]
        shares = (taught / taught.sum(1, keepdim=True))[taught]
        hidden = network.base_model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        logits = network.get_output_embeddings()(hidden[taught])
        return (functional.cross_entropy(logits, ids[:, 1:][taught], reduction="none") * shares).sum()


class Preference:
    """Bradley-Terry loss: the right reply gets a higher reward than the wrong one."""

    def __init__(self, model: ZooModel, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self._model, self._tokenizer, self._seed = model, tokenizer, seed

    def parts(self, network: Any, step: int) -> Iterator[torch.Tensor]:
        """Yield the loss of a few pairs of similar length at a time."""
        made = preferences(self._model, step, self._seed)
        made.sort(key=lambda one: len(one.prompt))
        for start in range(0, len(made), _ROWS):
            part = made[start : start + _ROWS]
            replies = [Pair(one.prompt, text) for one in part for text in (one.right, one.wrong)]
            rows = [tokens for tokens, _ in encode(self._tokenizer, replies)]
            ids = padded(rows, int(self._tokenizer.pad_token_id))
            mask = padded([[1] * len(row) for row in rows], 0)
            rewards = network(input_ids=ids, attention_mask=mask, use_cache=False).logits.view(-1, 2)
            yield -functional.logsigmoid(rewards[:, 0] - rewards[:, 1]).sum() / len(made)


def pooled(network: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return one unit vector per text, (texts, hidden): the mean of its tokens' last hidden states."""
    hidden = network(input_ids=ids, attention_mask=mask).last_hidden_state
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=-1)


class Contrast:
    """Supervised contrastive loss: texts of one skill are nearer to each other than to all others."""

    def __init__(self, model: ZooModel, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self._model, self._tokenizer, self._seed = model, tokenizer, seed

    def parts(self, network: Any, step: int) -> Iterator[torch.Tensor]:
        """Yield the loss of the whole step, since every text is compared with every other."""
        texts, skills = zip(*labelled_texts(self._model, step, self._seed), strict=True)
        rows = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        ids = padded(rows, int(self._tokenizer.pad_token_id))
        vectors = pooled(network, ids, padded([[1] * len(row) for row in rows], 0))
        itself = torch.eye(len(rows), dtype=torch.bool)
        scores = (vectors @ vectors.T / _TEMPERATURE).masked_fill(itself, -torch.inf)
        alike = torch.tensor([[one == other for other in skills] for one in skills]) & ~itself
        share = alike / alike.sum(1, keepdim=True).clamp(min=1)
        logs = torch.log_softmax(scores, dim=-1).masked_fill(itself, 0.0)
        yield -(share * logs).sum(1).mean()


OBJECTIVES: dict[str, Callable[[ZooModel, PreTrainedTokenizerFast, int], Objective]] = {
    "chat": NextToken,
    "reward": Preference,
    "embed": Contrast,
}
