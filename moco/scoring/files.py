"""Scores as files: one row per reply, or per item where its replies are scored together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moco import paths
from moco.digest import canonical_json, digest
from moco.errors import WorkError
from moco.models.info import ModelInfo
from moco.records import ANSWERS, GENERATIONS, SCORES, Provenance, read_rows, write_rows
from moco.scoring.base import Case, Tools, Verdict, score_cases
from moco.scoring.catalogue import scorer_for
from moco.scoring.groups import INCOMPLETE, group_sizes, group_verdicts
from moco.scoring.judges import ROLES, SETS
from moco.scoring.tools import tools_for
from moco.tasks.item import Question, Reference
from moco.tasks.prepare import read_questions, read_references

_FAILED = Verdict(None, None, "", "failed")

Row = Mapping[str, Any]


def score_plain(
    results: Path,
    task: str,
    split: str,
    source: str,
    spec: Mapping[str, Any],
    tools: Tools | None = None,
    *,
    samples: Sequence[str] = (),
) -> None:
    """Score a generations file.

    Args:
        results: The results folder.
        task: Task of the items.
        split: Their split.
        source: The file, relative to `results`.
        spec: With `scorer` and `type`; `groups` names the tasks whose groups score as one, `code` says how replies that
            are programs run, `scoring` which models judge.
        tools: What the scorer may use; left out, what the spec allows without models.
        samples: Files that are read instead, where the replies to an item in all of them are scored together; `source`
            then only says where the scores lie.
    """
    replies = [row for path in samples or [source] for row in read_rows(results / path, GENERATIONS)]
    _score(results, task, split, source, replies, spec, tools)


def score_answers(
    results: Path, task: str, split: str, source: str, spec: Mapping[str, Any], tools: Tools | None = None
) -> None:
    """Score an answers file; arguments as for `score_plain`."""
    _score(results, task, split, source, read_rows(results / source, ANSWERS), spec, tools)


def _score(
    results: Path,
    task: str,
    split: str,
    source: str,
    replies: Sequence[Row],
    spec: Mapping[str, Any],
    tools: Tools | None,
) -> None:
    scorer = scorer_for(spec["type"], spec["scorer"])
    folder = results / paths.task_folder(task)
    questions = {question.uid: question for question in read_questions(folder, split)}
    references = read_references(folder, split)
    if {row["uid"] for row in replies} != questions.keys():
        raise WorkError(f"items differ from those of {task}/{split}", where=source, remedy="make both again")
    groups = _by_item(replies) if spec["type"] in SETS else [[row] for row in replies]
    reasons = [next((row["reason"] for row in rows if row["status"] == "failed"), None) for rows in groups]
    failed = [any(row["status"] == "failed" for row in rows) for rows in groups]
    cases = [
        _case(rows, questions[rows[0]["uid"]], references[rows[0]["uid"]])
        for rows, is_failed in zip(groups, failed, strict=True)
        if not is_failed
    ]
    found = score_cases(scorer, cases, tools or tools_for(spec))
    if task in spec.get("groups", {}):
        found = group_verdicts(cases, found, {split: group_sizes(references.values())})
    verdicts = iter(found)
    scored = [
        _row(rows[0], reason, _FAILED)
        if is_failed
        else _row(rows[0], INCOMPLETE if (verdict := next(verdicts)).status == "failed" else None, verdict)
        for rows, reason, is_failed in zip(groups, reasons, failed, strict=True)
    ]
    inputs = {"references": digest([vars(item) for item in references.values()]), "replies": digest(replies)}
    provenance = Provenance("score", spec, {**inputs, **_judges_of(results, spec)})
    write_rows(results / paths.scores(spec["scorer"], source), SCORES, scored, provenance)


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


def _judges_of(results: Path, spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the fingerprint of every model that judges, by its role."""
    named = {role: spec.get("scoring", {}).get(role) for role in ROLES}
    return {role: ModelInfo.read(results / paths.model_json(name)).fingerprint for role, name in named.items() if name}


def write_failed(results: Path, task: str, split: str, source: str, spec: Mapping[str, Any], reason: str) -> None:
    """Write a score file in which every item failed.

    Args:
        results: The results folder.
        task: Task of the items.
        split: Their split.
        source: The file that was to be scored, relative to `results`.
        spec: As for `score_plain`.
        reason: Why.
    """
    questions = read_questions(results / paths.task_folder(task), split)
    rows = [_row({"uid": question.uid}, reason, _FAILED) for question in questions]
    write_rows(results / paths.scores(spec["scorer"], source), SCORES, rows, Provenance("score", spec))


def _row(reply: Mapping[str, Any], reason: str | None, verdict: Verdict) -> dict[str, Any]:
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
