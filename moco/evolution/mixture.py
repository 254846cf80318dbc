"""Mixtures: who learns which pairs of prompt and reply. Pure functions; the single-multi evolution loop, arXiv 2602.05182.

A *pair* knows where it comes from. Shares are counted in items of the set that is learnt from, not in pairs that are
left after filtering, so that a filter makes a mixture smaller and never fills it up with others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from moco.seeds import generator

ORDER = ("teach", "self", "best", "gold", "prompt")
"""Sources, in the order in which a student's pairs stand."""


@dataclass(frozen=True)
class Pair:
    """Something to learn, with its origin.

    Attributes:
        uid: The item.
        prompt: As models get it.
        completion: What shall be said.
        split: Of the item.
        source: `teach` (the collaboration), `self`, `best` (the best student), `gold` (the reference), or `prompt`: there
            is no completion, and a student writes its own while it learns.
        models: Whose words they are; none for a reference.
        score: Of the completion, under the study's rule set; None where there is none.
        keys: Of the replies that they rest on, in the generation store.
        held_out: It is not learnt: its loss is measured before and after training.
    """

    uid: str
    prompt: str
    completion: str
    split: str
    source: str
    models: tuple[str, ...] = ()
    score: float | None = None
    keys: tuple[str, ...] = ()
    held_out: bool = False


@dataclass(frozen=True)
class Sources:
    """What the students of a round can learn from.

    Attributes:
        teach: Of the collaboration.
        own: Replies of every student, in pool order.
        gold: References.
        prompts: Prompts alone.
        best: Place of the best student, from 0.
        sizes: By source, the number that its share is counted in: of items, or of answers where items have several.
    """

    teach: Sequence[Pair] = ()
    own: Sequence[Sequence[Pair]] = ()
    gold: Sequence[Pair] = ()
    prompts: Sequence[Pair] = ()
    best: int = 0
    sizes: Mapping[str, int] = field(default_factory=dict)


def passes(pair: Pair, rule: str) -> bool:
    """Return whether a filter lets a pair pass: `none`, `correct` (score 1 or more), or `score>=q`.

    A pair without a score passes `none` alone; references and prompts need no score.
    """
    if rule == "none" or pair.source in ("gold", "prompt"):
        return True
    least = 1.0 if rule == "correct" else float(rule.removeprefix("score>="))
    return pair.score is not None and pair.score >= least


def kept_apart(uids: Sequence[str], share: float, seed: Sequence[Any]) -> frozenset[str]:
    """Return the items that nobody learns from: a share of them, rounded down, drawn by the seed.

    Args:
        uids: All items of a split, in order.
        share: Below 1.
        seed: The same for all rounds of a run, so that no round learns what another holds out.
    """
    order = generator("held out", *seed).permutation(len(uids)).tolist()
    return frozenset(uids[place] for place in order[: int(share * len(uids) + _ROUNDING)])


def best_student(means: Sequence[float | None]) -> int:
    """Return the place of the highest mean, the first of equal ones; students without a mean are last."""
    known = [-float("inf") if mean is None else mean for mean in means]
    return known.index(max(known))


def mix(
    sources: Sources,
    shares: Mapping[str, float],
    students: int,
    seed: Sequence[Any],
    *,
    rule: str = "none",
    dedupe: bool = False,
    overlap: bool = False,
) -> list[list[Pair]]:
    """Return the pairs of every student, in the order of `ORDER`; within a source in the order of items.

    Args:
        sources: What can be learnt.
        shares: By source, of the number of items; a count is rounded down.
        students: Number of students.
        seed: Of what is drawn.
        rule: Filter, as for `passes`.
        dedupe: Leave out pairs whose prompt and completion a student has already.
        overlap: Draw the best student's two shares from one order, so that they are the same pairs (protocol upstream).
    """

    def count(source: str) -> int:
        return int(shares.get(source, 0.0) * sources.sizes.get(source, 0) + _ROUNDING)

    def drawn(pairs: Sequence[Pair], source: str, purpose: Any, skip: int = 0) -> list[Pair]:
        # Pairs are drawn before they are filtered: a filter takes away, and brings no others in.
        order = generator("mixture", *seed, purpose).permutation(len(pairs)).tolist()
        chosen = sorted(order[skip : skip + count(source)])
        return [replace(pairs[place], source=source) for place in chosen if passes(pairs[place], rule)]

    mixtures = []
    for place in range(students):
        found: list[Pair] = []
        for source in ORDER:
            if not count(source):
                continue
            if source not in ("self", "best"):
                of_all = {"teach": sources.teach, "gold": sources.gold, "prompt": sources.prompts}
                found += drawn(of_all[source], source, source)
                continue
            whose = sources.best if source == "best" else place
            skip = count("self") if source == "best" and place == sources.best and not overlap else 0
            found += drawn(sources.own[whose], source, ["own", whose], skip)
        mixtures.append(_without_repeats(found) if dedupe else found)
    return mixtures


_ROUNDING = 1e-9
"""A share of 0.29 of 100 items is 29 items, which the product of the two misses by a rounding."""


def _without_repeats(pairs: Sequence[Pair]) -> list[Pair]:
    seen: set[tuple[str, str]] = set()
    kept = []
    for pair in pairs:
        if (pair.prompt, pair.completion) not in seen:
            seen.add((pair.prompt, pair.completion))
            kept.append(pair)
    return kept
