"""Scores as files: one row per reply, or per item where its replies are scored together."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isfinite
from pathlib import Path
from typing import Any

from moco import paths
from moco.digest import canonical_json, digest
from moco.errors import WorkError
from moco.models.info import ModelInfo
from moco.records import ANSWERS, GENERATIONS, SCORES, Provenance, read_by_task, write_rows
from moco.scoring.base import Case, Tools, Verdict, score_cases
from moco.scoring.catalogue import scorer_for
from moco.scoring.groups import INCOMPLETE, group_sizes, group_verdicts
from moco.scoring.judges import ROLES, SETS
from moco.scoring.tools import tools_for
from moco.tasks.item import Question, Reference
from moco.tasks.prepare import read_questions, read_references

_FAILED = Verdict(None, None, "", "failed")

Row = Mapping[str, Any]


@dataclass
class ScoreJob:
    """The scores of a file of replies.

    Attributes:
        results: The results folder.
        spec: The job's slice of the study: `scorer`, `type` and `tasks`; `groups` names the tasks whose groups score as
            one, `code` says how replies that are programs run, `scoring` which models judge, `answers` how many plain
            replies to an item are scored together.
        replies: The file, relative to `results` and without its ending, as `moco.workflow.scores.replies_of` reads it.
        split: Split of the items.
        tools: What the scorer may use; left out, what the spec allows without models.
    """

    results: Path
    spec: Mapping[str, Any]
    replies: str
    split: str
    tools: Tools | None = None

    def run(self) -> None:
        """Write the file.

        Raises:
            WorkError: The replies are to other items than those of the tasks, or a score is not finite.
        """
        found = self._replies()
        rows: list[dict[str, Any]] = []
        inputs: list[Any] = []
        for task in self.spec["tasks"]:
            references = self._references(task)
            rows += self._scored(task, found.get(task, []), references)
            inputs.append([vars(item) for item in references.values()])
        digests = {
            "references": digest(inputs),
            "replies": digest([found.get(task, []) for task in self.spec["tasks"]]),
        }
        write_rows(self.path, SCORES, rows, Provenance("score", self.spec, {**digests, **self._judges()}))

    @property
    def path(self) -> Path:
        """The file of the scores."""
        return self.results / paths.scores(self.spec["scorer"], f"{self.replies}.parquet")

    @property
    def _is_plain(self) -> bool:
        return self.replies.startswith("generations/")

    @property
    def _samples(self) -> Sequence[int | None]:
        """Samples, or sets of them, that the file is asked for; answers have none."""
        return paths.block_samples(self.replies.rpartition("/")[2]) if self._is_plain else (None,)

    @property
    def _together(self) -> int:
        """Plain replies to an item that are scored together."""
        return int(self.spec.get("answers", 1)) if self._is_plain else 1

    def _replies(self) -> dict[str, list[dict[str, Any]]]:
        if not self._is_plain:
            return read_by_task(self.results / f"{self.replies}.parquet", ANSWERS)
        folder, _, block = self.replies.rpartition("/")
        numbers = paths.block_samples(block)
        wanted = range(numbers[0] * self._together, (numbers[-1] + 1) * self._together)
        found: dict[str, list[dict[str, Any]]] = {}
        for name in dict.fromkeys(paths.block_of(sample) for sample in wanted):
            for task, rows in read_by_task(self.results / folder / f"{name}.parquet", GENERATIONS).items():
                mine = [{**row, "sample": row["sample"] // self._together} for row in rows if row["sample"] in wanted]
                found.setdefault(task, []).extend(mine)
        return found

    def _references(self, task: str) -> dict[str, Reference]:
        return read_references(self.results / paths.task_folder(task), self.split)

    def _scored(self, task: str, replies: Sequence[Row], references: Mapping[str, Reference]) -> list[dict[str, Any]]:
        questions = {item.uid: item for item in read_questions(self.results / paths.task_folder(task), self.split)}
        if not self._are_whole(replies, questions):
            what = f"items differ from those of {task}/{self.split}"
            raise WorkError(what, where=f"{self.replies}.parquet", remedy="make both again")
        rows = []
        for sample in self._samples:
            mine = [row for row in replies if row.get("sample") == sample]
            rows += [
                {**row, "task": task, "sample": sample} for row in self._scored_once(task, mine, questions, references)
            ]
        return rows

    def _are_whole(self, replies: Sequence[Row], questions: Collection[str]) -> bool:
        """Return whether every item has its replies, in every sample, and nothing else is there."""
        found = Counter((row.get("sample"), row["uid"]) for row in replies)
        wanted = set(product(self._samples, questions))
        return found.keys() == wanted and (not self._is_plain or set(found.values()) <= {self._together})

    def _scored_once(
        self, task: str, replies: Sequence[Row], questions: Mapping[str, Question], references: Mapping[str, Reference]
    ) -> list[dict[str, Any]]:
        spec = self.spec
        groups = _by_item(replies) if spec["type"] in SETS else [[row] for row in replies]
        reasons = [next((row["reason"] for row in rows if row["status"] == "failed"), None) for rows in groups]
        failed = [any(row["status"] == "failed" for row in rows) for rows in groups]
        cases = [
            _case(rows, questions[rows[0]["uid"]], references[rows[0]["uid"]])
            for rows, is_failed in zip(groups, failed, strict=True)
            if not is_failed
        ]
        found = score_cases(scorer_for(spec["type"], spec["scorer"]), cases, self.tools or tools_for(spec))
        if task in spec.get("groups", {}):
            found = group_verdicts(cases, found, {self.split: group_sizes(references.values())})
        verdicts = iter(found)
        return [
            _row(rows[0], reason, _FAILED)
            if is_failed
            else _row(
                rows[0], INCOMPLETE if (verdict := next(verdicts)).status == "failed" else _fallback(rows), verdict
            )
            for rows, reason, is_failed in zip(groups, reasons, failed, strict=True)
        ]

    def _judges(self) -> dict[str, str]:
        """Return the fingerprint of every model that judges, by its role."""
        scoring = self.spec.get("scoring", {})
        named = {role: name for role in ROLES if (name := scoring.get(role))}
        return {role: ModelInfo.read(self.results / paths.model_json(name)).fingerprint for role, name in named.items()}

    def write_failed(self, reason: str) -> None:
        """Write a file in which every item failed."""
        rows = [
            {**_row({"uid": question.uid}, reason, _FAILED), "task": task, "sample": sample}
            for task in self.spec["tasks"]
            for sample in self._samples
            for question in read_questions(self.results / paths.task_folder(task), self.split)
        ]
        write_rows(self.path, SCORES, rows, Provenance("score", self.spec))


def _by_item(replies: Sequence[Row]) -> list[list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in replies:
        groups.setdefault(row["uid"], []).append(row)
    return list(groups.values())


def _case(rows: Sequence[Row], question: Question, reference: Reference) -> Case:
    first = rows[0]
    return Case(
        question,
        reference,
        first["text"],
        extracted=first.get("extracted"),
        given=bool(first.get("has_extracted")),
        further=tuple(row["text"] for row in rows[1:]),
    )


def _fallback(rows: Sequence[Row]) -> str | None:
    """Return why a method left its regular path for one of these answers; None where it did not."""
    return next((row["fallback"] for row in rows if row.get("fallback")), None)


def _row(reply: Mapping[str, Any], reason: str | None, verdict: Verdict) -> dict[str, Any]:
    if verdict.score is not None and not isfinite(verdict.score):
        what = f"score {verdict.score} of a reply to {reply['uid']} is not finite"
        raise WorkError(what, remedy="correct the scorer")
    return {
        "uid": reply["uid"],
        "answer": reply.get("answer", 0),
        "status": verdict.status,
        "reason": reason,
        "score": verdict.score,
        "parsed": verdict.parsed,
        "rule": verdict.rule,
        "details_json": canonical_json(dict(verdict.details)) if verdict.details else None,
    }
