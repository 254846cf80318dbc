"""The decoding loop: one or several models read the same growing replies, and one token is drawn per row and step."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from moco.config.decoding import Decoding
from moco.engines.sampling import Sampler, request_uniforms

DECIMALS = 6
"""Stored log-probabilities are rounded to this many digits."""


class Steps(Protocol):
    """One model that reads a batch of growing sequences (`Stepper`, `RowByRow`)."""

    @property
    def logits(self) -> torch.Tensor:
        """Logits of the next token, rows by vocabulary, at least float32."""
        ...

    def feed(self, tokens: torch.Tensor, rows: torch.Tensor | None = None) -> None:
        """Append one token to every row, or go on with some rows and append one to each of those."""
        ...

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only, in this order; a row may appear more than once."""
        ...

    def score(self, continuations: Sequence[Sequence[int]], rows: Sequence[int] | None = None) -> list[list[float]]:
        """Return the log-probability of every token of given continuations, and forget the rows.

        Args:
            continuations: Token ids; may be empty.
            rows: Which row each of them follows; a row may appear more than once. Left out, one per row.
        """
        ...


Combine = Callable[[Sequence[torch.Tensor]], torch.Tensor]


class Row:
    """One reply; what is recorded of it is there when it has finished.

    Args:
        key: Store key of the request.
        prompt: Token ids.
        decoding: Settings.
        seed: Of the request; None for greedy decoding.

    Attributes:
        tokens: The reply, end-of-sequence token included.
        logprobs: Raw log-probability of each token.
        top_ids: K most likely tokens per position, flat.
        top_logprobs: Their log-probabilities, flat.
        tail: Probability mass outside the K, per position.
        stopped: The last token ended it.
        seconds: Share of the batch's time.
    """

    def __init__(self, key: str, prompt: Sequence[int], decoding: Decoding, seed: int | None) -> None:
        self.key, self.prompt, self.decoding = key, prompt, decoding
        self.uniforms = request_uniforms(seed, decoding.max_new_tokens)
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.top_ids: list[int] = []
        self.top_logprobs: list[float] = []
        self.tail: list[float] = []
        self.stopped = False
        self.seconds = 0.0


def decode_batch(
    start: Callable[[], Sequence[Steps]], combine: Combine, rows: Sequence[Row], stop: frozenset[int], top_k: int
) -> Iterator[Row]:
    """Yield rows as they finish, the reading of their prompts included in their time.

    Args:
        start: Reads the prompts of all rows; one stepper per model.
        combine: As for `decode`, and so are the other arguments.
        rows: In the order of the prompts.
        stop: Token ids that end a reply.
        top_k: Alternatives that are recorded per position.
    """
    with torch.inference_mode():
        started = time.perf_counter()
        steppers = start()
        for row in rows:
            row.seconds = (time.perf_counter() - started) / len(rows)
        yield from decode(steppers, combine, rows, stop, top_k)


def decode(
    steppers: Sequence[Steps], combine: Combine, rows: Sequence[Row], stop: frozenset[int], top_k: int
) -> Iterator[Row]:
    """Yield rows as they finish.

    Temperature, nucleus and repetition penalty apply to the combined logits. Finished rows leave the batch.

    Args:
        steppers: One per model, each over the prompts of all rows.
        combine: From one logits matrix per model (rows by vocabulary) to one.
        rows: In the order of the steppers' prompts.
        stop: Token ids that end a reply.
        top_k: Alternatives that are recorded per position.
    """
    logits = combine([stepper.logits for stepper in steppers])
    device, vocabulary = logits.device, logits.shape[-1]
    sampler = Sampler([row.decoding for row in rows], device)
    stops = torch.tensor(sorted(stop), dtype=torch.long, device=device)
    limits = torch.tensor([row.decoding.max_new_tokens for row in rows], device=device)
    uniforms = _uniforms(rows).to(device)
    seen = _seen(rows, vocabulary, device) if sampler.penalised else None
    record = _Record(len(rows), min(top_k, vocabulary))
    live = np.arange(len(rows))
    drawn = kept = None
    step, seconds = 0, 0.0
    while len(live):
        started = time.perf_counter()
        if drawn is not None:
            for stepper in steppers:
                stepper.feed(drawn, kept)
            logits = combine([stepper.logits for stepper in steppers])
        top = TopK(logits, min(top_k, vocabulary))
        drawn = sampler.draw(logits if seen is None else sampler.penalise(logits, seen), uniforms[:, step])
        if seen is not None:
            seen.scatter_(1, drawn[:, None], True)
        record.add(live, step, drawn, top)
        step += 1
        stopped = torch.isin(drawn, stops)
        finished = (stopped | (limits <= step)).cpu().numpy()
        seconds += (time.perf_counter() - started) / len(live)
        kept = None
        if finished.any():
            for place, stop_drawn in zip(live[finished], stopped.cpu().numpy()[finished], strict=True):
                row = rows[place]
                record.copy_to(row, place, step)
                row.stopped = bool(stop_drawn)
                row.seconds += seconds
                yield row
            order = _close_ranks(finished)
            live, kept = live[order], torch.from_numpy(order)
            stay = kept.to(device)
            sampler.keep(stay)
            drawn, uniforms, limits = drawn[stay], uniforms[stay], limits[stay]
            seen = None if seen is None else seen[stay]


