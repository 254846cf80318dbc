"""Recorded cases: replies with the scores that the original rules gave them, recomputed and compared.

A file has one JSON object a line: `task_type`, `item` (in MoCo's format; the text of the question may be missing),
`response`, and `paper` with `parsed` and `score`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moco.errors import RequestError
from moco.registry import did_you_mean
from moco.scoring.base import Case, Tools, Verdict, score_cases
from moco.scoring.catalogue import scorer_for, task_types
from moco.tasks.item import Question, Reference
from moco.tasks.sources.moco_json import read_item

TOLERANCE = 1e-9
"""Largest difference between equal scores."""

_NO_TEXT = {"question": "not recorded", "input": "not recorded"}


@dataclass(frozen=True)
class RecordedCase:
    """One line of a file.

    Attributes:
        line: Its number, from 1.
        task_type: Type of the item's task.
        case: The item and the reply.
        parsed: What the original rules extracted.
        score: The score they gave.
    """

    line: int
    task_type: str
    case: Case
    parsed: Any
    score: float


@dataclass(frozen=True)
class Disagreement:
    """A case whose recomputed score or extraction is another one."""

    line: int
    expected: dict[str, Any]
    got: dict[str, Any]


def read_cases(path: Path) -> list[RecordedCase]:
    """Return the cases of a file.

    Raises:
        RequestError: The file is missing or damaged, or a task type has no scorer.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RequestError(f"cannot be read ({reason})", where=str(path)) from None
    rows = enumerate(text.split("\n"), start=1)
    cases = [_read_case(line, row, f"{path}: line {line}") for line, row in rows if row.strip()]
    if not cases:
        raise RequestError("holds no cases", where=str(path))
    return cases


def disagreements(cases: Sequence[RecordedCase], tools: Tools) -> list[Disagreement]:
    """Return the cases on which the `paper` rules of today disagree with what was recorded, by line."""
    found = []
    for kind in dict.fromkeys(case.task_type for case in cases):
        own = [case for case in cases if case.task_type == kind]
        verdicts = score_cases(scorer_for(kind, "paper"), [recorded.case for recorded in own], tools)
        for recorded, verdict in zip(own, verdicts, strict=True):
            if not _agrees(recorded, verdict):
                expected = {"parsed": recorded.parsed, "score": recorded.score}
                got = {"parsed": verdict.parsed, "score": verdict.score}
                found.append(Disagreement(recorded.line, expected, got))
    return sorted(found, key=lambda each: each.line)


def _agrees(recorded: RecordedCase, verdict: Verdict) -> bool:
    parsed = json.dumps(recorded.parsed) if isinstance(recorded.parsed, bool) else recorded.parsed
    return verdict.parsed == parsed and verdict.score is not None and abs(verdict.score - recorded.score) <= TOLERANCE


def _read_case(line: int, row: str, where: str) -> RecordedCase:
    try:
        content = json.loads(row)
    except (ValueError, RecursionError):
        raise RequestError("is not JSON", where=where) from None
    kind = _field(content, "task_type", str, where)
    if kind not in task_types():
        raise RequestError(f"no scorer for task type {kind!r}", where=where, remedy=did_you_mean(kind, task_types()))
    item = _field(content, "item", dict, where)
    paper = _field(content, "paper", dict, where)
    score = _field(paper, "score", (int, float), f"{where}: paper")
    if "parsed" not in paper:
        raise RequestError("field 'parsed' is missing", where=f"{where}: paper")
    question, reference = _question_and_reference(line, kind, item, where)
    reply = _field(content, "response", str, where)
    return RecordedCase(line, kind, Case(question, reference, reply), paper["parsed"], float(score))


def _field(content: Any, name: str, kind: type | tuple[type, ...], where: str) -> Any:
    if not isinstance(content, dict):
        raise RequestError("is not an object", where=where)
    if name not in content:
        raise RequestError(f"field {name!r} is missing", where=where)
    if not isinstance(content[name], kind):
        raise RequestError(f"field {name!r} has the wrong type", where=where)
    return content[name]


def _question_and_reference(line: int, task_type: str, item: dict[str, Any], where: str) -> tuple[Question, Reference]:
    raw = read_item(line, {**_NO_TEXT, **item}, task_type, f"{where}: item")
    task = item.get("task")
    uid = f"case/test/{raw.row}"
    question = Question(
        uid=uid,
        task=task if isinstance(task, str) else "case",
        split="test",
        type=task_type,
        question=raw.question,
        prompt="",
        options=raw.options,
    )
    reference = Reference(uid, raw.gold, raw.gold_kind, raw.src_id, raw.group, raw.valid, raw.meta)
    return question, reference
