"""Copies of result files without the words of items that may not be published."""

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from moco import paths
from moco.bundle.licences import Terms
from moco.errors import RequestError
from moco.records import QUESTIONS, read_rows
from moco.records.files import replaced_file

MARK = "[question left out]"
_NAMES = frozenset({"uid", "key", "status", "kind", "finish", "prompt_flag", "thought", "model", "rule", "purpose"})
"""Text columns with words of the project's own."""
_WRITTEN = frozenset({"text", "parsed", "extracted", "fallback", "record_json", "details_json", "reason"})
"""Text columns with words that models wrote or that were made from them."""
_TOKENS = frozenset({"tokens", "top_ids"})
"""Columns with token ids, which a tokenizer turns into the words of a reply."""
_SHORTEST = 4
"""Characters; what is shorter identifies no question."""


class Redaction:
    """Leaves the words of some tasks' items out of files.

    Args:
        results: The results folder.
        terms: What of each task may be published.
        splits: Splits of each task.
    """

    def __init__(self, results: Path, terms: Mapping[str, Terms], splits: Mapping[str, Iterable[str]]) -> None:
        self._results, self._splits = results, splits
        self._terms = terms
        self._closed = {task for task, about in terms.items() if not about.items}

    @cached_property
    def _words(self) -> dict[str, list[str]]:
        """What each item of a closed task asks, by uid, the longest text first."""
        found = {}
        for task in sorted(self._closed):
            for split in self._splits[task]:
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

    def write_copy(self, source: Path, target: Path) -> bool:
        """Write a record file without closed words, and return whether it had to change.

        Rows, order, metadata and all numbers stay. Prompts of closed items and token ids of replies become null, and the
        questions in other texts are replaced by `MARK`; of tasks without any words, all texts become null.
        """
        file = pq.ParquetFile(source)
        table = file.read()
        if not self._closed or "uid" not in table.schema.names:
            return False
        uids = table["uid"].to_pylist()
        if not any(_task(uid) in self._closed for uid in uids):
            return False
        for index, about in enumerate(table.schema):
            if about.name in _TOKENS or (pa.types.is_string(about.type) and about.name not in _NAMES):
                values = [
                    self._cleaned(about.name, uid, value)
                    for uid, value in zip(uids, table[about.name].to_pylist(), strict=True)
                ]
                table = table.set_column(index, about, pa.array(values, about.type))
        with replaced_file(target) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        return True

    def _cleaned(self, column: str, uid: str, value: Any) -> Any:
        task = _task(uid)
        if value is None or task not in self._closed:
            return value
        if column == "prompt" or column in _TOKENS or (self._terms[task].texts == "none" and column in _WRITTEN):
            return None
        known = self._words.get(uid)
        if known is None:
            return None
        for words in known:
            value = value.replace(words, MARK)
        return value


def _task(uid: str) -> str:
    return uid.partition("/")[0]


def _variants(*texts: str) -> list[str]:
    """Return texts as they are and as they stand in JSON, the longest first."""
    found = set()
    for text in texts:
        if len(text) >= _SHORTEST:
            found |= {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    return sorted(found, key=lambda text: (-len(text), text))
