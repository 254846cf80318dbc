"""The table of replies that ended because they reached the longest length, and of prompts that did not fit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from moco.analysis.notes import study_notes
from moco.analysis.render import Cell, Table
from moco.analysis.results import Spec
from moco.errors import WorkError
from moco.records import CALLS, GENERATIONS, SCORES, read_frame
from moco.records.schemas import Schema

_COLUMNS = (
    *("pool", "system", "level", "task"),
    *("replies", "cut replies", "share of cut replies (%)"),
    *("answers that read one (%)", "of these unreadable", "cut prompts"),
)
_READ = ["uid", "key", "finish", "prompt_flag"]


def moco_truncated(spec: Spec, results: Path) -> Table:
    """Return how many replies of every model and method on the test items were cut at the token limit."""
    rows = [_row(results, entry) for entry in (*spec["singles"], *spec["methods"])]
    notes = (
        "Cut replies reached the longest reply of their decoding preset or request (max_new_tokens) before the model"
        " ended them, so an answer that would have come later is missing. A method's replies are those that it reads to"
        " answer test items, each counted once per reading; what fits read on dev is not among them.",
        "Answers that read one: share of answers, over items and seeds, of which at least one reply was cut. Of these"
        " unreadable: answers in which no answer was found, which count as wrong.",
        "Cut prompts lost the beginning of their question because they did not fit the model's context.",
        *study_notes(spec)[:1],
    )
    return Table(f"Study {spec['study']}: replies cut at the token limit", _COLUMNS, tuple(rows), notes)


def _row(results: Path, entry: dict[str, Any]) -> tuple[Cell, ...]:
    replies = pd.concat(_replies(results, entry))
    scores = pd.concat(_scores(results, entry))
    of_answer = replies.groupby(["seed", "uid"])["cut"].any()
    unread = scores.groupby(["seed", "uid"])["unparsed"].any()
    hit = of_answer.index[of_answer]
    single = "model" in entry
    return (
        "-" if single else entry["pool"],
        entry["model"] if single else entry["variant"],
        "single" if single else entry["level"],
        entry["task"],
        len(replies),
        int(replies["cut"].sum()),
        float(replies["cut"].mean()) if len(replies) else "-",
        float(of_answer.mean()) if len(of_answer) else "-",
        int(unread.reindex(hit, fill_value=False).sum()),
        int((replies["prompt_flag"] == "truncated").sum()),
    )


def _replies(results: Path, entry: dict[str, Any]) -> Iterator[pd.DataFrame]:
    """Yield the replies behind a result, by seed; a joint one counts once, not once per model."""
    for seed, path in entry["replies" if "model" in entry else "calls"].items():
        if "model" in entry:
            frame = _frame(results / path, GENERATIONS, _READ)
        else:
            frame = _frame(results / path, CALLS, [*_READ, "kind", "round", "sample"])
            again = frame.duplicated(["uid", "key", "round", "sample"]) & (frame["kind"] == "joint")
            frame = frame[~again]
        # Given texts that were scored, and requests without a reply, ended in neither way.
        frame = frame[frame["finish"].isin(["stop", "length"])]
        yield frame.assign(seed=seed, cut=frame["finish"] == "length")


def _scores(results: Path, entry: dict[str, Any]) -> Iterator[pd.DataFrame]:
    for seed, path in entry["scores"].items():
        frame = _frame(results / path, SCORES, ["uid", "status"])
        yield frame.assign(seed=seed, unparsed=frame["status"] == "unparsed")


def _frame(path: Path, schema: Schema, columns: list[str]) -> pd.DataFrame:
    if not path.is_file():
        raise WorkError("file is missing", where=str(path), remedy="run the rules that make the answers")
    return read_frame(path, schema, columns)
