"""Reading the files of cached logits."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from moco.methods.logits import Logits, LogitsKind, OptionLogits, ReferenceLogits, ResponseLogits
from moco.records import OPTION_LOGITS, REFERENCE_LOGITS, RESPONSE_LOGITS, Schema, read_rows


def _options(row: Mapping[str, Any]) -> OptionLogits | None:
    if not row["labels"]:
        return None
    return OptionLogits(
        labels=tuple(row["labels"]),
        label_logprobs=tuple(row["label_logprobs"]),
        text_logprobs=tuple(row["text_logprobs"]),
        text_tokens=tuple(row["text_tokens"]),
        prompt_tokens=row["prompt_tokens"],
        scored_tokens=row["scored_tokens"],
    )


def _reference(row: Mapping[str, Any]) -> ReferenceLogits | None:
    if row["text"] is None:
        return None
    return ReferenceLogits(row["text"], tuple(row["tokens"]), tuple(row["logprobs"]), row["prompt_tokens"])


def response_logits(row: Mapping[str, Any]) -> ResponseLogits:
    """Return the logits of a plain response from a row of its file, or from the reply as it is stored."""
    width = row["top_k"]
    steps = range(len(row["tokens"]))

    def by_step(values: list[Any]) -> tuple[tuple[Any, ...], ...]:
        return tuple(tuple(values[step * width : (step + 1) * width]) for step in steps)

    return ResponseLogits(
        tuple(row["tokens"]),
        tuple(row["logprobs"]),
        width,
        by_step(row["top_ids"]),
        by_step(row["top_logprobs"]),
        tuple(row["tail"]),
    )


_READERS: dict[LogitsKind, tuple[Schema, Callable[[Mapping[str, Any]], Logits | None]]] = {
    "options": (OPTION_LOGITS, _options),
    "reference": (REFERENCE_LOGITS, _reference),
    "response": (RESPONSE_LOGITS, response_logits),
}


def read_logits(path: Path, kind: LogitsKind) -> dict[str, Logits]:
    """Return the cached logits of a file by item; failed items, and those that have none, are left out.

    Raises:
        WorkError: The file is missing or damaged.
    """
    schema, make = _READERS[kind]
    made = {row["uid"]: make(row) for row in read_rows(path, schema) if row["status"] == "ok"}
    return {uid: logits for uid, logits in made.items() if logits is not None}


def failed_logits(path: Path, kind: LogitsKind) -> dict[str, str]:
    """Return the reasons of failed items by item."""
    rows = read_rows(path, _READERS[kind][0], ["uid", "status", "reason"])
    return {row["uid"]: row["reason"] for row in rows if row["status"] == "failed"}
