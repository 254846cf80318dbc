"""From rows of cached logits to what methods read."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from moco.methods.logits import Logits, LogitsKind, OptionLogits, ReferenceLogits, ResponseLogits
from moco.records import OPTION_LOGITS, REFERENCE_LOGITS, RESPONSE_LOGITS, Schema


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


LOGITS_SCHEMAS: dict[LogitsKind, Schema] = {
    "options": OPTION_LOGITS,
    "reference": REFERENCE_LOGITS,
    "response": RESPONSE_LOGITS,
}

_MAKERS: dict[LogitsKind, Callable[[Mapping[str, Any]], Logits | None]] = {
    "options": _options,
    "reference": _reference,
    "response": response_logits,
}


def logits_by_item(rows: Iterable[Mapping[str, Any]], kind: LogitsKind) -> dict[str, Logits]:
    """Return the cached logits in rows of a file by item; failed items, and those that have none, are left out."""
    made = {row["uid"]: _MAKERS[kind](row) for row in rows if row["status"] == "ok"}
    return {uid: logits for uid, logits in made.items() if logits is not None}
