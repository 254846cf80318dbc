"""Scores as files: one row per reply."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moco import paths
from moco.digest import canonical_json, digest
from moco.errors import WorkError
from moco.records import ANSWERS, GENERATIONS, SCORES, Provenance, Schema, read_rows, write_rows
from moco.scoring.base import Case, Verdict, score_cases
from moco.scoring.catalogue import scorer_for
from moco.tasks.prepare import read_questions, read_references


def score_plain(results: Path, task: str, split: str, source: str, spec: Mapping[str, Any]) -> None:
    """Score a generations file.

    Args:
        results: The results folder.
        task: Task of the items.
        split: Their split.
        source: The file, relative to `results`.
        spec: With `scorer` and `type`.
    """
    _score(results, task, split, source, GENERATIONS, spec)


def score_answers(results: Path, task: str, split: str, source: str, spec: Mapping[str, Any]) -> None:
    """Score an answers file; arguments as for `score_plain`."""
    _score(results, task, split, source, ANSWERS, spec)


def _score(results: Path, task: str, split: str, source: str, schema: Schema, spec: Mapping[str, Any]) -> None:
    scorer = scorer_for(spec["type"], spec["scorer"])
    folder = results / paths.task_folder(task)
    questions = {question.uid: question for question in read_questions(folder, split)}
    references = read_references(folder, split)
    replies = read_rows(results / source, schema)
    if {row["uid"] for row in replies} != questions.keys():
        raise WorkError(f"items differ from those of {task}/{split}", where=source, remedy="make both again")
    cases = [
        Case(
            questions[row["uid"]],
            references[row["uid"]],
            row["text"],
            extracted=row.get("extracted"),
            given=bool(row.get("has_extracted")),
        )
        for row in replies
        if row["status"] != "failed"
    ]
    verdicts = iter(score_cases(scorer, cases))
    rows = [
        _row(row, "failed", row["reason"], Verdict(None, None, ""))
        if row["status"] == "failed"
        else _row(row, (verdict := next(verdicts)).status, None, verdict)
        for row in replies
    ]
    inputs = {"references": digest([vars(item) for item in references.values()]), "replies": digest(replies)}
    target = results / paths.scores(spec["scorer"], source)
    write_rows(target, SCORES, rows, Provenance("score", spec, inputs))


def _row(reply: Mapping[str, Any], status: str, reason: str | None, verdict: Verdict) -> dict[str, Any]:
    return {
        "uid": reply["uid"],
        "answer": reply.get("answer", 0),
        "status": status,
        "reason": reason,
        "score": verdict.score,
        "parsed": verdict.parsed,
        "rule": verdict.rule,
        "details_json": canonical_json(dict(verdict.details)) if verdict.details else None,
    }
