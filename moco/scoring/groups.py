"""Scores of groups of items: one wrong item makes all of its group wrong."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from moco.scoring.base import Case, Verdict
from moco.tasks.item import Reference

INCOMPLETE = "another item of its group has no reply"
"""Why an item of an incomplete group has no score."""


def group_sizes(references: Iterable[Reference]) -> Counter[str]:
    """Return the number of items of every group, from all references of one split."""
    return Counter(reference.group for reference in references if reference.group is not None)


def group_verdicts(
    cases: Sequence[Case], verdicts: Sequence[Verdict], sizes: Mapping[str, Mapping[str, int]]
) -> list[Verdict]:
    """Return verdicts in which the items of one group and split all score 1 if each of them did, and else 0.

    Broken items keep no score and do not count against their group; items outside groups keep their score. A group of
    which items are missing cannot be judged and would be easier than a whole one: its items get the status `failed`.
    The item's own score is among the details.

    Args:
        cases: What was scored.
        verdicts: Of the cases, in order.
        sizes: Number of items by split and group, from `group_sizes`.
    """
    members: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, case in enumerate(cases):
        if case.reference.group is not None:
            members[case.question.split, case.reference.group].append(place)
    made = list(verdicts)
    for (split, group), places in members.items():
        complete = len({cases[place].question.uid for place in places}) == sizes[split][group]
        scored = [place for place in places if verdicts[place].score is not None]
        right = float(all(verdicts[place].score == 1 for place in scored))
        for place in scored:
            made[place] = _grouped(verdicts[place], right) if complete else _unjudged(verdicts[place])
    return made


def _grouped(verdict: Verdict, score: float) -> Verdict:
    assert verdict.score is not None
    return replace(verdict, score=score, details={**verdict.details, "item_score": verdict.score})


def _unjudged(verdict: Verdict) -> Verdict:
    return replace(_grouped(verdict, 0.0), score=None, status="failed")
