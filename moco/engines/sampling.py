"""Choosing the next token of every row of a batch, each row by its own settings and its own random numbers.

Settings apply in the order of transformers and vLLM: temperature, then top_k, then top_p of the mass that top_k left.
"""

from collections.abc import Sequence

import numpy as np
import torch

from moco.config.decoding import Decoding

_NEAR = 128
"""Most likely tokens that are looked at before the whole vocabulary is sorted."""


def request_uniforms(seed: int | None, count: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Return the uniform random numbers of a request, one per step; zeros for greedy decoding."""
    if seed is None:
        return np.zeros(count)
    return np.random.Generator(np.random.Philox(key=seed)).random(count)


class Sampler:
    """Draws tokens by inverting the cumulative distribution in descending order of probability.

    A row's token depends on its logits, its settings and its own uniform number only, so batches do not matter.

    Args:
        decodings: Settings of every row.
        device: Of the logits.
    """

    def __init__(self, decodings: Sequence[Decoding], device: torch.device) -> None:
        self._greedy = torch.tensor([d.greedy for d in decodings], device=device)
        self._temperature = torch.tensor([d.temperature or 1.0 for d in decodings], dtype=torch.float64, device=device)
        self._top_p = torch.tensor([d.top_p for d in decodings], dtype=torch.float64, device=device)
        self._top_k = torch.tensor([d.top_k or 2**31 for d in decodings], dtype=torch.int64, device=device)
        self._penalty = torch.tensor([d.repetition_penalty for d in decodings], dtype=torch.float64, device=device)
        self.penalised = any(d.repetition_penalty != 1 for d in decodings)
        self.all_greedy = all(d.greedy for d in decodings)

    def keep(self, rows: torch.Tensor) -> None:
        """Keep these rows only."""
        for name in ("_greedy", "_temperature", "_top_p", "_top_k", "_penalty"):
            setattr(self, name, getattr(self, name)[rows])

    def penalise(self, logits: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Return logits with seen tokens made less likely; `seen` is a boolean matrix of rows by vocabulary."""
        penalty = self._penalty.to(logits.dtype)[:, None]
        changed = torch.where(logits > 0, logits / penalty, logits * penalty)
        return torch.where(seen, changed, logits)

    def draw(self, logits: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        """Return one token id per row.

        Args:
            logits: Rows by vocabulary.
            uniforms: One number in [0, 1) per row.
        """
        best = logits.argmax(dim=-1)
        if self.all_greedy:
            return best
        scaled = logits / self._temperature.to(logits.dtype)[:, None]
        drawn, sure = self._draw_near_top(scaled, uniforms)
        rest = (~(sure | self._greedy)).nonzero().squeeze(-1)
        if len(rest):
            ordered, ids = torch.sort(scaled[rest], dim=-1, descending=True, stable=True)
            mass = torch.softmax(ordered, dim=-1)
            place, _ = self._place(mass, mass.shape[-1], uniforms[rest], rest)
            drawn[rest] = ids.gather(-1, place[:, None]).squeeze(-1)
        return torch.where(self._greedy, best, drawn)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the probabilities with which `draw` gives each token, of the shape of the logits; greedy ones are 0 or 1."""
        every = torch.arange(len(logits), device=logits.device)
        scaled = logits / self._temperature.to(logits.dtype)[:, None]
        ordered, ids = torch.sort(scaled, dim=-1, descending=True, stable=True)
        mass = torch.softmax(ordered, dim=-1)
        _, allowed = self._place(mass, mass.shape[-1], torch.zeros(len(logits), device=logits.device), every)
        mass = mass * allowed
        drawn = torch.zeros_like(mass).scatter(-1, ids, mass / mass.sum(dim=-1, keepdim=True))
        best = torch.nn.functional.one_hot(logits.argmax(dim=-1), logits.shape[-1]).to(drawn.dtype)
        return torch.where(self._greedy[:, None], best, drawn)

    def _draw_near_top(self, scaled: torch.Tensor, uniforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return tokens drawn from the most likely ones, and the rows where no other token could have been drawn.

        A nucleus is mostly small, and to sort a whole vocabulary is dearer than all else that is done with logits.
        """
        values, ids = torch.topk(scaled, min(_NEAR, scaled.shape[-1]), dim=-1)
        # Lower ids first among equal values, as a stable sort of all has them.
        ids, order = torch.sort(ids, dim=-1)
        values, order = torch.sort(values.gather(-1, order), dim=-1, descending=True, stable=True)
        mass = torch.exp(values - torch.logsumexp(scaled, dim=-1, keepdim=True))
        every = torch.arange(len(scaled), device=scaled.device)
        vocabulary = scaled.shape[-1]
        place, allowed = self._place(mass, vocabulary, uniforms, every)
        # What equals the last of them may have been left out for an equal value.
        sure = ~(allowed & (values == values[:, -1:])).any(dim=-1)
        # Nor is the mass of more tokens than are looked at known.
        sure &= (self._top_k <= values.shape[-1]) | (self._top_k >= vocabulary) | (self._top_p == 1)
        return ids.gather(-1, order.gather(-1, place[:, None])).squeeze(-1), sure

    def _place(
        self, mass: torch.Tensor, vocabulary: int, uniforms: torch.Tensor, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the drawn place of every row, and the places that may be drawn.

        Args:
            mass: Probabilities in descending order.
            vocabulary: Number of all tokens.
            uniforms: One number in [0, 1) per row.
            rows: Whose settings apply.
        """
        total = torch.cumsum(mass, dim=-1)
        before = total - mass
        rank = torch.arange(mass.shape[-1], device=mass.device)
        top_p, top_k = self._top_p[rows].to(mass.dtype), self._top_k[rows]
        left = total.gather(-1, (top_k.clamp(max=mass.shape[-1]) - 1)[:, None]).squeeze(-1)
        # Of what the other setting leaves whole, the mass is 1.
        left = torch.where((top_p < 1) & (top_k < vocabulary), left, torch.ones_like(left))
        allowed = (before < (top_p * left)[:, None]) & (rank < top_k[:, None])
        allowed[:, 0] = True
        cumulative = torch.cumsum(mass * allowed, dim=-1)
        target = uniforms.to(mass.dtype)[:, None] * cumulative[:, -1:]
        place = torch.searchsorted(cumulative, target, right=True).squeeze(-1)
        return torch.minimum(place, allowed.sum(dim=-1) - 1), allowed
