"""From a task's entry to its record files: questions for everybody, references for scorers.

The source is read twice, once to select rows and once to write them, so that memory does not grow with its texts.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from moco.config.tasks import SPLITS, TaskEntry
from moco.digest import ListDigest, canonical_json
from moco.errors import RequestError
from moco.prompts.blocks import task_prompt
from moco.records import DROPPED, QUESTIONS, REFERENCES, Provenance, read_rows, row_writer, write_json, write_rows
from moco.tasks.blanks import even_blanks
from moco.tasks.item import DATASET, Question, Reference
from moco.tasks.layout import split_layout, task_type
from moco.tasks.leakage import BAD_ROW
from moco.tasks.raw import RawItem
from moco.tasks.selection import Selection, grouping, select
from moco.tasks.sources import open_source

CONTRADICTED = "contradicted"
"""Reason of broken items that are asked twice with different golds."""


def prepare(name: str, entry: TaskEntry, folder: Path, provenance_spec: Any) -> dict[str, Any]:
    """Write a task's questions, references and `task.json`, and return the content of the latter.

    Args:
        name: Name of the task.
        entry: The task; its source must not be another task.
        folder: Receives `{split}/questions.parquet`, `{split}/references.parquet`, `dropped.parquet` with the items
            that clean splits leave out, and `task.json`. Files of a split that the task lacks are empty.
        provenance_spec: Slice of the configuration that the files' metadata record.

    Raises:
        RequestError: The entry or its data are malformed.
    """
    where = f"tasks.{name}"
    split_layout(entry, where)
    kind = task_type(entry, where)
    found = open_source(entry, where)
    selection = select(entry, found.rows, where)
    inputs = found.inputs()
    provenance = Provenance("prepare", provenance_spec, inputs)
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(_SplitWriter(name, kind, entry.dataset, split, folder / split, provenance))
            for split in selection.kept
        }
        for split, source in found.rows.items():
            items = source.items([] if entry.bad_rows == "drop" else None)
            _write_rows(split, map(grouping(entry), items), selection, writers, where)
    for split in SPLITS:
        if split not in selection.kept:
            write_rows(folder / split / "questions.parquet", QUESTIONS, (), provenance)
            write_rows(folder / split / "references.parquet", REFERENCES, (), provenance)
    write_rows(folder / "dropped.parquet", DROPPED, _dropped_rows(name, selection), provenance)
    facts = {
        "name": name,
        "type": kind,
        "domain": entry.domain,
        "splits": {
            split: {
                **writer.facts(),
                "dropped": _reasons(split, selection),
                "beyond_limit": selection.beyond.get(split, 0),
            }
            for split, writer in writers.items()
        },
        "source": entry.source.slice(),
        "files": inputs,
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


class _SplitWriter:
    """Writes questions and references of one split, and counts what it writes."""

    def __init__(
        self, task: str, kind: str, dataset: str | None, split: str, folder: Path, provenance: Provenance
    ) -> None:
        self._task, self._kind, self._split = task, kind, split
        self._known = {} if dataset is None else {DATASET: dataset}
        self._folder, self._provenance = folder, provenance
        self._items = 0
        self._evened = 0
        self._broken: Counter[str] = Counter()
        self._questions, self._references = ListDigest(), ListDigest()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._files = [
                stack.enter_context(row_writer(self._folder / f"{schema.name}.parquet", schema, self._provenance))
                for schema in (QUESTIONS, REFERENCES)
            ]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> bool | None:
        return self._stack.__exit__(*error)

    def add(self, item: RawItem, broken: str | None) -> None:
        """Append an item, which counts as valid unless it is broken for some reason."""
        options = None if item.options is None else tuple(map(even_blanks, item.options))
        self._evened += options != item.options
        item = replace(item, meta={**item.meta, **self._known}, options=options)
        rows = _question_row(self._task, self._kind, self._split, item), _reference_row(self._task, self._split, item)
        rows[1]["valid"] = broken is None
        for row, file, seen in zip(rows, self._files, (self._questions, self._references), strict=True):
            file.add(row)
            seen.add(row)
        self._items += 1
        if broken is not None:
            self._broken[broken] += 1

    def facts(self) -> dict[str, Any]:
        """Return what `task.json` says of the split."""
        return {
            "items": self._items,
            "valid": self._items - self._broken.total(),
            "broken": dict(self._broken),
            "evened": self._evened,
            "questions": self._questions.hexdigest(),
            "references": self._references.hexdigest(),
        }


def _write_rows(
    split: str, items: Iterator[RawItem], selection: Selection, writers: Mapping[str, _SplitWriter], where: str
) -> None:
    """Write the items of a split of the source to the splits of the task that they belong to."""
    wanted = sorted(
        (item.row, target)
        for target in writers
        if selection.source_of(target) == split
        for item in selection.kept[target]
    )
    following = iter(wanted)
    row, target = next(following, (-1, ""))
    size = 0
    for item in items:
        size += 1
        if item.row == row:
            contradicted = item.row in selection.contradicted[split]
            writers[target].add(item, broken_reason(item) or (CONTRADICTED if contradicted else None))
            row, target = next(following, (-1, ""))
    if size != selection.sizes[split]:
        raise RequestError(f"{split} changed while it was read", where=where, remedy="prepare the task again")


def broken_reason(item: RawItem) -> str | None:
    """Return why no reply to an item could be judged, or None for a valid item."""
    if item.valid:
        return None
    if item.gold_kind == "code":
        return "empty test"
    return "no gold" if item.gold_kind == "none" else "marked by the source"


def _reasons(split: str, selection: Selection) -> dict[str, int]:
    """Return the number of items that clean splits left out of a split, by reason; those of what is cut off dev in dev."""
    bad = {BAD_ROW: len(selection.bad[split])} if selection.bad.get(split) else {}
    return bad | Counter(drop.reason for drop in selection.drops if drop.split == split)


def _dropped_rows(task: str, selection: Selection) -> Iterator[dict[str, Any]]:
    for split, rows in selection.bad.items():
        yield from ({"split": split, "row": row, "src_id": "", "reason": BAD_ROW, "other": ""} for row in rows)
    for drop in selection.drops:
        split, row = drop.other
        yield {
            "split": drop.split,
            "row": drop.item.row,
            "src_id": drop.item.src_id,
            "reason": drop.reason,
            "other": f"{task}/{selection.split_of(split, row)}/{row}",
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
    return {
        **vars(bare),
        "prompt": task_prompt(bare),
        "options": None if item.options is None else list(item.options),
    }


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
