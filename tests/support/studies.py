"""Tiny made-up studies: score files and costs on disk, and the plan that names them."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from moco import paths
from moco.analysis.collect import collect
from moco.records import CALLS, COSTS, GENERATIONS, JOB_PERF, SCORES, Provenance, write_json, write_rows
from moco.records.costs import flops

SIZE = 1_000_000
"""Parameters of a model, unless a test says otherwise."""


class Study:
    """Builds `spec`, the files of every result, and what is collected of them.

    Each task is a batch of its own. An item is a number (its score), a list of items (several answers), or the text
    `unparsed`, `invalid`, `failed REASON` or `fallback REASON` (a score of 0 off a method's regular path).

    Attributes:
        folder: The results folder, as jobs left it.
        spec: What tables and figures are told of the study.
        work: Accounts that are collected.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sizes: dict[str, int] = {}
        self.work: list[dict[str, str]] = []
        self.spec: dict[str, Any] = {
            "study": "demo",
            "configuration": "0123456789abcdef" * 4,
            "scorer": "strict",
            "also_score": [],
            "class": "exact",
            "seeds": [1],
            "min_coverage": 1.0,
            "tasks": {},
            "pools": {},
            "singles": [],
            "methods": [],
            "not_applicable": [],
        }
        self._replies: dict[tuple[str, str, str], list[str]] = {}
        self._rescored: dict[str, dict[str, str]] = {}
        self._collected = ""

    @property
    def results(self) -> Path:
        """The results folder, with all results of `spec` collected."""
        asked = {"scorer": self.spec["scorer"], "entries": list(self.entries()), "work": self.work}
        if json.dumps(asked) != self._collected:
            collect(asked, self.folder, paths.BENCHMARK)
            self._collected = json.dumps(asked)
        return self.folder

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield every result, as the plan lists them for `collect`."""
        for each in self.spec["singles"]:
            about = {"kind": "single", "pool": "", "name": each["model"], "level": "single", "method": ""}
            yield from self._by_seed(about, each["task"])
        for each in self.spec["methods"]:
            about = {"kind": "method", "pool": each["pool"], "name": each["variant"], "level": each["level"]}
            yield from self._by_seed({**about, "method": each["method"]}, each["task"])

    def _by_seed(self, about: dict[str, Any], task: str) -> Iterator[dict[str, Any]]:
        for seed, replies in enumerate(self._replies[about["pool"], about["name"], task], start=1):
            spent = read = replies
            if about["kind"] == "method":
                where = (about["pool"], task, about["name"], seed, "test")
                spent, read = paths.costs(*where), paths.calls(*where)
            scores = {
                self.spec["scorer"]: paths.scores(self.spec["scorer"], replies),
                **self._rescored.get(replies, {}),
            }
            yield {**about, "batch": task, "seed": seed, "scores": scores, "spent": spent, "replies": read}

    def task(self, name: str, *, type: str = "exact_match", domain: str = "zoo") -> None:
        self.spec["tasks"][name] = {"type": type, "domain": domain, "decoding": "default"}
        write_json(self.folder / paths.task_json(name), {"splits": {}})

    def single(
        self, model: str, task: str, *seeds: list[Any], tokens: tuple[int, int] = (10, 2), cut: tuple[int, ...] = ()
    ) -> None:
        """Add a model; every reply reads and writes `tokens`, and those to the items `cut` reach the token limit."""
        places = [paths.generation(model, task, "test", seed, "s0") for seed in range(1, len(seeds) + 1)]
        for path, items in zip(places, seeds, strict=True):
            rows = [reply(task, number, value, tokens) for number, value in enumerate(items)]
            rows = [row | {"finish": "length"} if number in cut else row for number, row in enumerate(rows)]
            write_rows(self.folder / path, GENERATIONS, rows, Provenance("generate"))
        write_json(self.folder / paths.model_json(model), {"parameters": self.sizes.get(model, SIZE)})
        entry = {"model": model, "task": task}
        if entry not in self.spec["singles"]:
            self.spec["singles"].append(entry)
        self._score(("", model, task), places, seeds)

    def method(
        self,
        pool: str,
        variant: str,
        level: str,
        task: str,
        *seeds: list[Any],
        costs: list[dict[str, Any]] | None = None,
        calls: list[dict[str, Any]] | None = None,
        method: str | None = None,
    ) -> None:
        """Add a variant.

        `costs` and `calls` are the rows of each seed's files, by default one call of model `add` per item.
        """
        for seed, items in enumerate(seeds, start=1):
            usual = [call(f"{task}/test/{number}") for number in range(len(items))]
            asked = [{**row, "task": task} for row in calls or usual]
            write_rows(self.folder / paths.calls(pool, task, variant, seed, "test"), CALLS, asked, Provenance("answer"))
            rows = [cost(calls=len(items))] if costs is None else costs
            path = self.folder / paths.costs(pool, task, variant, seed, "test")
            write_rows(path, COSTS, [{"task": task, **row} for row in rows], Provenance("answer"))
        entry = {"pool": pool, "variant": variant, "method": method or f"{level}_x", "level": level, "task": task}
        self.spec["methods"].append(entry)
        places = [paths.answers(pool, task, variant, seed, "test") for seed in range(1, len(seeds) + 1)]
        self._score((pool, variant, task), places, seeds)

    def rescored(self, pool: str, name: str, task: str, *seeds: list[Any], rules: str = "paper") -> None:
        """Score a model (with an empty pool) or variant again under other rules."""
        self.spec["also_score"] = list(dict.fromkeys([*self.spec["also_score"], rules]))
        for replies, items in zip(self._replies[pool, name, task], seeds, strict=True):
            path = paths.scores(rules, replies)
            self._rescored.setdefault(replies, {})[rules] = path
            self._collected = ""
            write_scores(self.folder / path, {task: items})

    def not_applicable(self, pool: str, variant: str, task: str, reason: str) -> None:
        entry = {"pool": pool, "variant": variant, "task": task, "reason": reason}
        self.spec["not_applicable"].append(entry)

    def worked(self, path: str, part: str, *, pool: str = "", name: str, level: str, **changes: Any) -> None:
        """Add the accounts of a job, in which one model worked: `changes` to 4 items, one of them in the store."""
        row = {"job": "x", "pool": pool or None, "system": name, "tasks": ["t"], "splits": ["test"], "seed": 1}
        row |= {"model": "small", "items": 4, "cached": 1, "read_tokens": 30, "made_tokens": 12, "seconds": 2.0}
        row |= {"loads": 1, "load_seconds": 0.5, **changes}
        where = paths.job_perf(path)
        write_rows(self.folder / where, JOB_PERF, [row], Provenance("x"))
        self.work.append({"path": where, "pool": pool, "name": name, "level": level, "part": part})

    def _score(self, result: tuple[str, str, str], places: list[str], seeds: Sequence[list[Any]]) -> None:
        self._replies[result] = places
        self._collected = ""
        for replies, items in zip(places, seeds, strict=True):
            write_scores(self.folder / paths.scores(self.spec["scorer"], replies), {result[2]: items})


def write_scores(path: Path, tasks: dict[str, list[Any]]) -> None:
    """Write a score file of a batch: items by task."""
    rows = [
        _row(task, number, answer, value)
        for task, items in tasks.items()
        for number, item in enumerate(items)
        for answer, value in enumerate(item if isinstance(item, list) else [item])
    ]
    write_rows(path, SCORES, rows, Provenance("score"))


def reply(task: str, number: int, value: Any, tokens: tuple[int, int]) -> dict[str, Any]:
    """Return a row of a generations file; a failed one where the item's score says so."""
    uid = f"{task}/test/{number}"
    row: dict[str, Any] = dict.fromkeys(GENERATIONS.columns.names)
    row |= {"task": task, "uid": uid, "sample": 0, "key": uid}
    if isinstance(value, str) and value.startswith("failed"):
        return row | {"status": "failed"}
    row |= {"status": "ok", "finish": "stop", "prompt_flag": "ok", "prompt_cut_tokens": 0}
    return row | {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}


def call(uid: str, **changes: Any) -> dict[str, Any]:
    """Return a row of a calls file: a plain reply that its model ended."""
    row = {**dict.fromkeys(CALLS.columns.names), "uid": uid, "call": 0, "kind": "plain", "round": -1, "member": 0}
    row |= {
        "purpose": "plain",
        "model": "add",
        "sample": 0,
        "key": f"{uid} plain",
        "finish": "stop",
        "prompt_flag": "ok",
        "prompt_cut_tokens": 0,
    }
    return row | {"text": "", "prompt_tokens": 10, "completion_tokens": 2, **changes}


def cost(**changes: Any) -> dict[str, Any]:
    """Return a row of a cost file: `calls` calls of 12 tokens to model `add`, in one load."""
    row = {"stage": "answer", "scope": "task", "role": "member", "model": "add", "parameters": SIZE, "calls": 5}
    row |= {"loads": 1, **changes}
    row = {"items": row["calls"], "prompt_tokens": 10 * row["calls"], "completion_tokens": 2 * row["calls"], **row}
    work = flops(row["stage"], row["parameters"], row["prompt_tokens"] + row["completion_tokens"])
    return {"flops": work, **row}


def _row(task: str, number: int, answer: int, value: Any) -> dict[str, Any]:
    row = {**dict.fromkeys(SCORES.columns.names), "task": task, "uid": f"{task}/test/{number}", "answer": answer}
    row |= {"status": "ok", "score": value, "rule": "x"}
    if value == "unparsed":
        return row | {"status": "unparsed", "score": 0.0}
    if isinstance(value, str):
        status, _, reason = value.partition(" ")
        if status == "fallback":
            return row | {"score": 0.0, "reason": reason}
        return row | {"status": status, "score": None, "reason": reason or None}
    return row | {"score": float(value)}
