"""Outside corpora: rows of text files that fits may read."""

from typing import Any

from moco.config.corpora import CorpusEntry
from moco.config.expand import expand
from moco.errors import RequestError
from moco.tasks.sources.table import placed_rows


def read_corpus(name: str, entry: CorpusEntry) -> list[dict[str, Any]]:
    """Return the rows of a corpus in the order of its file, each with the columns that are declared.

    Raises:
        RequestError: The file is missing, damaged or empty, or a row lacks a column.
    """
    rows = []
    for _, row in placed_rows(expand(entry.path), f"corpus {name}", list(entry.columns), entry.encoding):
        if isinstance(row, RequestError):
            raise row
        rows.append({column: row[column] for column in entry.columns})
    if not rows:
        raise RequestError("corpus is empty", where=f"corpora.{name}", remedy="name a file with rows")
    return rows
