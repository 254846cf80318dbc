"""A model that reads sequences which grow at different times, or are cut back."""

import copy
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch

from moco.decoding.loop import Steps
from moco.decoding.row_by_row import RowByRow

Start = Callable[[Sequence[Sequence[int]]], Steps]


class Reader:
    """What a model has read of the replies of a batch; prompts are read when it is first asked.

    Rows are stepped together where gaps in a batch change nothing for the model, else one at a time.

    Args:
        start: Returns the state of the model over prompts.
    """

    def __init__(self, start: Start) -> None:
        self._start = start
        self._steps: Steps | None = None
        self._read: list[list[int]] = []

    def logits(
        self, prompts: Sequence[Sequence[int]], rows: Sequence[int], replies: Sequence[Sequence[int]]
    ) -> torch.Tensor:
        """Return the logits after some replies, rows by vocabulary.

        Args:
            prompts: Token ids of all live rows.
            rows: Places of the rows in question.
            replies: Their replies so far, which only the part that differs from what was read last is read of.
        """
        if self._steps is None:
            one_by_one = not reads_gaps(self._start)
            self._steps = (
                RowByRow(lambda prompt: self._start([prompt]), prompts) if one_by_one else self._start(prompts)
            )
            self._read = [[] for _ in prompts]
        cut = [0] * len(prompts)
        added: list[list[int]] = [[] for _ in prompts]
        for row, reply in zip(rows, replies, strict=True):
            known = self._read[row]
            same = _in_common(known, reply)
            if same == len(reply) < len(known):
                same -= 1  # what comes next is known only right after reading
            if same < 0:
                cut[row], added[row] = len(known) + 1, [prompts[row][-1]]
            else:
                cut[row], added[row] = len(known) - same, list(reply[same:])
            self._read[row] = list(reply)
        if any(added):
            self._steps.splice(cut, added)
        logits = self._steps.logits
        return logits[torch.tensor(list(rows), device=logits.device)]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only."""
        if self._steps is not None:
            self._read = [self._read[row] for row in rows]
            if rows:
                self._steps.keep(torch.tensor(list(rows)))

    def score(
        self,
        prompts: Sequence[Sequence[int]],
        rows: Sequence[int],
        replies: Sequence[Sequence[int]],
        texts: Sequence[Sequence[int]],
    ) -> list[list[float]]:
        """Return the log-probability of every token of one text after each of some replies.

        Only the texts, and what was not read yet of the replies, are read; the rows do not go on with the texts.

        Args:
            prompts: As for `logits`.
            rows: As for `logits`; a row may appear more than once, with the same reply.
            replies: As for `logits`.
            texts: Token ids.
        """
        known = dict(zip(rows, replies, strict=True))
        self.logits(prompts, list(known), list(known.values()))
        return copy.deepcopy(self._steps).score(texts, rows) if self._steps is not None else []


def _in_common(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (mine, its) in pairs if mine != its), min(len(one), len(other)))


_GAPS: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""What was found out, by engine."""
_CLOSE = {torch.float64: 1e-6}
_CLOSE_OTHERWISE = 0.1


def reads_gaps(start: Start) -> bool:
    """Return whether gaps that are masked within a batch leave a model's logits as they are.

    They do not where positions or windows are counted in places of the batch instead of tokens. It is found out with
    made-up sequences, and gaps at the end of one.
    """
    owner = getattr(start, "__self__", start)
    if owner in _GAPS:
        return _GAPS[owner]
    vocabulary = start([[0]]).logits.shape[-1]
    one, two = ([(7919 * place + first) % vocabulary for place in range(30)] for first in (1, 5))
    steps = start([one[:9], two[:17]])
    steps.splice([0, 0], [one[9:21], []])
    steps.splice([3, 0], [one[18:19], two[17:20]])
    steps.splice([0, 0], [one[19:30], two[20:21]])
    alone = torch.cat([start([one]).logits, start([two[:21]]).logits])
    given, wanted = (torch.log_softmax(logits, dim=-1) for logits in (steps.logits, alone))
    close = _CLOSE.get(given.dtype, _CLOSE_OTHERWISE)
    likely = wanted > -30
    good = bool(((given - wanted).abs()[likely] <= close * wanted.abs()[likely].clamp(min=1)).all())
    _GAPS[owner] = good
    return good
