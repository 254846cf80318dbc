"""Tiny made-up studies: score files on disk and the plan that names them."""

from pathlib import Path
from typing import Any

from moco import paths
from moco.methods.costs import flops
from moco.records import CALLS, COSTS, GENERATIONS, SCORES, Provenance, write_json, write_rows

SIZE = 1_000_000
"""Parameters of a model, unless a test says otherwise."""


class Study:
    """Builds `spec` and score files.

    An item is a number (its score), a list of items (several answers), or the text `unparsed`, `invalid` or
    `failed REASON`.
    """

    def __init__(self, folder: Path) -> None:
        self.results = folder
        self.sizes: dict[str, int] = {}
        self.spec: dict[str, Any] = {
            "study": "demo",
            "configuration": "0123456789abcdef" * 4,
            "scorer": "strict",
            "class": "exact",
            "seeds": [1],
            "min_coverage": 1.0,
            "tasks": {},
            "pools": {},
            "singles": [],
            "methods": [],
            "not_applicable": [],
        }

    def task(self, name: str, *, type: str = "exact_match", domain: str = "zoo") -> None:
        self.spec["tasks"][name] = {"type": type, "domain": domain, "decoding": "default"}
        write_json(self.results / paths.task_json(name), {"splits": {}})

    def single(
        self, model: str, task: str, *seeds: list[Any], tokens: tuple[int, int] = (10, 2), cut: tuple[int, ...] = ()
    ) -> None:
        """Add a model; every reply reads and writes `tokens`, and those to the items `cut` reach the token limit."""
        scores = self._write(f"generations/{model}/{task}", task, seeds)
        replies = {}
        for seed, items in enumerate(seeds, start=1):
            path = paths.generation(model, task, "test", "default", seed, 0)
            rows = [reply(f"{task}/test/{number}", value, tokens) for number, value in enumerate(items)]
            rows = [row | {"finish": "length"} if number in cut else row for number, row in enumerate(rows)]
            write_rows(self.results / path, GENERATIONS, rows, Provenance("generate"))
            replies[str(seed)] = path
        write_json(self.results / paths.model_json(model), {"parameters": self.sizes.get(model, SIZE)})
        self.spec["singles"].append({"model": model, "task": task, "scores": scores, "replies": replies})

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
        scores = self._write(f"answers/{pool}/{task}/{variant}", task, seeds)
        files, asked = {}, {}
        for seed, items in enumerate(seeds, start=1):
            asked[str(seed)] = paths.calls(pool, task, variant, seed, "test")
            usual = [call(f"{task}/test/{number}") for number in range(len(items))]
            write_rows(self.results / asked[str(seed)], CALLS, calls or usual, Provenance("answer"))
            path = paths.costs(pool, task, variant, seed, "test")
            rows = [cost(calls=len(items))] if costs is None else costs
            write_rows(self.results / path, COSTS, rows, Provenance("answer"))
            files[str(seed)] = path
        entry = {"pool": pool, "variant": variant, "method": method or f"{level}_x", "level": level, "task": task}
        self.spec["methods"].append({**entry, "scores": scores, "costs": files, "calls": asked})

    def rescored(self, kind: str, name: str, task: str, *seeds: list[Any], rules: str = "paper") -> None:
        """Score a model or variant again under other rules."""
        self.spec["also_score"] = [rules]
        field = {"singles": "model", "methods": "variant"}[kind]
        entry = next(each for each in self.spec[kind] if each[field] == name and each["task"] == task)
        for (_, path), items in zip(entry["scores"].items(), seeds, strict=True):
            other = paths.scores(rules, path.removeprefix(paths.scores(self.spec["scorer"], "")))
            self._write_file(other, task, items)

    def not_applicable(self, pool: str, variant: str, task: str, reason: str) -> None:
        entry = {"pool": pool, "variant": variant, "task": task, "reason": reason}
        self.spec["not_applicable"].append(entry)

    def _write(self, folder: str, task: str, seeds: tuple[list[Any], ...]) -> dict[str, str]:
        paths = {}
        for seed, items in enumerate(seeds, start=1):
            path = f"scores/strict/{folder}/seed{seed}.parquet"
            self._write_file(path, task, items)
            paths[str(seed)] = path
        return paths

    def _write_file(self, path: str, task: str, items: list[Any]) -> None:
        rows = []
        for number, item in enumerate(items):
            for answer, value in enumerate(item if isinstance(item, list) else [item]):
                rows.append(_row(f"{task}/test/{number}", answer, value))
        write_rows(self.results / path, SCORES, rows, Provenance("score"))


def reply(uid: str, value: Any, tokens: tuple[int, int]) -> dict[str, Any]:
    """Return a row of a generations file; a failed one where the item's score says so."""
    row: dict[str, Any] = {**dict.fromkeys(GENERATIONS.columns.names), "uid": uid, "sample": 0, "key": uid}
    if isinstance(value, str) and value.startswith("failed"):
        return row | {"status": "failed"}
    row |= {"status": "ok", "finish": "stop", "prompt_flag": "ok"}
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
    }
    return row | {"text": "", "prompt_tokens": 10, "completion_tokens": 2, **changes}


def cost(**changes: Any) -> dict[str, Any]:
    """Return a row of a cost file: `calls` calls of 12 tokens to model `add`, in one load."""
    row = {"stage": "answer", "scope": "task", "role": "member", "model": "add", "parameters": SIZE, "calls": 5}
    row |= {"loads": 1, **changes}
    row = {"items": row["calls"], "prompt_tokens": 10 * row["calls"], "completion_tokens": 2 * row["calls"], **row}
    work = flops(row["stage"], row["parameters"], row["prompt_tokens"] + row["completion_tokens"])
    return {"flops": work, **row}


def _row(uid: str, answer: int, value: Any) -> dict[str, Any]:
    row = {**dict.fromkeys(SCORES.columns.names), "uid": uid, "answer": answer, "status": "ok", "score": value}
    row |= {"rule": "x"}
    if value == "unparsed":
        return row | {"status": "unparsed", "score": 0.0}
    if isinstance(value, str):
        status, _, reason = value.partition(" ")
        return row | {"status": status, "score": None, "reason": reason or None}
    return row | {"score": float(value)}
