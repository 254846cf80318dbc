"""What training files may hold: items to learn from, and nothing of the test."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from moco import paths
from moco.records import EXAMPLES, read_rows
from moco.tasks.prepare import read_questions, read_references

LEARNT = ("train", "dev", "distill")


def training_files(folder: Path) -> list[Path]:
    """Return every Parquet file below a folder, hidden ones included, that has the columns of examples."""
    wanted = set(EXAMPLES.columns.names)
    return [path for path in sorted(folder.rglob("*.parquet")) if wanted <= set(pq.read_schema(path).names)]


def check_training_files(folder: Path, results: Path, tasks: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of all training files of a project, its store's included, after a look for anything of the test.

    Args:
        folder: The project.
        results: Of its study.
        tasks: Its tasks; questions and golds of their test split are like no other text.
    """
    files = training_files(folder)
    assert files, "nothing was trained"
    folders = [results / paths.task_folder(task) for task in tasks]
    known = {item.uid for folder in folders for split in LEARNT for item in read_questions(folder, split)}
    secrets = [item.question for folder in folders for item in read_questions(folder, "test")]
    secrets += [text for folder in folders for text in _golds(folder)]
    rows = [row for path in files for row in read_rows(path, EXAMPLES)]
    for row in rows:
        assert row["uid"] in known
        assert row["source"]
        texts = "\n".join((row["prompt"], row["reply"], row["rejected"]))
        assert not [secret for secret in secrets if secret in texts], row
    return rows


def _golds(folder: Path) -> Iterator[str]:
    yield from (str(reference.gold) for reference in read_references(folder, "test").values())