def _close_ranks(leaving: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the rows that stay, those from behind in the places of those that leave, so that few rows move."""
    staying = int((~leaving).sum())
    order = np.arange(staying)
    order[leaving[:staying]] = staying + np.flatnonzero(~leaving[staying:])
    return order


class TopK:
    """The K most likely tokens under the raw distribution, and the mass outside them.

    Args:
        logits: Rows by vocabulary.
        k: Number of tokens.
    """

    def __init__(self, logits: torch.Tensor, k: int) -> None:
        self._logits = logits
        self._normaliser = torch.logsumexp(logits, dim=-1, keepdim=True)
        values, self.ids = torch.topk(logits, k, dim=-1)
        self.logprobs = values - self._normaliser
        self.tail = (1 - self.logprobs.exp().sum(dim=-1)).clamp(min=0)

    def logprobs_of(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the log-probability of one token per row."""
        return (self._logits.gather(-1, tokens[:, None]) - self._normaliser).squeeze(-1)


def _uniforms(rows: Sequence[Row]) -> torch.Tensor:
    padded = np.zeros((len(rows), max(len(row.uniforms) for row in rows)))
    for index, row in enumerate(rows):
        padded[index, : len(row.uniforms)] = row.uniforms
    return torch.from_numpy(padded)


def _seen(rows: Sequence[Row], vocabulary: int, device: torch.device) -> torch.Tensor:
    seen = torch.zeros(len(rows), vocabulary, dtype=torch.bool, device=device)
    for index, row in enumerate(rows):
        seen[index, list(row.prompt)] = True
    return seen


class _Record:
    """What is recorded of every row and step; it becomes lists once, when a row finishes.

    Args:
        rows: Number of rows.
        top_k: Alternatives per position.
    """

    def __init__(self, rows: int, top_k: int) -> None:
        steps = 64
        self._tokens = np.zeros((rows, steps), np.int64)
        self._logprobs = np.zeros((rows, steps))
        self._tail = np.zeros((rows, steps))
        self._top_ids = np.zeros((rows, steps, top_k), np.int64)
        self._top_logprobs = np.zeros((rows, steps, top_k))

    def add(self, rows: NDArray[np.int64], step: int, drawn: torch.Tensor, top: TopK) -> None:
        """Take in one step of these rows."""
        found = {
            "_tokens": drawn,
            "_logprobs": top.logprobs_of(drawn),
            "_tail": top.tail,
            "_top_ids": top.ids,
            "_top_logprobs": top.logprobs,
        }
        for name, values in found.items():
            array = getattr(self, name)
            if step == array.shape[1]:
                array = np.concatenate([array, np.zeros_like(array)], axis=1)
                setattr(self, name, array)
            array[rows, step] = values.cpu().numpy()

    def copy_to(self, row: Row, place: int, steps: int) -> None:
        """Write the record of a finished row into it."""
        row.tokens = self._tokens[place, :steps].tolist()
        row.top_ids = self._top_ids[place, :steps].ravel().tolist()
        row.logprobs = self._logprobs[place, :steps].round(DECIMALS).tolist()
        row.top_logprobs = self._top_logprobs[place, :steps].ravel().round(DECIMALS).tolist()
        row.tail = self._tail[place, :steps].round(DECIMALS).tolist()
