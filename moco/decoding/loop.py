"""Decoding in step: one or several models read the same growing replies, and each step draws one token per row."""

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

    def splice(self, cut: Sequence[int], added: Sequence[Sequence[int]]) -> None:
        """Forget the last tokens of each row, and append others; a row without new tokens loses none, and keeps its logits."""
        ...


Combine = Callable[[Sequence[torch.Tensor]], torch.Tensor]


class Row:
    """One reply; what is recorded of it is there when it has finished.

    Args:
        key: Store key of the request.
        prompt: Token ids, of the first model where there are several.
        decoding: Settings.
        seed: Of the request; None for greedy decoding.
        prompts: Token ids of every model's prompt; those of the only one when left out.

    Attributes:
        tokens: The reply, each token in the vocabulary of the model that wrote it. It has the end of sequence, but not
            where models write text in turn.
        logprobs: Raw log-probability of each token.
        top_ids: K most likely tokens per position, flat; none where models write text in turn.
        top_logprobs: Their log-probabilities, flat.
        tail: Probability mass outside the K, per position.
        text: The reply where models write text in turn; None: what the tokens say.
        segments: Who wrote what, one per token: place of the model, first character of the text, the one after the
            last, and log-probability; none where all models write every token together.
        stopped: The last token ended it.
        seconds: Share of the batch's time.
    """

    def __init__(
        self,
        key: str,
        prompt: Sequence[int],
        decoding: Decoding,
        seed: int | None,
        prompts: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self.key, self.prompt, self.decoding, self.seed = key, prompt, decoding, seed
        self.prompts = (prompt,) if prompts is None else prompts
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.top_ids: list[int] = []
        self.top_logprobs: list[float] = []
        self.tail: list[float] = []
        self.text: str | None = None
        self.segments: list[tuple[int, int, int, float]] = []
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
        yield from decode(read(start, rows), combine, rows, stop, top_k)


def read(start: Callable[[], Sequence[Steps]], rows: Sequence[Row]) -> Sequence[Steps]:
    """Return steppers that have read the prompts of all rows, which share the time that it took."""
    started = time.perf_counter()
    steppers = start()
    for row in rows:
        row.seconds = (time.perf_counter() - started) / len(rows)
    return steppers


def decode(
    steppers: Sequence[Steps], combine: Combine, rows: Sequence[Row], stop: frozenset[int], top_k: int
) -> Iterator[Row]:
    """Yield rows as they finish.

    Args:
        steppers: One per model, each over the prompts of all rows.
        combine: From one logits matrix per model (rows by vocabulary) to one.
        rows: In the order of the steppers' prompts.
        stop: Token ids that end a reply.
        top_k: Alternatives that are recorded per position.
    """
    batch = InStep(steppers, rows, stop, top_k)
    while batch.alive:
        yield from batch.write(combine(batch.logits()))


class InStep:
    """Rows of which all models have read the same tokens; every step adds one token to each row.

    Temperature, nucleus and repetition penalty apply to the logits that a step is given. Finished rows leave the batch.

    Args:
        steppers: One per model, each over the prompts of all rows.
        rows: In the order of the steppers' prompts.
        stop: Token ids that end a reply.
        top_k: Alternatives that are recorded per position.
    """

    def __init__(self, steppers: Sequence[Steps], rows: Sequence[Row], stop: frozenset[int], top_k: int) -> None:
        self._steppers, self._rows, self._stop, self._top_k = steppers, rows, sorted(stop), top_k
        self._live = np.arange(len(rows))
        self._sampler: Sampler | None = None
        self._drawn: torch.Tensor | None = None
        self._kept: torch.Tensor | None = None
        self._step, self._seconds = 0, 0.0
        self._started = time.perf_counter()

    @property
    def alive(self) -> bool:
        """Whether a row has not finished."""
        return len(self._live) > 0

    def logits(self) -> list[torch.Tensor]:
        """Return each model's logits for the next token, live rows by its vocabulary."""
        if self._drawn is not None:
            for stepper in self._steppers:
                stepper.feed(self._drawn, self._kept)
            self._drawn = None
        return [stepper.logits for stepper in self._steppers]

    def _begin(self, logits: torch.Tensor) -> Sampler:
        device, vocabulary, rows = logits.device, logits.shape[-1], self._rows
        sampler = Sampler([row.decoding for row in rows], device)
        self._stops = torch.tensor(self._stop, dtype=torch.long, device=device)
        self._limits = torch.tensor([row.decoding.max_new_tokens for row in rows], device=device)
        self._uniforms = _uniforms(rows).to(device)
        self._seen = _seen(rows, vocabulary, device) if sampler.penalised else None
        self._top_k = min(self._top_k, vocabulary)
        self._record = _Record(len(rows), self._top_k)
        return sampler

    def write(self, logits: torch.Tensor) -> Iterator[Row]:
        """Draw a token for every live row, and yield the rows that end with it.

        Args:
            logits: Live rows by vocabulary; their raw distribution is recorded.
        """
        if self._sampler is None:
            self._sampler = self._begin(logits)
        sampler, seen = self._sampler, self._seen
        top = TopK(logits, self._top_k)
        drawn = sampler.draw(logits if seen is None else sampler.penalise(logits, seen), self._uniforms[:, self._step])
        if seen is not None:
            seen.scatter_(1, drawn[:, None], True)
        self._record.add(self._live, self._step, drawn, top)
        self._step += 1
        stopped = torch.isin(drawn, self._stops)
        finished = (stopped | (self._limits <= self._step)).cpu().numpy()
        self._seconds += (time.perf_counter() - self._started) / len(self._live)
        self._drawn, self._kept = drawn, None
        if finished.any():
            for place, stop_drawn in zip(self._live[finished], stopped.cpu().numpy()[finished], strict=True):
                row = self._rows[place]
                self._record.copy_to(row, place, self._step)
                row.stopped = bool(stop_drawn)
                row.seconds += self._seconds
                yield row
            self._leave(finished)
        self._started = time.perf_counter()

    def _leave(self, finished: NDArray[np.bool_]) -> None:
        assert self._drawn is not None
        assert self._sampler is not None
        order = _close_ranks(finished)
        self._live, self._kept = self._live[order], torch.from_numpy(order)
        stay = self._kept.to(self._drawn.device)
        self._sampler.keep(stay)
        self._drawn, self._uniforms, self._limits = self._drawn[stay], self._uniforms[stay], self._limits[stay]
        self._seen = None if self._seen is None else self._seen[stay]


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
    drawn = [request_uniforms(row.seed, row.decoding.max_new_tokens) for row in rows]
    padded = np.zeros((len(rows), max(map(len, drawn))))
    for index, own in enumerate(drawn):
        padded[index, : len(own)] = own
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
