"""Recorded cases: replies with the scores that a rule set gives them, recomputed and compared.

A file has one JSON object a line: `task_type`, `item` (in MoCo's format; the text of the question may be missing),
`response`, and under the name of the rule set an object with `score`, for the original's rule sets also with `parsed`. Instead of that
object, `error` names what the original raises: such an item has no score.
"""

import codecs
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from moco.errors import RequestError
from moco.registry import did_you_mean
from moco.scoring.base import Case, Tools, Verdict, score_cases
from moco.scoring.catalogue import scorer_for, task_types
from moco.tasks.item import Question, Reference
from moco.tasks.raw import RawItem
from moco.tasks.sources.moco_json import read_item, with_null_options

TOLERANCE = 1e-9
"""Largest difference between equal scores."""

_JUDGED = ("general_verifier", "generation_diversity", "reward_model")
_NO_TEXT = {"question": "not recorded", "input": "not recorded"}


@dataclass(frozen=True)
class RecordedCase:
    """One line of a file.

    Attributes:
        line: Its number, from 1.
        task_type: Type of the item's task.
        case: The item and the reply.
        recorded: What the rule set gives: `score`, null for an item that is not scored, and `parsed` where it counts.
    """

    line: int
    task_type: str
    case: Case
    recorded: dict[str, Any]


@dataclass(frozen=True)
class Disagreement:
    """A case whose recomputed score or extraction is another one."""

    line: int
    expected: dict[str, Any]
    got: dict[str, Any]


def read_cases(path: Path, rules: str) -> tuple[list[RecordedCase], dict[int, RequestError]]:
    """Return the cases of a file, and what is wrong with its other lines, by their number.

    Args:
        path: The file.
        rules: The rule set whose scores are recorded.

    Raises:
        RequestError: The file cannot be read, or has no line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RequestError(f"cannot be read ({error.strerror or error})", where=str(path)) from None
    cases: list[RecordedCase] = []
    bad: dict[int, RequestError] = {}
    for line, row in enumerate(content.removeprefix(codecs.BOM_UTF8).split(b"\n"), start=1):
        if row.strip():
            try:
                cases.append(_read_case(line, row, rules, f"{path}: line {line}"))
            except RequestError as error:
                bad[line] = error
    if not cases and not bad:
        raise RequestError("holds no cases", where=str(path))
    return cases, bad


def disagreements(
    cases: Sequence[RecordedCase], rules: str, tools: Tools
) -> tuple[list[Disagreement], dict[int, RequestError]]:
    """Return the cases on which a rule set as it is today disagrees with what was recorded, by line.

    Returns:
        They; and the lines of task types that cannot be scored on this machine, with the reason.

    Raises:
        RequestError: None of the cases can be scored.
    """
    found = []
    unscored: dict[int, RequestError] = {}
    for kind in dict.fromkeys(case.task_type for case in cases):
        own = [case for case in cases if case.task_type == kind]
        try:
            verdicts = score_cases(scorer_for(kind, rules), [recorded.case for recorded in own], tools)
        except RequestError as error:
            unscored |= {case.line: error for case in own}
            if len(unscored) == len(cases):
                raise
            continue
        for case, verdict in zip(own, verdicts, strict=True):
            if not _agrees(case.recorded, verdict):
                got = {"parsed": verdict.parsed, "score": verdict.score}
                found.append(Disagreement(case.line, case.recorded, {name: got[name] for name in case.recorded}))
    return sorted(found, key=lambda each: each.line), unscored


def _agrees(recorded: dict[str, Any], verdict: Verdict) -> bool:
    if "parsed" in recorded:
        parsed = recorded["parsed"]
        if verdict.parsed != (json.dumps(parsed) if isinstance(parsed, bool) else parsed):
            return False
    if verdict.score is None or recorded["score"] is None:
        return verdict.score is recorded["score"]
    return abs(verdict.score - float(recorded["score"])) <= TOLERANCE


def _read_case(line: int, row: bytes, rules: str, where: str) -> RecordedCase:
    try:
        content = json.loads(row)
    except (ValueError, RecursionError):
        raise RequestError("is not JSON", where=where) from None
    kind = _field(content, "task_type", str, where)
    if kind not in task_types():
        raise RequestError(f"no scorer for task type {kind!r}", where=where, remedy=did_you_mean(kind, task_types()))
    if kind in _JUDGED:
        raise RequestError(f"task type {kind!r} is scored by models, of which recorded cases have none", where=where)
    item = _field(content, "item", dict, where)
    if rules not in content and isinstance(content.get("error"), str):
        recorded: dict[str, Any] = {"score": None}
    else:
        recorded = _recorded(_field(content, rules, dict, where), rules, f"{where}: {rules}")
    question, reference = _question_and_reference(line, kind, item, where)
    reply = _field(content, "response", str, where)
    return RecordedCase(line, kind, Case(question, reference, reply), recorded)


def _recorded(content: dict[str, Any], rules: str, where: str) -> dict[str, Any]:
    score = _field(content, "score", (int, float, type(None)), where)
    if isinstance(score, bool) or (score is not None and not math.isfinite(score)):
        raise RequestError("field 'score' has the wrong type", where=where)
    if "parsed" not in content and rules != "strict":
        raise RequestError("field 'parsed' is missing", where=where)
    parsed = {"parsed": content["parsed"]} if "parsed" in content else {}
    return {**parsed, "score": None if score is None else float(score)}


def _field(content: Any, name: str, kind: type | tuple[type, ...], where: str) -> Any:
    if not isinstance(content, dict):
        raise RequestError("is not an object", where=where)
    if name not in content:
        raise RequestError(f"field {name!r} is missing", where=where)
    if not isinstance(content[name], kind):
        raise RequestError(f"field {name!r} has the wrong type", where=where)
    return content[name]


def _read_odd_item(line: int, item: dict[str, Any], task_type: str, where: str) -> RawItem:
    """Return an item that may have null or empty options, or an empty category, which tasks refuse."""
    choices, category = item.get("choices"), item.get("category")
    if isinstance(choices, dict):
        texts = {key: "" if text is None else text for key, text in choices.items()}
        filled = {key: text or "-" if isinstance(text, str) else text for key, text in texts.items()}
        made = read_item(line, {**with_null_options(item), "choices": filled}, task_type, where)
        return made if made.options is None else replace(made, options=tuple(texts.values()))
    if task_type == "noncompliance" and isinstance(category, str) and not category.strip():
        return replace(read_item(line, {**item, "category": "-"}, task_type, where), gold=category)
    return read_item(line, item, task_type, where)


def _question_and_reference(line: int, task_type: str, item: dict[str, Any], where: str) -> tuple[Question, Reference]:
    raw = _read_odd_item(line, {**_NO_TEXT, **item}, task_type, f"{where}: item")
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
