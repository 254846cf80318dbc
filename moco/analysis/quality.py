"""The data of a study: sizes, broken and left-out items, lengths, and items that tasks share."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from moco import paths
from moco.analysis.notes import listed
from moco.analysis.render import Cell, Table
from moco.analysis.results import Spec
from moco.records import QUESTIONS, REFERENCES, read_json, read_rows
from moco.tasks.leakage import REASONS
from moco.tasks.outline import answered, asked

_COLUMNS = (
    "task",
    "split",
    "items",
    "valid",
    "broken",
    "blanks evened",
    "left out",
    "groups",
    "median length",
    "90% length",
    "longest",
    "same gold (%)",
    "shared items",
    "shared with",
)
_REASONS = {**REASONS, "limit": "is beyond the `limit` of the task, which draws with a seed"}
_UNCOMPARED = ("none", "code", "category", "instructions", "relevance", "pharmacophore", "lead_opt", "kernel")


@dataclass(frozen=True)
class SplitData:
    """One split of a prepared task.

    Attributes:
        facts: What `task.json` says of it.
        asked: Digest of what each item asks.
        lengths: Of the prompts, in characters.
        groups: Number of groups.
        same_gold: Share of the valid items that the most frequent gold answers, or None where golds are no answers.
    """

    facts: Mapping[str, Any]
    asked: Sequence[bytes]
    lengths: Sequence[int]
    groups: int
    same_gold: float | None


def read_split(results: Path, task: str, split: str, facts: Mapping[str, Any]) -> SplitData:
    """Return what a split's files say.

    Raises:
        WorkError: A file is missing or damaged.
    """
    questions = read_rows(results / paths.questions(task, split), QUESTIONS, ["question", "options", "prompt"])
    references = read_rows(
        results / paths.references(task, split), REFERENCES, ["gold_json", "gold_kind", "group", "valid"]
    )
    golds = Counter(
        _constant(json.loads(row["gold_json"]), row["gold_kind"])
        for row in references
        if row["valid"] and row["gold_kind"] not in _UNCOMPARED
    )
    return SplitData(
        facts=facts,
        asked=[asked(row["question"], row["options"]) for row in questions],
        lengths=[len(row["prompt"]) for row in questions],
        groups=len({row["group"] for row in references} - {None}),
        same_gold=golds.most_common(1)[0][1] / golds.total() if golds else None,
    )


def _constant(gold: Any, kind: str) -> bytes | int:
    """Return what is equal for items that one constant reply answers; of options it is the letter."""
    index = gold["index"] if kind == "option" else None
    return index if index is not None else answered(gold, kind, None)


class StudyData:
    """The prepared tasks of a study.

    Args:
        tasks: Their names.
        results: The results folder.

    Raises:
        WorkError: A file is missing or damaged.
    """

    def __init__(self, tasks: Sequence[str], results: Path) -> None:
        self.splits: dict[str, dict[str, SplitData]] = {}
        for task in tasks:
            facts = read_json(results / paths.task_json(task))["splits"]
            self.splits[task] = {split: read_split(results, task, split, about) for split, about in facts.items()}

    @cached_property
    def _learned(self) -> dict[str, frozenset[bytes]]:
        return {
            task: frozenset(digest for split, data in splits.items() if split != "test" for digest in data.asked)
            for task, splits in self.splits.items()
        }

    @cached_property
    def _tested(self) -> dict[str, frozenset[bytes]]:
        return {
            task: frozenset(splits["test"].asked) if "test" in splits else frozenset()
            for task, splits in self.splits.items()
        }

    def shared(self, task: str, split: str) -> dict[str, int]:
        """Return the number of a split's items that another task has on the other side, by that task.

        The other side of test is what methods learn from (train, dev, distill), and the other way round.
        """
        others = self._learned if split == "test" else self._tested
        mine = self.splits[task][split].asked
        counts = {other: sum(digest in has for digest in mine) for other, has in others.items() if other != task}
        return {other: count for other, count in counts.items() if count}

    def shared_items(self, task: str, split: str) -> int:
        """Return the number of a split's items that any other task has on the other side."""
        others = self._learned if split == "test" else self._tested
        has = frozenset().union(*(digests for other, digests in others.items() if other != task))
        return sum(digest in has for digest in self.splits[task][split].asked)


def has_items(tasks: Iterable[str], results: Path) -> bool:
    """Return whether the questions and references of all tasks are there."""
    return all(
        (results / make(task, split)).is_file()
        for task in tasks
        for split in read_json(results / paths.task_json(task))["splits"]
        for make in (paths.questions, paths.references)
    )


def data_quality(spec: Spec, results: Path) -> Table:
    """Return what the study's data are like, by task and split."""
    data = StudyData(list(spec["tasks"]), results)
    rows = []
    leaks = []
    for task, splits in data.splits.items():
        for split, about in splits.items():
            shared = data.shared(task, split)
            rows.append(_row(task, split, about, data.shared_items(task, split), shared))
            if split == "test":
                leaks += [f"{count} of {task} in {other}" for other, count in shared.items()]
    reasons = sorted({reason for row in data.splits.values() for about in row.values() for reason in _dropped(about)})
    notes = [
        "Lengths are of prompts, in characters. Same gold: the share of items that a constant reply gets right.",
        "Left out: items that the task does not use; rows and twins are in tasks/TASK/dropped.parquet, but for those"
        " beyond a limit. Broken items stay in the files and are not scored. Blanks evened: items in whose options white"
        " space or invisible marks were removed, since a blank that only the right option has would give it away.",
        *(f"{reason}: {_REASONS[reason]}." for reason in reasons if reason in _REASONS),
        "Shared items ask the same as items of another task: of test, items that the other task has in train, dev or"
        " distill; of these, items that it has in test.",
    ]
    if leaks:
        notes.append(
            f"Test items that another task of this study learns from: {listed(leaks)}. Methods that are fitted on"
            " several tasks at once have seen them; methods fitted on each task alone have not."
        )
    return Table(f"Study {spec['study']}: data quality", _COLUMNS, tuple(rows), tuple(notes))


def _dropped(about: SplitData) -> Mapping[str, int]:
    beyond = about.facts.get("beyond_limit", 0)
    return {**about.facts.get("dropped", {}), **({"limit": beyond} if beyond else {})}


def _row(task: str, split: str, about: SplitData, total: int, shared: Mapping[str, int]) -> tuple[Cell, ...]:
    median, high, longest = np.percentile(about.lengths, [50, 90, 100], method="lower") if about.lengths else (0, 0, 0)
    return (
        task,
        split,
        about.facts["items"],
        about.facts["valid"],
        _counts(about.facts.get("broken", {})),
        about.facts.get("evened", 0),
        _counts(_dropped(about)),
        about.groups,
        int(median),
        int(high),
        int(longest),
        "-" if about.same_gold is None else about.same_gold,
        total,
        _counts(shared),
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "-"
