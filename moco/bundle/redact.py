"""Copies of result files without the words of items that may not be published."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from moco import paths
from moco.bundle.licences import Terms
from moco.config.tasks import SPLITS
from moco.errors import RequestError
from moco.records import QUESTIONS, REFERENCE_LOGITS, read_provenance, read_rows
from moco.records.files import replaced_file

MARK = "[question left out]"
_NAMES = frozenset(
    {
        *("task", "uid", "key", "status", "kind", "finish", "prompt_flag", "thought", "model", "rule", "purpose"),
        *("pool", "name", "level", "scorer", "stage", "scope", "role"),
    }
)
"""Text columns with words of the project's own."""
_WRITTEN = frozenset({"text", "parsed", "extracted", "fallback", "record_json", "details_json", "reason"})
"""Text columns with words that models wrote or that were made from them."""
_TOKENS = frozenset({"tokens", "top_ids"})
"""Columns with token ids, which a tokenizer turns into words."""
_SHORTEST = 4
"""Characters; what is shorter identifies no question."""


class Redaction:
    """Leaves the words of some tasks' items out of files, which may hold rows of several tasks.

    Args:
        results: The study's results folder.
        terms: What of each task may be published.
    """

    def __init__(self, results: Path, terms: Mapping[str, Terms]) -> None:
        self._results, self._terms = results, terms
        self._closed = {task for task, about in terms.items() if not about.items}
        # What a fit that serves all tasks asked for no item may hold words of any of them.
        self._hidden = self._closed | ({paths.ALL} if self._closed else set())

    @cached_property
    def _words(self) -> dict[str, list[str]]:
        """What each item of a closed task asks, by uid, the longest text first."""
        found = {}
        for task in sorted(self._closed):
            for split in SPLITS:
                path = self._results / paths.questions(task, split)
                if not path.is_file():
                    raise RequestError(
                        "is needed to find its words in other files", where=str(path), remedy="run the study first"
                    )
                for row in read_rows(path, QUESTIONS, ["uid", "question", "prompt"]):
                    found[row["uid"]] = _variants(row["prompt"], row["question"])
        return found

    @cached_property
    def _every_word(self) -> list[str]:
        return sorted({text for texts in self._words.values() for text in texts})

    def tells(self, text: str) -> bool:
        """Return whether a text holds the words of any closed item."""
        return any(words in text for words in self._every_word)

    def tasks_of(self, source: Path) -> frozenset[str]:
        """Return the tasks that a record file has rows of; none where its rows are of no task."""
        file = pq.ParquetFile(source)
        if "task" not in file.schema_arrow.names:
            return frozenset()
        return frozenset(file.read(columns=["task"])["task"].unique().to_pylist())

    def write_copy(self, source: Path, target: Path) -> bool:
        """Write a record file without closed words, and return whether it had to change.

        Rows, order, metadata and all numbers stay. Of rows of closed tasks, prompts, token ids and reference answers
        become null, and the questions in other texts are replaced by `MARK`; of tasks without any words, all texts
        become null.
        """
        if not self.tasks_of(source) & self._hidden:
            return False
        file = pq.ParquetFile(source)
        hidden = {"prompt", *_TOKENS}
        if read_provenance(source).get("schema") == REFERENCE_LOGITS.name:
            hidden.add("text")
        with (
            replaced_file(target) as temporary,
            pq.ParquetWriter(temporary, file.schema_arrow, compression="zstd") as writer,
        ):
            for group in range(file.num_row_groups):
                writer.write_table(self._cleaned_table(file.read_row_group(group), hidden))
        return True

    def _cleaned_table(self, table: pa.Table, hidden: set[str]) -> pa.Table:
        tasks = table["task"].to_pylist()
        uids = table["uid"].to_pylist() if "uid" in table.schema.names else [None] * len(tasks)
        for index, about in enumerate(table.schema):
            if about.name in hidden or (pa.types.is_string(about.type) and about.name not in _NAMES):
                values = [
                    None
                    if about.name in hidden and task in self._hidden
                    else self._cleaned(about.name, task, uid, value)
                    for task, uid, value in zip(tasks, uids, table[about.name].to_pylist(), strict=True)
                ]
                table = table.set_column(index, about, pa.array(values, about.type))
        return table

    def _cleaned(self, column: str, task: str, uid: str | None, value: Any) -> Any:
        if value is None or task not in self._hidden:
            return value
        if task == paths.ALL:
            return None
        if self._terms[task].texts == "none" and column in _WRITTEN:
            return None
        known = None if uid is None else self._words.get(uid)
        if known is None:
            return None
        for words in known:
            value = value.replace(words, MARK)
        return value


def _variants(*texts: str) -> list[str]:
    """Return texts as they are and as they stand in JSON, the longest first."""
    found = set()
    for text in texts:
        if len(text) >= _SHORTEST:
            found |= {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    return sorted(found, key=lambda text: (-len(text), text))
