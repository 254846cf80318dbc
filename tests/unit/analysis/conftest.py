"""Tiny made-up studies: score files on disk and the plan that names them."""

from pathlib import Path
from typing import Any

import pytest

from moco.records import SCORES, Provenance, write_rows


class Study:
    """Builds `spec` and score files.

    An item is a number (its score), a list of items (several answers), or the text `unparsed`, `invalid` or
    `failed REASON`.
    """

    def __init__(self, folder: Path) -> None:
        self.results = folder
        self.spec: dict[str, Any] = {
            "study": "demo",
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
        self.spec["tasks"][name] = {"type": type, "domain": domain}

    def single(self, model: str, task: str, *seeds: list[Any]) -> None:
        scores = self._write(f"generations/{model}/{task}", task, seeds)
        self.spec["singles"].append({"model": model, "task": task, "scores": scores})

    def method(self, pool: str, variant: str, level: str, task: str, *seeds: list[Any]) -> None:
        scores = self._write(f"answers/{pool}/{task}/{variant}", task, seeds)
        entry = {"pool": pool, "variant": variant, "method": f"{level}_x", "level": level, "task": task}
        self.spec["methods"].append({**entry, "scores": scores})

    def not_applicable(self, pool: str, variant: str, task: str, reason: str) -> None:
        entry = {"pool": pool, "variant": variant, "task": task, "reason": reason}
        self.spec["not_applicable"].append(entry)

    def _write(self, folder: str, task: str, seeds: tuple[list[Any], ...]) -> dict[str, str]:
        paths = {}
        for seed, items in enumerate(seeds, start=1):
            path = f"scores/strict/{folder}/seed{seed}.parquet"
            rows = []
            for number, item in enumerate(items):
                for answer, value in enumerate(item if isinstance(item, list) else [item]):
                    rows.append(_row(f"{task}/test/{number}", answer, value))
            write_rows(self.results / path, SCORES, rows, Provenance("score"))
            paths[str(seed)] = path
        return paths


def _row(uid: str, answer: int, value: Any) -> dict[str, Any]:
    row = {"uid": uid, "answer": answer, "status": "ok", "reason": None, "score": value, "parsed": None, "rule": "x"}
    if value == "unparsed":
        return row | {"status": "unparsed", "score": 0.0}
    if isinstance(value, str):
        status, _, reason = value.partition(" ")
        return row | {"status": status, "score": None, "reason": reason or None}
    return row | {"score": float(value)}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """An empty study."""
    return Study(tmp_path)


@pytest.fixture
def zoo(study: Study) -> Study:
    """The small study of `_zoo`."""
    return _zoo(study)


@pytest.fixture(scope="session")
def shared_zoo(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The same study for tests that change nothing."""
    return _zoo(Study(tmp_path_factory.mktemp("zoo")))


def _zoo(study: Study) -> Study:
    """Return one pool with a copy, three tasks in two domains and a reward task, methods of all levels but one."""
    study.task("sums", domain="math")
    study.task("words", domain="language")
    study.task("rhymes", domain="language")
    study.task("chat", type="reward_model", domain="chat")
    study.spec["pools"] = {"zoo": ["add", "recall", "add"]}
    for task, add, recall in (
        ("sums", [1, 1, 1, 1, 0], [0, 0, 0, 0, 0]),
        ("words", [0, 0, 0, 0, 0], [1, 1, 0, 0, 0]),
        ("rhymes", [1, 0, 0, 0, 0], [1, 1, 1, 0, 0]),
        ("chat", [-2, -4, 1, 0, 0], [3, 3, 3, 3, 3]),
    ):
        study.single("add", task, add)
        study.single("recall", task, recall)
    for variant, level, sums, words, rhymes, chat in (
        ("soup", "weight", [1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0], [3, 3, 3, 3, 3]),
        ("vote", "text", [1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [4, 4, 4, 4, 9]),
        ("debate", "text", [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
        ("route", "api", [1, 0, 0, 0, 0], [1, 1, 0, 0, 0], ["failed timeout"] * 5, [0, 0, 0, 0, 0]),
    ):
        for task, items in zip(("sums", "words", "rhymes", "chat"), (sums, words, rhymes, chat), strict=True):
            study.method("zoo", variant, level, task, items)
    for task in ("sums", "words", "rhymes"):
        study.method("zoo", "fuse", "logit", task, [1, 1, 1, 1, 1])
    study.not_applicable("zoo", "fuse", "chat", "no reference & no options")
    return study
