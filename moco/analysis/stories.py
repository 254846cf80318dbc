"""What happened to an item: its prompt, every reply, every call of every method, what was read in them, and the scores.

Files of results are read and nothing else, so a finished study can be looked at anywhere.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from moco import paths
from moco.digest import digest
from moco.errors import RequestError
from moco.records import (
    ANSWERS,
    CALLS,
    GENERATIONS,
    QUESTIONS,
    REFERENCES,
    SCORES,
    Schema,
    read_provenance,
    read_table,
)
from moco.registry import did_you_mean

Story = dict[str, Any]
"""An item as JSON values; `replies` are those of single models, `methods` has calls and answers of each method."""

System = tuple[str, str]
"""Pool and method, or an empty text and a single model."""

_BLOCK = re.compile(r"s\d+(-\d+)?")
_REPLY = (
    "sample",
    "status",
    "reason",
    "text",
    "thought",
    "finish",
    "prompt_flag",
    "prompt_tokens",
    "completion_tokens",
)
_CALL = (
    *("call", "kind", "round", "purpose", "member", "model", "sample", "key", "prompt", "text", "finish"),
    *("prompt_flag", "prompt_tokens", "completion_tokens"),
)
_ANSWER = ("answer", "status", "reason", "text", "extracted", "has_extracted", "models", "fallback")
_RIGHT = 0.5
_SCORE = ("status", "score", "parsed", "rule", "reason")


@dataclass(frozen=True)
class Replies:
    """A file of replies.

    Attributes:
        system: Whose they are.
        batch: Their batch.
        seed: Run seed.
        path: Below the results folder.
    """

    system: System
    batch: str
    seed: int
    path: str


class Stories:
    """The items of a split, as the results of a study have them.

    Args:
        results: The results folder.
        split: The split.
        pools: Only methods on these pools, and their members; all where none is named.
        methods: Only these method variants; all where none is named.
        seed: Only this run seed; all where it is None.
        scorer: The rule set that says what is wrong; by default the study's own.

    Raises:
        RequestError: A name is not among the results.
    """

    def __init__(
        self,
        results: Path,
        *,
        split: str = "test",
        pools: Sequence[str] = (),
        methods: Sequence[str] = (),
        seed: int | None = None,
        scorer: str | None = None,
    ) -> None:
        self._results, self._split = results, split
        self._named = tuple(methods)
        seeds = "*" if seed is None else str(seed)
        found = list(self._answered(seeds))
        first = {each.system[0]: each.path for each in reversed(found)}
        self._facts = {pool: read_provenance(results / path).get("spec") or {} for pool, path in first.items()}
        _require("pool", pools, (each.system[0] for each in found))
        _require("method", methods, (each.system[1] for each in found))
        self._methods = [
            each
            for each in found
            if (not pools or each.system[0] in pools) and (not methods or each.system[1] in methods)
        ]
        members = {name for pool in pools for name in self._members(pool)}
        self._singles = [each for each in self._generated(seeds) if not members or each.system[1] in members]
        self._rules = sorted(path.name for path in results.glob("scores/*"))
        own = [facts["scorer"] for facts in self._facts.values() if "scorer" in facts]
        self._scorer = scorer or next(iter([*own, *self._rules]), "")
        _require("scorer", [self._scorer] if self._rules else [], self._rules)

    @property
    def tasks(self) -> list[str]:
        """Names of the prepared tasks."""
        return sorted(path.parent.name for path in self._results.glob("tasks/*/task.json"))

    def require_tasks(self, names: Sequence[str]) -> list[str]:
        """Return the tasks of these names, all where none is named.

        Raises:
            RequestError: The results do not have one of them.
        """
        _require("task", names, self.tasks)
        return list(names) or self.tasks

    def uids(self, task: str) -> list[str]:
        """Return the items of a task, in their order; none where the split was not prepared or left out of a bundle."""
        path = self._results / paths.questions(task, self._split)
        return list(read_table(path, QUESTIONS, ["uid"])["uid"].to_pylist()) if path.is_file() else []

    def _type(self, task: str) -> str:
        path = self._results / paths.questions(task, self._split)
        return next(iter(read_table(path, QUESTIONS, ["type"])["type"].to_pylist()), "") if path.is_file() else ""

    def pick(self, tasks: Iterable[str], count: int, *, wrong: bool = False, disagree: bool = False) -> list[str]:
        """Return some items, always the same ones; a larger sample holds the smaller.

        Args:
            tasks: Where they are from.
            count: How many at most.
            wrong: Only items that every method got wrong: with a score, as the mean over seeds, below one half.
            disagree: Only items that some methods of a pool got wrong and others right; where a single method is
                named, items on which it differs from the best single model of its pool.
        """
        from moco.analysis.comparison import UNAVERAGED_TYPES

        found: list[str] = []
        for task in tasks:
            kept = set(self.uids(task))
            if (wrong or disagree) and self._type(task) in UNAVERAGED_TYPES:
                continue  # its scores are neither right nor wrong
            kept &= self.wrong(task) if wrong else kept
            kept &= self.disputed(task) if disagree else kept
            found += kept
        return sorted(found, key=digest)[:count]

    def wrong(self, task: str) -> set[str]:
        """Return the items that every method got wrong, as in `pick`."""
        right: dict[str, bool] = {}
        for scores in self._compared(task).values():
            for uid, score in scores.items():
                right[uid] = right.get(uid, False) or score >= _RIGHT
        return {uid for uid, any_right in right.items() if not any_right}

    def disputed(self, task: str) -> set[str]:
        """Return the items on which the methods of a pool disagree, as in `pick`."""
        pools: dict[str, list[dict[str, float]]] = {}
        for (pool, _), scores in self._compared(task).items():
            pools.setdefault(pool, []).append(scores)
        found: set[str] = set()
        for pool, compared in pools.items():
            against = [self._best_single(pool, task)] if len(self._named) == 1 else []
            verdicts: dict[str, set[bool]] = {}
            for scores in [*compared, *against]:
                for uid, score in scores.items():
                    verdicts.setdefault(uid, set()).add(score >= _RIGHT)
            found |= {uid for uid, said in verdicts.items() if len(said) > 1}
        return found

    def tell(self, uids: Iterable[str]) -> Iterator[Story]:
        """Yield the stories of items, in the order in which they are named.

        Raises:
            RequestError: The results do not have one of them.
        """
        named = list(uids)
        told = {
            story["uid"]: story
            for task in dict.fromkeys(_task_of(uid) for uid in named)
            for story in self._of_task(task, [uid for uid in named if _task_of(uid) == task])
        }
        yield from (told[uid] for uid in named)

    def _of_task(self, task: str, uids: list[str]) -> Iterator[Story]:
        _require("task", [task], self.tasks)
        _require("item", uids, self.uids(task))
        questions = self._rows(paths.questions(task, self._split), QUESTIONS, uids)
        references = self._rows(paths.references(task, self._split), REFERENCES, uids)
        stories = {uid: self._asked(questions[uid][0], references.get(uid, [])) for uid in uids}
        for file in self._with(task, self._singles):
            scores = self._scored(file, uids, "sample")
            for uid, rows in self._rows(file.path, GENERATIONS, uids).items():
                about = {"model": file.system[1], "seed": file.seed}
                stories[uid]["replies"] += [
                    {**about, **_some(row, _REPLY), "scores": scores.get((uid, row["sample"]), {})} for row in rows
                ]
        for file in self._with(task, self._methods):
            scores = self._scored(file, uids, "answer")
            calls = self._rows(file.path.removesuffix(".parquet") + "_calls.parquet", CALLS, uids)
            for uid, rows in self._rows(file.path, ANSWERS, uids).items():
                stories[uid]["methods"].append(
                    {
                        "pool": file.system[0],
                        "method": file.system[1],
                        "seed": file.seed,
                        "calls": [
                            {**_some(row, _CALL), "segments": json.loads(row["segments_json"] or "[]")}
                            for row in calls.get(uid, [])
                        ],
                        "answers": [
                            {
                                **_some(row, _ANSWER),
                                "record": json.loads(row["record_json"] or "{}"),
                                "scores": scores.get((uid, row["answer"]), {}),
                            }
                            for row in rows
                        ],
                    }
                )
        yield from stories.values()

    def _asked(self, question: Mapping[str, Any], references: Sequence[Mapping[str, Any]]) -> Story:
        gold = {"gold": None, "valid": None, "group": None}
        for row in references:
            gold = {"gold": json.loads(row["gold_json"]), "valid": row["valid"], "group": row["group"]}
        about = _some(question, ("uid", "task", "split", "type", "domain", "question", "options", "prompt"))
        return {**about, "scorer": self._scorer, "reference": gold, "replies": [], "methods": []}

    def _scored(self, file: Replies, uids: list[str], number: str) -> dict[tuple[str, int], dict[str, Any]]:
        """Return what each rule set says of each reply, by item and number of the reply."""
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for rules in self._rules:
            for uid, rows in self._rows(paths.scores(rules, file.path), SCORES, uids).items():
                for row in rows:
                    said = {**_some(row, _SCORE), "details": json.loads(row["details_json"] or "{}")}
                    found.setdefault((uid, row[number]), {})[rules] = said
        return found

    def _rows(self, path: str, schema: Schema, uids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of items by uid; none where there is no such file: not all replies are scored."""
        if not (self._results / path).is_file():
            return {}
        table = read_table(self._results / path, schema)
        found: dict[str, list[dict[str, Any]]] = {}
        for row in table.filter(pc.is_in(table["uid"], pa.array(uids, pa.string()))).to_pylist():
            found.setdefault(row["uid"], []).append(row)
        return found

    def _scores(self, task: str) -> dict[System, dict[str, float]]:
        """Return the mean score of every item over seeds and answers, of every single model and method."""
        if task not in self._known:
            rows: dict[System, dict[str, list[float]]] = {}
            for file in self._with(task, [*self._singles, *self._methods]):
                path = self._results / paths.scores(self._scorer, file.path)
                if path.is_file():
                    table = read_table(path, SCORES, ["task", "uid", "score"])
                    for row in table.filter(pc.equal(table["task"], task)).to_pylist():
                        if row["score"] is not None:
                            rows.setdefault(file.system, {}).setdefault(row["uid"], []).append(row["score"])
            self._known[task] = {
                system: {uid: fmean(each) for uid, each in items.items()} for system, items in rows.items()
            }
        return self._known[task]

    @cached_property
    def _known(self) -> dict[str, dict[System, dict[str, float]]]:
        return {}

    def _compared(self, task: str) -> dict[System, dict[str, float]]:
        return {system: scores for system, scores in self._scores(task).items() if system[0]}

    def _best_single(self, pool: str, task: str) -> dict[str, float]:
        """Return the scores of the member with the highest mean, the first by name."""
        scores = self._scores(task)
        members = [scores["", name] for name in sorted(set(self._members(pool))) if ("", name) in scores]
        return max(members, key=lambda each: fmean(each.values()), default={})

    def _members(self, pool: str) -> list[str]:
        return list(self._facts[pool].get("pool", ()))

    def _with(self, task: str, files: Iterable[Replies]) -> list[Replies]:
        """Return the files that have a task, the newest where batches of former studies lie beside those of today."""
        found: dict[tuple[System, int, str], Replies] = {}
        for file in files:
            if task in self._tasks_of(file):
                key = (file.system, file.seed, Path(file.path).name)
                if key not in found or self._age(found[key]) <= self._age(file):
                    found[key] = file
        return list(found.values())

    def _age(self, file: Replies) -> int:
        return (self._results / file.path).stat().st_mtime_ns

    def _tasks_of(self, file: Replies) -> frozenset[str]:
        """Return the tasks of a file's batch, which are those of all its files."""
        if file.batch not in self._batches:
            schema = ANSWERS if file.system[0] else GENERATIONS
            tasks = read_table(self._results / file.path, schema, ["task"])["task"]
            self._batches[file.batch] = frozenset(pc.unique(tasks).to_pylist())
        return self._batches[file.batch]

    @cached_property
    def _batches(self) -> dict[str, frozenset[str]]:
        return {}

    def _generated(self, seeds: str) -> Iterator[Replies]:
        pattern = paths.generation("*", "*", self._split, seeds, "*")
        for path in sorted(self._results.glob(pattern), key=_natural):
            _, model, batch, _, seed, _ = path.relative_to(self._results).parts
            if _BLOCK.fullmatch(path.stem):
                yield Replies(("", model), batch, int(seed[4:]), path.relative_to(self._results).as_posix())

    def _answered(self, seeds: str) -> Iterator[Replies]:
        for path in sorted(self._results.glob(paths.answers("*", "*", "*", seeds, self._split)), key=_natural):
            _, pool, batch, method, seed, _ = path.relative_to(self._results).parts
            yield Replies((pool, method), batch, int(seed[4:]), path.relative_to(self._results).as_posix())


def _natural(path: Path) -> list[str | int]:
    """Return a key that sorts seed 10 after seed 9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.as_posix())]


def _some(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _task_of(uid: str) -> str:
    return uid.partition("/")[0]


def _require(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    have = list(dict.fromkeys(known))
    for name in names:
        if name not in have:
            raise RequestError(f"the results have no {what} {name!r}", remedy=did_you_mean(name, have))
