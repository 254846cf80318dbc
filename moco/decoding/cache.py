"""A KV cache with room: a step writes one column in place, and rows that leave move few others."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

_ROOM = 64
"""Free columns after growing, or a quarter of those in use where that is more."""


class _Columns:
    """A tensor of shape rows, heads, columns, size that grows by columns.

    Args:
        stored: What it holds at first, with free columns behind it.
        length: Columns in use.
    """

    def __init__(self, stored: torch.Tensor, length: int) -> None:
        self._stored, self.length = stored, length

    @staticmethod
    def like(states: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """Return zeros for this many rows and columns, and free columns; what is masked must be finite."""
        room = columns + max(_ROOM, columns // 4)
        return states.new_zeros(rows, states.shape[1], room, states.shape[3])

    @property
    def used(self) -> torch.Tensor:
        """The columns in use."""
        return self._stored[:, :, : self.length]

    def append(self, states: torch.Tensor) -> torch.Tensor:
        """Add columns, and return all."""
        end = self.length + states.shape[2]
        if end > self._stored.shape[2]:
            grown = self.like(states, states.shape[0], end)
            grown[:, :, : self.length] = self.used
            self._stored = grown
        self._stored[:, :, self.length : end] = states
        self.length = end
        return self.used

    def keep(self, rows: torch.Tensor) -> torch.Tensor:
        """Go on with these rows, and return them."""
        count = len(rows)
        moved = (rows != torch.arange(count, device=rows.device)).nonzero().squeeze(-1)
        sources = rows[moved]
        if count <= len(self._stored) and bool((sources >= count).all()):
            # Rows from behind take the places of rows that leave, and the others stay where they are.
            self.used[moved] = self.used[sources]
            self._stored = self._stored[:count]
        else:
            chosen = self._stored.new_zeros(count, *self._stored.shape[1:])
            chosen[:, :, : self.length] = self.used[rows]
            self._stored = chosen
        return self.used


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer, for a stepper; its base class copies all of them for every new token."""

    def __init__(self) -> None:
        super().__init__()
        self._columns: tuple[_Columns, ...] = ()

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        """Append columns, and return all keys and values."""
        if not self.is_initialized:
            self.fill([(key_states, value_states)], key_states.shape[2])
        else:
            self.keys, self.values = (
                columns.append(states)
                for columns, states in zip(self._columns, (key_states, value_states), strict=True)
            )
        return self.keys, self.values

    def fill(self, pieces: Sequence[tuple[torch.Tensor, torch.Tensor]], width: int) -> None:
        """Hold the keys and values of several batches, one below the other, each padded on the left to `width`."""
        self.lazy_initialization(*pieces[0])
        self._columns = tuple(_Columns(_stack(states, width), width) for states in zip(*pieces, strict=True))
        self.keys, self.values = (columns.used for columns in self._columns)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Go on with these rows."""
        if self._columns:
            self.keys, self.values = (columns.keep(indices) for columns in self._columns)


def _stack(pieces: Sequence[torch.Tensor], width: int) -> torch.Tensor:
    stacked = _Columns.like(pieces[0], sum(map(len, pieces)), width)
    start = 0
    for piece in pieces:
        stacked[start : start + len(piece), :, width - piece.shape[2] : width] = piece
        start += len(piece)
    return stacked


def can_be_stacked(config: Any) -> bool:
    """Return whether a model's cache is keys and values of all positions, and nothing else."""
    layers = DynamicCache(config=config).layers
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


def stacked(caches: Sequence[DynamicCache], config: Any, width: int) -> DynamicCache:
    """Return one cache with the rows of several; they are consumed.

    Args:
        caches: Of the same model, each over a batch of prompts padded on the left.
        config: Of the model.
        width: Longest prompt.
    """
    whole = DynamicCache(config=config)
    for place in range(len(whole.layers)):
        pieces = []
        for cache in caches:
            layer = cache.layers[place]
            if layer.is_initialized:
                pieces.append((layer.keys, layer.values))
                # Layer by layer, so that only one of them is in memory twice.
                layer.keys = layer.values = None
        if pieces:
            whole.layers[place] = RoomyLayer()
            whole.layers[place].fill(pieces, width)
    return whole
