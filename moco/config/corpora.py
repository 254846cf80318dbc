"""Outside corpora that fits of methods may read."""

from moco.config.fields import Section, identity
from moco.config.tasks import Encoding


class CorpusEntry(Section):
    """A file of texts, apart from all tasks; methods name it in their settings."""

    path: str = identity(
        "File (.jsonl, .csv, .tsv, .parquet; all but the last also with .gz); environment variables are expanded.",
        min_length=1,
    )
    columns: tuple[str, ...] = identity("Columns that methods see.", ("text",), min_length=1)
    encoding: Encoding = identity("Encoding of its text; Parquet says its own.", "utf-8")
