"""One model that reads a batch of growing sequences, token by token, with a KV cache."""

from collections.abc import Sequence
from typing import Any

import torch


def pad_left(sequences: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and mask, rows by longest sequence, with padding on the left."""
    width = max(len(sequence) for sequence in sequences)
    ids = torch.zeros(len(sequences), width, dtype=torch.long)
    mask = torch.zeros(len(sequences), width, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, width - len(sequence) :] = torch.tensor(sequence)
        mask[row, width - len(sequence) :] = 1
    return ids.to(device), mask.to(device)


class Stepper:
    """The state of one model over a batch: what it has read of every row, and its logits for what comes next.

    Positions are counted per row, and padding is masked, so a row does not depend on its neighbours.

    Args:
        model: A causal language model in inference mode.
        device: Where it is.
        prompts: Token ids of every row; none is empty.

    Attributes:
        logits: Logits of the next token, rows by vocabulary, at least float32.
    """

    def __init__(self, model: Any, device: torch.device, prompts: Sequence[Sequence[int]]) -> None:
        from transformers import DynamicCache

        self._model, self._device = model, device
        ids, self._mask = pad_left(prompts, device)
        positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        self._next = positions[:, -1] + 1
        self._cache = DynamicCache(config=model.config)
        self.logits = self._forward(ids, positions)

    def feed(self, tokens: torch.Tensor) -> None:
        """Append one token to every row."""
        tokens = tokens.to(self._device)
        self._mask = torch.cat([self._mask, self._mask.new_ones(self._mask.shape[0], 1)], dim=-1)
        self.logits = self._forward(tokens[:, None], self._next[:, None])
        self._next = self._next + 1

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only, in this order; a row may appear more than once."""
        rows = rows.to(self._device)
        self._cache.batch_select_indices(rows)
        self._mask, self._next, self.logits = self._mask[rows], self._next[rows], self.logits[rows]

    def score(self, continuations: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return the log-probability of every token of one continuation per row, and forget the rows.

        Args:
            continuations: Token ids; may be empty.
        """
        first = torch.log_softmax(self.logits, dim=-1)
        width = max((len(each) for each in continuations), default=0)
        if width == 0:
            return [[] for _ in continuations]
        ids = torch.zeros(len(continuations), width, dtype=torch.long)
        for row, each in enumerate(continuations):
            ids[row, : len(each)] = torch.tensor(each, dtype=torch.long)
        ids = ids.to(self._device)
        picked = [first.gather(-1, ids[:, :1])]
        if width > 1:
            read = ids[:, :-1]
            # What follows a continuation's end is read too, but nothing before it looks ahead.
            self._mask = torch.cat([self._mask, self._mask.new_ones(read.shape)], dim=-1)
            positions = self._next[:, None] + torch.arange(width - 1, device=self._device)
            later = torch.log_softmax(self._forward(read, positions, last=False), dim=-1)
            picked.append(later.gather(-1, ids[:, 1:, None]).squeeze(-1))
        values = torch.cat(picked, dim=-1).tolist()
        return [row[: len(each)] for row, each in zip(values, continuations, strict=True)]

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor, *, last: bool = True) -> torch.Tensor:
        output = self._model(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1 if last else 0,
        )
        logits: torch.Tensor = output.logits[:, -1] if last else output.logits
        return logits if logits.dtype == torch.float64 else logits.float()
