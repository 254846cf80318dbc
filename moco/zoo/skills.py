"""Synthetic skills: short questions with one right answer, generated without any data file."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import permutations, zip_longest
from typing import Literal

import numpy as np

from moco.digest import digest
from moco.errors import RequestError
from moco.seeds import generator
from moco.tasks.item import LETTERS
from moco.tasks.raw import RawItem

Form = Literal["exact", "choice"]
Split = Literal["train", "dev", "test"]
Scope = Literal["easy", "half", "full"]
Operands = tuple[str, ...]

FORMS: tuple[Form, ...] = ("exact", "choice")
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
SCOPES: tuple[Scope, ...] = ("easy", "half", "full")
OPTIONS = 4

_NUMBERS = range(1, 25)
_LARGEST = (12, 18, 24)
_ALPHABET = "EFHKLMNPRSTX"
_LENGTHS = (2, 3, 4)
_SORTED_LENGTHS = (3, 4)
_FACTS = 60
_FIRST_FACTS = (20, 36, _FACTS)

CAPITAL_STARTS = ("Ash", "Bel", "Cal", "Dor", "Esk", "Fal", "Gol", "Har", "Ist", "Kel", "Lun", "Mir")
CAPITAL_ENDS = ("burg", "dam", "ford", "grad", "mouth", "polis", "ton", "wick")


@dataclass(frozen=True)
class Skill:
    """One kind of question.

    Attributes:
        name: Name, also the `domain` of its items.
        gold_kind: Kind of the gold answer in the exact form.
        wordings: Question templates of each split; `{0}`, `{1}` stand for the operands.
        strata: The operands of a split in groups that its items draw from in turn.
        answer: The right answer to some operands.
        distractors: Some wrong answers (at least `OPTIONS - 1`, distinct), in a random order.
        level: How hard some operands are: 0 belongs to every scope, 1 to `half` and `full`, 2 to `full` alone.
        by_heart: Whether no answer follows from others: one who is shown it knows it.
    """

    name: str
    gold_kind: str
    wordings: dict[Split, tuple[str, ...]]
    strata: Callable[[Split], tuple[tuple[Operands, ...], ...]]
    answer: Callable[[Operands], str]
    distractors: Callable[[Operands, np.random.Generator], list[str]]
    level: Callable[[Operands], int]
    by_heart: bool = False


@dataclass(frozen=True)
class Exercise:
    """A question with its answer and, in the choice form, its options."""

    skill: str
    operands: Operands
    question: str
    answer: str
    wrong: tuple[str, ...]
    options: tuple[str, ...] | None = None

    @property
    def letter(self) -> str:
        """The letter of the right option.

        Raises:
            ValueError: The exercise has no options.
        """
        if self.options is None:
            raise ValueError("an exercise of the exact form has no options")
        return LETTERS[self.options.index(self.answer)]


def _split(skill: str, operands: Operands) -> Split:
    bucket = int(digest("zoo split", skill, operands)[:8], 16) % 10
    return "train" if bucket < 7 else "dev" if bucket < 8 else "test"


def _everywhere(*wordings: str) -> dict[Split, tuple[str, ...]]:
    return dict.fromkeys(SPLITS, wordings)


@cache
def _sums(split: Split) -> tuple[tuple[Operands, ...], ...]:
    pairs = ((str(first), str(second)) for first in _NUMBERS for second in _NUMBERS)
    return (tuple(pair for pair in pairs if _split("add", pair) == split),)


def _total(operands: Operands) -> str:
    return str(sum(map(int, operands)))


def _near_totals(operands: Operands, rng: np.random.Generator) -> list[str]:
    total = int(_total(operands))
    near = [total + offset for offset in (-6, -4, -3, -2, -1, 1, 2, 3, 4, 6) if total + offset > 0]
    return [str(number) for number in rng.permutation(near)]


@cache
def _strings(skill: str, lengths: tuple[int, ...], split: Split) -> tuple[tuple[Operands, ...], ...]:
    strata = []
    for length in lengths:
        strings = (("".join(letters),) for letters in permutations(_ALPHABET, length))
        strata.append(tuple(string for string in strings if _split(skill, string) == split))
    return tuple(strata)


def _backwards(operands: Operands) -> str:
    return operands[0][::-1]


def _in_order(operands: Operands) -> str:
    return "".join(sorted(operands[0]))


def _near_strings(string: str, right: str, rng: np.random.Generator) -> list[str]:
    """Return other orders of the same letters, those that begin differently first, then strings with a new letter."""
    orders = ["".join(letters) for letters in rng.permutation(list(permutations(string)))]
    spare = [letter for letter in _ALPHABET if letter not in string]
    changed = [str(letter) + right[1:] for letter in rng.permutation(spare)[:OPTIONS]]
    begins = {text[0]: text for text in orders if text[0] != right[0]}
    ranked = [*begins.values(), *changed, *orders]
    return [text for text in dict.fromkeys(ranked) if text != right]


@cache
def facts() -> dict[str, str]:
    """Return the invented countries, each with its capital."""
    rng = generator("zoo facts", 1)

    def names(starts: Sequence[str], ends: Sequence[str]) -> list[str]:
        every = [start + end for start in starts for end in ends]
        return [str(name) for name in rng.permutation(every)[:_FACTS]]

    countries = names(
        ("Ba", "Cor", "Du", "El", "Fen", "Gar", "Hu", "Il", "Jo", "Kar", "Lo", "Mar"),
        ("dia", "goland", "meria", "nistan", "ria", "sova", "tania", "vonia"),
    )
    capitals = names(CAPITAL_STARTS, CAPITAL_ENDS)
    return dict(zip(countries, capitals, strict=True))


def _countries(_: Split) -> tuple[tuple[Operands, ...], ...]:
    return (tuple((country,) for country in facts()),)


def _capital(operands: Operands) -> str:
    return facts()[operands[0]]


def _other_capitals(operands: Operands, rng: np.random.Generator) -> list[str]:
    """Return capitals that begin differently from the right one and from each other."""
    begins = {_capital(operands)[:3]: ""}
    for other in rng.permutation(list(facts().values())):
        begins.setdefault(str(other)[:3], str(other))
    return [other for other in begins.values() if other]


SKILLS: dict[str, Skill] = {
    skill.name: skill
    for skill in (
        Skill(
            name="add",
            gold_kind="number",
            wordings=_everywhere(
                "{0} + {1}?", "What is {0} + {1}?", "Add {0} and {1}.", "Sum of {0} and {1}?", "{0} plus {1}?"
            ),
            strata=_sums,
            answer=_total,
            distractors=_near_totals,
            level=lambda operands: bisect_left(_LARGEST, max(map(int, operands))),
        ),
        Skill(
            name="reverse",
            gold_kind="text",
            wordings=_everywhere(
                "Reverse {0}.", "{0} reversed?", "What is {0} reversed?", "Write {0} backwards.", "{0} backwards?"
            ),
            strata=partial(_strings, "reverse", _LENGTHS),
            answer=_backwards,
            distractors=lambda operands, rng: _near_strings(operands[0], _backwards(operands), rng),
            level=lambda operands: len(operands[0]) - _LENGTHS[0],
        ),
        Skill(
            name="capital",
            gold_kind="text",
            # Every fact is taught, so what is held out here is the wording.
            wordings={
                "train": (
                    "Capital of {0}?",
                    "What is the capital of {0}?",
                    "Name the capital of {0}.",
                    "{0} has which capital?",
                    "{0}: capital?",
                    "Which city is the capital of {0}?",
                ),
                "dev": ("The capital of {0} is?", "Capital city of {0}?", "What capital has {0}?"),
                "test": (
                    "Which capital has {0}?",
                    "Name the capital city of {0}.",
                    "What city is capital of {0}?",
                    "The capital city of {0}?",
                ),
            },
            strata=_countries,
            answer=_capital,
            distractors=_other_capitals,
            level=lambda operands: bisect_right(_FIRST_FACTS, list(facts()).index(operands[0])),
            by_heart=True,
        ),
        Skill(
            name="sort",
            gold_kind="text",
            wordings=_everywhere(
                "Sort {0}.", "{0} sorted?", "What is {0} sorted?", "Sort the letters of {0}.", "{0} in order?"
            ),
            strata=partial(_strings, "sort", _SORTED_LENGTHS),
            answer=_in_order,
            distractors=lambda operands, rng: _near_strings(operands[0], _in_order(operands), rng),
            level=lambda operands: 2 * (len(operands[0]) - _SORTED_LENGTHS[0]),
        ),
    )
}


def within(skill: str, scope: Scope, operands: Operands) -> bool:
    """Return whether some operands belong to a scope of a skill."""
    return scope == "full" or SKILLS[skill].level(operands) <= SCOPES.index(scope)


@cache
def pool(skill: str, split: Split, scope: Scope = "full") -> tuple[tuple[Operands, ...], ...]:
    """Return the operands of a skill's split in strata; a weak model's scope leaves out the hard ones."""
    strata = (tuple(filter(partial(within, skill, scope), stratum)) for stratum in SKILLS[skill].strata(split))
    return tuple(stratum for stratum in strata if stratum)


def exercise(skill: str, form: Form, operands: Operands, wording: str, rng: np.random.Generator) -> Exercise:
    """Return the question about some operands; `rng` chooses the wrong answers and the place of the right one."""
    chosen = SKILLS[skill]
    answer = chosen.answer(operands)
    wrong = tuple(chosen.distractors(operands, rng)[: OPTIONS - 1])
    options = None
    if form == "choice":
        position = int(rng.integers(OPTIONS))
        options = (*wrong[:position], answer, *wrong[position:])
    return Exercise(skill, operands, wording.format(*operands), answer, wrong, options)


def _sequence(skill: str, split: Split, seed: int) -> list[tuple[Operands, str]]:
    """Return all (operands, wording) of a split in a seeded order that repeats no operands before all were used."""
    rng = generator("zoo items", skill, split, seed)
    strata = [[stratum[index] for index in rng.permutation(len(stratum))] for stratum in pool(skill, split)]
    wordings = SKILLS[skill].wordings[split]
    starts = [rng.integers(len(wordings), size=len(stratum)) for stratum in strata]
    # A small stratum goes on with its next wording while a large one still has unused operands.
    runs = [
        [
            (operands, wordings[(int(start) + lap) % len(wordings)])
            for lap in range(len(wordings))
            for operands, start in zip(stratum, begin, strict=True)
        ]
        for stratum, begin in zip(strata, starts, strict=True)
    ]
    return [entry for rank in zip_longest(*runs) for entry in rank if entry is not None]


def items(skills: Sequence[str], form: Form, split: Split, count: int, seed: int) -> list[RawItem]:
    """Return `count` items with distinct questions, the skills taking turns.

    Args:
        skills: Names of `SKILLS`.
        form: `exact` (the gold is a text or number) or `choice` (four options).
        split: Items of different splits have different questions.
        count: Number of items.
        seed: Seed of the selection, of the options and of their order.

    Raises:
        RequestError: A name is unknown, or there are fewer distinct questions than asked for.
    """
    where = "zoo items"
    for value, known, kind in ((form, FORMS, "form"), (split, SPLITS, "split")):
        if value not in known:
            raise RequestError(f"unknown {kind} {value!r}", where=where, remedy=f"use one of {', '.join(known)}")
    if not skills or len(set(skills)) < len(skills) or set(skills) - set(SKILLS):
        raise RequestError(
            f"skills {list(skills)} are empty, repeated or unknown", where=where, remedy=f"use {', '.join(SKILLS)}"
        )
    sequences = {skill: _sequence(skill, split, seed) for skill in skills}
    result = []
    for row in range(count):
        skill, place = skills[row % len(skills)], row // len(skills)
        if place >= len(sequences[skill]):
            raise RequestError(
                f"skill {skill!r} has only {len(sequences[skill])} {split} questions",
                where=where,
                remedy=f"ask for at most {len(sequences[skill]) * len(skills)} items",
            )
        operands, wording = sequences[skill][place]
        made = exercise(skill, form, operands, wording, generator("zoo options", skill, operands, wording, form, seed))
        gold = made.answer if made.options is None else {"index": made.options.index(made.answer), "key": made.letter}
        result.append(
            RawItem(
                row=row,
                question=made.question,
                gold=gold,
                gold_kind=SKILLS[skill].gold_kind if form == "exact" else "option",
                options=made.options,
                src_id=digest("zoo item", form, made.question, made.options)[:16],
                domain=skill,
            )
        )
    return result
