"""Schemas of every file the workflow writes, and the only functions that read and write them."""

from moco.records.files import (
    Provenance,
    read_frame,
    read_json,
    read_provenance,
    read_rows,
    versions,
    write_json,
    write_rows,
)
from moco.records.schemas import (
    ANSWERS,
    CALLS,
    COSTS,
    GENERATIONS,
    OPTION_LOGITS,
    PERF,
    QUESTIONS,
    REFERENCE_LOGITS,
    REFERENCES,
    RESPONSE_LOGITS,
    SCORES,
    Schema,
)

__all__ = [
    "ANSWERS",
    "CALLS",
    "COSTS",
    "GENERATIONS",
    "OPTION_LOGITS",
    "PERF",
    "QUESTIONS",
    "REFERENCES",
    "REFERENCE_LOGITS",
    "RESPONSE_LOGITS",
    "SCORES",
    "Provenance",
    "Schema",
    "read_frame",
    "read_json",
    "read_provenance",
    "read_rows",
    "versions",
    "write_json",
    "write_rows",
]
