"""From a task's entry to its record files: questions for everybody, references for scorers."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from moco.config.tasks import TaskEntry
from moco.digest import canonical_json, digest
from moco.prompts.blocks import task_prompt
from moco.records import QUESTIONS, REFERENCES, Provenance, read_rows, write_json, write_rows
from moco.tasks.item import Question, Reference
from moco.tasks.layout import split_layout, task_type
from moco.tasks.raw import RawItem
from moco.tasks.sources import load_with_inputs
from moco.tasks.splits import cut_splits


def prepare(name: str, entry: TaskEntry, folder: Path, provenance_spec: Any) -> dict[str, Any]:
    """Write a task's questions, references and `task.json`, and return the content of the latter.

    Args:
        name: Name of the task.
        entry: The task; its source must not be another task.
        folder: Receives `{split}/questions.parquet`, `{split}/references.parquet` and `task.json`.
        provenance_spec: Slice of the configuration that the files' metadata record.

    Raises:
        RequestError: The entry or its data are malformed.
    """
    where = f"tasks.{name}"
    split_layout(entry, where)
    kind = task_type(entry, where)
    found = load_with_inputs(entry, where)
    items = cut_splits(entry, found.items, where)
    provenance = Provenance("prepare", provenance_spec, found.inputs)
    splits = {split: _write_split(name, kind, split, rows, folder / split, provenance) for split, rows in items.items()}
    facts = {
        "name": name,
        "type": kind,
        "domain": entry.domain,
        "splits": splits,
        "source": entry.source.slice(),
        "files": found.inputs,
        **({"revisions": found.revisions} if found.revisions else {}),
    }
    write_json(folder / "task.json", facts)
    return facts


def read_questions(folder: Path, split: str) -> list[Question]:
    """Return the questions of a split, in source order.

    Raises:
        WorkError: The file is missing or damaged.
    """
    return [
        Question(**{**row, "options": None if row["options"] is None else tuple(row["options"])})
        for row in read_rows(folder / split / "questions.parquet", QUESTIONS)
    ]


def read_references(folder: Path, split: str) -> dict[str, Reference]:
    """Return the references of a split by uid, in source order.

    Raises:
        WorkError: The file is missing or damaged.
    """
    return {
        row["uid"]: Reference(
            uid=row["uid"],
            gold=json.loads(row["gold_json"]),
            gold_kind=row["gold_kind"],
            src_id=row["src_id"],
            group=row["group"],
            valid=row["valid"],
            meta=json.loads(row["meta_json"]),
        )
        for row in read_rows(folder / split / "references.parquet", REFERENCES)
    }


def _write_split(
    task: str, kind: str, split: str, items: Sequence[RawItem], folder: Path, provenance: Provenance
) -> dict[str, Any]:
    questions = [_question_row(task, kind, split, item) for item in items]
    references = [_reference_row(task, split, item) for item in items]
    write_rows(folder / "questions.parquet", QUESTIONS, questions, provenance)
    write_rows(folder / "references.parquet", REFERENCES, references, provenance)
    return {
        "items": len(items),
        "valid": sum(item.valid for item in items),
        "questions": digest(questions),
        "references": digest(references),
    }


def _uid(task: str, split: str, item: RawItem) -> str:
    return f"{task}/{split}/{item.row}"


def _question_row(task: str, kind: str, split: str, item: RawItem) -> dict[str, Any]:
    bare = Question(
        uid=_uid(task, split, item),
        task=task,
        split=split,
        type=kind,
        question=item.question,
        prompt="",
        options=item.options,
        domain=item.domain,
    )
    row = asdict(replace(bare, prompt=task_prompt(bare)))
    return {**row, "options": None if item.options is None else list(item.options)}


def _reference_row(task: str, split: str, item: RawItem) -> dict[str, Any]:
    return {
        "uid": _uid(task, split, item),
        "src_id": item.src_id,
        "gold_json": canonical_json(item.gold),
        "gold_kind": item.gold_kind,
        "group": item.group,
        "valid": item.valid,
        "meta_json": canonical_json(item.meta),
    }
