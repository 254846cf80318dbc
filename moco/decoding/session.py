"""What a program gets: live models, and two ways of writing a batch with them, in step or in turn."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch

from moco.decoding.in_turn import InTurn, Voice
from moco.decoding.loop import InStep, Row, Steps, read
from moco.decoding.pieces import Pieces
from moco.decoding.program import Program
from moco.decoding.reader import Reader
from moco.models.info import ModelInfo


class Live(Protocol):
    """A loaded model that can be stepped; an engine is one."""

    tokenizer: Any
    """Of transformers."""

    top_logprobs: int
    """Alternatives that are stored per position."""

    stop_ids: frozenset[int]
    """Token ids that end a reply."""

    def stepper(self, prompts: Sequence[Sequence[int]]) -> Steps:
        """Return the state of the model over a batch of prompts."""
        ...


class Session:
    """Live models, in the order of the program's members.

    Args:
        engines: The loaded models.
        infos: What is known of them.
    """

    def __init__(self, engines: Sequence[Live], infos: Sequence[ModelInfo]) -> None:
        self._engines, self._infos = tuple(engines), tuple(infos)
        self._pieces: dict[str, Pieces] = {}

    def run(self, program: Program, rows: Sequence[Row]) -> Iterator[Row]:
        """Yield rows as a program finishes them."""
        with torch.inference_mode():
            yield from program.run(self, rows)

    def in_step(self, rows: Sequence[Row]) -> InStep:
        """Return a batch whose rows get one token per step, which all models read: they have one vocabulary."""
        prompts = list(zip(*(row.prompts for row in rows), strict=True))
        stop = frozenset().union(*(engine.stop_ids for engine in self._engines))

        def start() -> Sequence[Steps]:
            return [engine.stepper(own) for engine, own in zip(self._engines, prompts, strict=True)]

        return InStep(read(start, rows), rows, stop, self._engines[0].top_logprobs)

    def in_turn(self, rows: Sequence[Row], *, retokenise: bool = False) -> InTurn:
        """Return a batch whose rows grow by pieces of text, each written by one model and read by others as text.

        Args:
            rows: Empty replies.
            retokenise: A model reads the whole reply as its tokenizer cuts it; else the tokens that were written, and
                what models of other vocabularies wrote as the tokenizer cuts it between two turns of this one.
        """
        voices = [self._voice(place) for place in range(len(self._engines))]
        return InTurn(voices, rows, retokenise=retokenise)

    def _voice(self, place: int) -> Voice:
        engine, info = self._engines[place], self._infos[place]
        if info.tokenizer not in self._pieces:
            self._pieces[info.tokenizer] = Pieces(engine.tokenizer, f"models.{info.name}")
        return Voice(
            Reader(engine.stepper), self._pieces[info.tokenizer], info.tokenizer, engine.stop_ids, info.context
        )
