"""Ranking texts by a model that compares them in pairs, each pair in both orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from moco.methods.base import Choice
from moco.methods.context import AnswerContext, FitContext
from moco.methods.resources import Model
from moco.prompts import blocks
from moco.prompts.prompt import Prompt
from moco.tasks.item import Question

NAMES = ("1", "2")
"""What a judge writes for the first and the second answer that it is shown."""


def pair_prompt(item: Question, first: str, second: str) -> Prompt:
    """Return the prompt in which a judge compares two answers."""
    return blocks.compose(
        blocks.instruction("Two models answered a question. Compare their answers."),
        blocks.block("question", blocks.question(item), shrinks=False),
        blocks.candidate(1, first),
        blocks.candidate(2, second),
        blocks.instruction(
            f"Which answer is better? Reply with its number, {NAMES[0]} or {NAMES[1]}, and nothing else."
        ),
    )


@dataclass(frozen=True)
class Verdict:
    """How two texts compare, by their places.

    Attributes:
        first: Place of one.
        second: Place of the other.
        margins: Log-odds that the one shown first is better: when that is `first`, and when it is `second`; empty
            where the texts are equal, so that nobody was asked.
    """

    first: int
    second: int
    margins: tuple[float, ...]

    @property
    def preference(self) -> float:
        """Log-odds that `first` is better, the mean over both orders; what a judge always says cancels out."""
        return (self.margins[0] - self.margins[1]) / 2 if self.margins else 0.0

    @property
    def winner(self) -> int | None:
        """Place of the better text; None where neither is."""
        if self.preference == 0:
            return None
        return self.first if self.preference > 0 else self.second

    @property
    def consistent(self) -> bool:
        """Whether the judge named the same text in both orders."""
        return not self.margins or self.margins[0] * self.margins[1] < 0

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as JSON values."""
        return {"pair": [self.first, self.second], "margins": list(self.margins), "winner": self.winner}


def compared(
    ctx: AnswerContext | FitContext, judge: Model, items: Sequence[Question], texts: Sequence[Sequence[str]]
) -> list[list[Verdict]]:
    """Return the verdicts on all pairs of each item's texts, in one round.

    Args:
        ctx: Of the method.
        judge: Who compares.
        items: Questions.
        texts: For every question what is compared.
    """
    choices: list[Choice] = []
    for item, of_item in zip(items, texts, strict=True):
        for first, second in _unequal(of_item):
            for shown in ((first, second), (second, first)):
                prompt = pair_prompt(item, *(of_item[place] for place in shown))
                choices.append(Choice(judge, item.uid, prompt, NAMES, "compare"))
    found = iter(ctx.choose(choices) if choices else [])
    verdicts = []
    for of_item in texts:
        asked = set(_unequal(of_item))
        verdicts.append(
            [
                Verdict(*pair, tuple(_margin(next(found)) for _ in range(2)) if pair in asked else ())
                for pair in combinations(range(len(of_item)), 2)
            ]
        )
    return verdicts


def _unequal(texts: Sequence[str]) -> list[tuple[int, int]]:
    return [(first, second) for first, second in combinations(range(len(texts)), 2) if texts[first] != texts[second]]


def _margin(values: tuple[float, ...]) -> float:
    return round(values[0] - values[1], 6)


def points(verdicts: Sequence[Verdict], count: int) -> list[float]:
    """Return how many others each text beats; a pair without a winner gives half a point to both."""
    won = [0.0] * count
    for verdict in verdicts:
        if verdict.winner is None:
            won[verdict.first] += 0.5
            won[verdict.second] += 0.5
        else:
            won[verdict.winner] += 1
    return won


def by_points(won: Sequence[float]) -> list[int]:
    """Return places from the most points to the fewest, the earlier first among equals."""
    return sorted(range(len(won)), key=lambda place: (-won[place], place))
