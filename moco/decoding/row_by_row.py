"""The same steps as a `Stepper`'s, one row at a time: for models whose batches, padding or caches change a result."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from moco.decoding.stepper import Stepper, Tally, finite


class _Row(Protocol):
    """One growing sequence."""

    @property
    def logits(self) -> torch.Tensor:
        """Logits of the next token, of shape 1 by vocabulary."""
        ...

    def feed(self, tokens: torch.Tensor) -> None:
        """Append one token, of shape 1."""
        ...

    def score(self, continuations: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return the log-probabilities of one continuation, and forget the row."""
        ...


class UncachedRow:
    """A sequence that is read anew with every token, without padding.

    Args:
        model: A causal language model in inference mode.
        device: Where it is.
        prompt: Token ids.
        where: Names model and settings in errors.
        tally: Counts what is read, again and again.
    """

    def __init__(self, model: Any, device: torch.device, prompt: Sequence[int], where: str, tally: Tally) -> None:
        self._model, self._where, self._tally = model, where, tally
        self._ids = torch.tensor([list(prompt)], device=device)
        self.logits = self._read(self._ids)[:, -1]

    def _read(self, ids: torch.Tensor, drawn: int = 0) -> torch.Tensor:
        self._tally.tokens += ids.shape[1] - drawn
        logits: torch.Tensor = self._model(input_ids=ids, use_cache=False).logits
        return finite(logits if logits.dtype == torch.float64 else logits.float(), self._where)

    def feed(self, tokens: torch.Tensor) -> None:
        """Append one token, of shape 1."""
        self._ids = torch.cat([self._ids, tokens.to(self._ids.device)[:, None]], dim=-1)
        self.logits = self._read(self._ids, drawn=1)[:, -1]

    def score(self, continuations: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return the log-probabilities of one continuation, and forget the row."""
        [tokens] = continuations
        if not tokens:
            return [[]]
        own = torch.tensor([list(tokens)], device=self._ids.device)
        before = self._ids.shape[1]
        logits = self._read(torch.cat([self._ids, own], dim=-1))[:, before - 1 : -1]
        picked = torch.log_softmax(logits, dim=-1).gather(-1, own[..., None]).squeeze(-1)
        return [picked[0].tolist()]

    def __deepcopy__(self, _memo: dict[int, Any]) -> "UncachedRow":
        """Return another row with the same tokens; they are never changed in place."""
        return copy.copy(self)


class RowByRow:
    """The state of one model over a batch, with the interface of `Stepper`.

    Args:
        start: Reads the prompt of one row.
        prompts: Token ids of every row; none is empty.
    """

    def __init__(self, start: Callable[[Sequence[int]], _Row], prompts: Sequence[Sequence[int]]) -> None:
        read: dict[tuple[int, ...], _Row] = {}
        self._start = start
        self._rows: list[_Row] = []
        self._tokens = [list(prompt) for prompt in prompts]
        for prompt in map(tuple, prompts):
            known = read.get(prompt)
            self._rows.append(start(prompt) if known is None else copy.deepcopy(known))
            read.setdefault(prompt, self._rows[-1])

    @property
    def logits(self) -> torch.Tensor:
        """Logits of the next token, rows by vocabulary."""
        return torch.cat([row.logits for row in self._rows])

    def feed(self, tokens: torch.Tensor, rows: torch.Tensor | None = None) -> None:
        """Append one token to every row, or go on with some rows and append one to each of those."""
        if rows is not None:
            self.keep(rows)
        for place, row in enumerate(self._rows):
            self._tokens[place].append(int(tokens[place]))
            row.feed(tokens[place : place + 1])

    def splice(self, cut: Sequence[int], added: Sequence[Sequence[int]]) -> None:
        """Forget the last tokens of each row, and append others; a row that forgets is read anew.

        Args:
            cut: Tokens that each row forgets; some of those that it has read must stay.
            added: Token ids that each row then reads.
        """
        for place, (count, new) in enumerate(zip(cut, added, strict=True)):
            if count:
                self._tokens[place] = [*self._tokens[place][:-count], *new]
                self._rows[place] = self._start(self._tokens[place])
                continue
            for token in new:
                self._tokens[place].append(token)
                self._rows[place].feed(torch.tensor([token]))

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only, in this order; a row may appear more than once."""
        used: set[int] = set()
        chosen = []
        for place in rows.tolist():
            chosen.append(copy.deepcopy(self._rows[place]) if place in used else self._rows[place])
            used.add(place)
        self._rows = chosen
        self._tokens = [list(self._tokens[place]) for place in rows.tolist()]

    def score(self, continuations: Sequence[Sequence[int]], rows: Sequence[int] | None = None) -> list[list[float]]:
        """Return the log-probability of every token of given continuations, and forget the rows.

        Args:
            continuations: Token ids; may be empty.
            rows: Which row each of them follows; a row may appear more than once. Left out, one per row.
        """
        follows = range(len(continuations)) if rows is None else rows
        last = {row: place for place, row in enumerate(follows)}
        scored = []
        for place, (row, each) in enumerate(zip(follows, continuations, strict=True)):
            # One at a time, so that no more than two states of a row are in memory.
            state = self._rows[row] if place == last[row] else copy.deepcopy(self._rows[row])
            scored += state.score([each])
        return scored


def cached_rows(
    model: Any, device: torch.device, prompts: Sequence[Sequence[int]], where: str, tally: Tally | None = None
) -> RowByRow:
    """Return rows that each have a cache of their own, so that nothing is padded."""
    return RowByRow(lambda prompt: Stepper(model, device, [prompt], where, tally), prompts)


def uncached_rows(
    model: Any, device: torch.device, prompts: Sequence[Sequence[int]], where: str, tally: Tally | None = None
) -> RowByRow:
    """Return rows that are read anew with every token."""
    return RowByRow(lambda prompt: UncachedRow(model, device, prompt, where, tally or Tally()), prompts)
