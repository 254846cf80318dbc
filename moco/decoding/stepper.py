"""One model that reads a batch of growing sequences, token by token, with a KV cache."""

import copy
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from transformers import DynamicCache

from moco.decoding.cache import can_be_stacked, stacked
from moco.errors import WorkError

_PIECE = {"cpu": 1024}
_PIECE_ELSEWHERE = 8192
"""Padded tokens of prompts that are read at once: wide enough for full speed, and no wider, since that pads more."""


def pad_left(sequences: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and mask, rows by longest sequence, with padding on the left."""
    width = max(len(sequence) for sequence in sequences)
    ids = torch.zeros(len(sequences), width, dtype=torch.long)
    mask = torch.zeros(len(sequences), width, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, width - len(sequence) :] = torch.tensor(sequence, dtype=torch.long)
        mask[row, width - len(sequence) :] = 1
    return ids.to(device), mask.to(device)


def _pieces(prompts: Sequence[Sequence[int]], tokens: int) -> Iterator[list[Sequence[int]]]:
    """Yield prompts that are read together, in order; those of similar length should be neighbours.

    Args:
        prompts: Of all rows.
        tokens: Most padded tokens of a piece; a single longer prompt is a piece of its own.
    """
    piece: list[Sequence[int]] = []
    width = 0
    for prompt in prompts:
        width = max(width, len(prompt))
        if piece and (len(piece) + 1) * width > tokens:
            yield piece
            piece, width = [], len(prompt)
        piece.append(prompt)
    yield piece


def finite(logits: torch.Tensor, where: str) -> torch.Tensor:
    """Return logits of shape (..., vocabulary) that can be chosen from.

    Raises:
        WorkError: Some are no numbers or overflow; a token drawn from them would be no answer of the model.
    """
    # The largest is NaN where one of them is, and minus infinity where nothing is left to choose.
    if not bool(torch.isfinite(logits.amax(dim=-1)).all()):
        raise not_finite(where)
    return logits


def not_finite(where: str) -> WorkError:
    """Return the error for a model whose numbers are none."""
    what = "gives numbers that are not finite (NaN or overflow), so nothing is stored"
    return WorkError(what, where=where, remedy="set another engine.dtype or engine.attention for this model")


class Tally:
    """Tokens of prompts and given texts that a model has read, without padding and without what it wrote itself."""

    def __init__(self) -> None:
        self.tokens = 0


class Stepper:
    """The state of one model over a batch: what it has read of every row, and its logits for what comes next.

    Positions are counted per row, and padding is masked, so a row does not depend on its neighbours. Prompts
    are read in pieces, and go on together; a prompt that stands in neighbouring rows is read once.

    Args:
        model: A causal language model in inference mode.
        device: Where it is.
        prompts: Token ids of every row; none is empty.
        where: Names model and settings in errors.
        tally: Counts what is read.

    Attributes:
        logits: Logits of the next token, rows by vocabulary, at least float32.
    """

    def __init__(
        self,
        model: Any,
        device: torch.device,
        prompts: Sequence[Sequence[int]],
        where: str = "",
        tally: Tally | None = None,
    ) -> None:
        self._model, self._device, self._where, self._tally = model, device, where, tally or Tally()
        equal = [(prompt, len(list(rows))) for prompt, rows in groupby(map(tuple, prompts))]
        different = [prompt for prompt, _ in equal]
        stackable = can_be_stacked(model.config)
        tokens = _PIECE.get(device.type, _PIECE_ELSEWHERE)
        read = [self._read(piece) for piece in (_pieces(different, tokens) if stackable else [different])]
        self.logits = torch.cat([logits for logits, _ in read])
        caches = [cache for _, cache in read]
        self._mask = pad_left(different, device)[1]
        self._cache = stacked(caches, model.config, self._mask.shape[1]) if stackable else caches[0]
        self._next = self._mask.sum(-1)
        if len(different) < len(prompts):
            counts = torch.tensor([count for _, count in equal])
            self.keep(torch.arange(len(different)).repeat_interleave(counts))

    def _read(self, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, DynamicCache]:
        self._tally.tokens += sum(map(len, prompts))
        ids, mask = pad_left(prompts, self._device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = DynamicCache(config=self._model.config)
        return self._forward(ids, mask, positions, cache), cache

    def feed(self, tokens: torch.Tensor, rows: torch.Tensor | None = None) -> None:
        """Append one token to every row, or go on with some rows and append one to each of those."""
        if rows is not None:
            self._select(rows)
        tokens = tokens.to(self._device)
        self._mask = torch.cat([self._mask, self._mask.new_ones(self._mask.shape[0], 1)], dim=-1)
        self.logits = self._forward(tokens[:, None], self._mask, self._next[:, None], self._cache)
        self._next = self._next + 1

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only, in this order; a row may appear more than once."""
        self._select(rows)
        self.logits = self.logits[rows.to(self._device)]

    def _select(self, rows: torch.Tensor) -> None:
        # The cache compares them with where rows are now, which a GPU would have to be waited for in every layer.
        self._cache.batch_select_indices(rows.cpu())
        rows = rows.to(self._device)
        self._mask, self._next = self._mask[rows], self._next[rows]

    def splice(self, cut: Sequence[int], added: Sequence[Sequence[int]]) -> None:
        """Forget the last tokens of each row, and append others; a row without new tokens loses none, and keeps its logits.

        What is forgotten is masked, and so is what fills up shorter additions.

        Args:
            cut: Tokens that each row forgets; some of those that it has read must stay.
            added: Token ids that each row then reads.
        """
        for row, count in enumerate(cut):
            if count:
                self._mask[row, self._mask[row].nonzero().squeeze(-1)[-count:]] = 0
        self._next = self._next - torch.tensor(cut, device=self._device)
        ids, own = pad_left(added, self._device)
        self._mask = torch.cat([self._mask, own], dim=-1)
        positions = (self._next[:, None] + own.cumsum(-1) - 1).clamp(min=0)
        logits = self._forward(ids, self._mask, positions, self._cache)
        self.logits = torch.where(own.any(-1)[:, None], logits, self.logits)
        self._next = self._next + own.sum(-1)

    def score(self, continuations: Sequence[Sequence[int]], rows: Sequence[int] | None = None) -> list[list[float]]:
        """Return the log-probability of every token of given continuations, and forget the rows.

        Args:
            continuations: Token ids; may be empty.
            rows: Which row each of them follows; a row may appear more than once. Left out, one per row.
        """
        follows = torch.tensor(range(len(continuations)) if rows is None else rows)
        scored: list[list[float]] = [[] for _ in continuations]
        written = [place for place, each in enumerate(continuations) if each]
        first = torch.log_softmax(self.logits, dim=-1)
        begin = torch.tensor([continuations[place][0] for place in written], dtype=torch.long)
        known = first[follows[written].to(self._device), begin.to(self._device)].tolist()
        for place, value in zip(written, known, strict=True):
            scored[place].append(value)
        # The logits of a last token are wanted by nobody, so texts of one token are read no further.
        longer = [place for place in written if len(continuations[place]) > 1]
        if longer:
            # Where nothing moves, nothing is selected: not every cache can be.
            if follows[longer].tolist() != list(range(len(self.logits))):
                self._select(follows[longer])
            later = self._score_after_first([continuations[place] for place in longer])
            for place, values in zip(longer, later, strict=True):
                scored[place] += values
        return scored

    def _score_after_first(self, continuations: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return the log-probability of every token but the first, of one continuation per row."""
        width = max(map(len, continuations))
        ids = torch.zeros(len(continuations), width, dtype=torch.long)
        for row, each in enumerate(continuations):
            ids[row, : len(each)] = torch.tensor(each, dtype=torch.long)
        ids = ids.to(self._device)
        read = ids[:, :-1]
        self._tally.tokens += sum(len(each) - 1 for each in continuations)
        # What follows a continuation's end is read too, but nothing before it looks ahead.
        self._mask = torch.cat([self._mask, self._mask.new_ones(read.shape)], dim=-1)
        positions = self._next[:, None] + torch.arange(width - 1, device=self._device)
        logprobs = torch.log_softmax(self._forward(read, self._mask, positions, self._cache, last=False), dim=-1)
        values = logprobs.gather(-1, ids[:, 1:, None]).squeeze(-1).tolist()
        return [row[: len(each) - 1] for row, each in zip(values, continuations, strict=True)]

    def _forward(
        self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache, *, last: bool = True
    ) -> torch.Tensor:
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1 if last else 0,
        )
        logits: torch.Tensor = output.logits[:, -1] if last else output.logits
        return finite(logits if logits.dtype == torch.float64 else logits.float(), self._where)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Stepper":
        """Return a stepper that goes on by itself from here, with the same model."""
        twin = copy.copy(self)
        twin._cache = copy.deepcopy(self._cache, memo)
        return twin
