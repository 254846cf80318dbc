"""Replies that ended because they reached the longest length, and prompts that did not fit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from moco import paths
from moco.analysis.notes import study_notes
from moco.analysis.render import Cell, Table
from moco.analysis.results import Spec
from moco.records import ALL_REPLIES, CALLS, GENERATIONS, SCORES, read_frame

_COLUMNS = (
    *("pool", "system", "level", "task"),
    *("replies", "cut replies", "share of cut replies (%)"),
    *("answers that read one (%)", "of these unreadable"),
    *("cut prompts", "shortened prompts", "prompt tokens left out"),
)
_READ = ["task", "uid", "key", "finish", "prompt_flag", "prompt_cut_tokens"]
_COUNTS = [
    *("replies", "cut", "answers", "cut_answers", "unread"),
    *("cut_prompts", "short_prompts", "prompt_cut_tokens"),
]


def cut_replies(entry: Mapping[str, Any], scores: str, results: Path) -> pa.Table:
    """Return how many replies behind a result were cut, one row per task.

    Args:
        entry: The result, with the file of its `replies`: of a single model its own, of a method its calls.
        scores: File of its scores under the study's own rules.
        results: The results folder.
    """
    replies = _replies(results / entry["replies"], is_single=entry["kind"] == "single")
    scored = read_frame(results / scores, SCORES, ["task", "uid", "status"])
    scored["unread"] = scored["status"] == "unparsed"
    item = ["task", "uid"]
    answers = replies.groupby(item, sort=False)["cut"].any().reset_index()
    unread = scored.groupby(item, sort=False)["unread"].any().reset_index()
    answers = answers.merge(unread, how="left", on=item)
    answers["unread"] = answers["unread"].eq(True) & answers["cut"]
    replies["cut_prompt"] = replies["prompt_flag"] == "truncated"
    replies["short_prompt"] = replies["prompt_flag"] == "shortened"
    of_replies = replies.groupby("task").agg(
        replies=("uid", "size"),
        cut=("cut", "sum"),
        cut_prompts=("cut_prompt", "sum"),
        short_prompts=("short_prompt", "sum"),
        prompt_cut_tokens=("prompt_cut_tokens", "sum"),
    )
    of_answers = answers.groupby("task").agg(
        answers=("uid", "size"), cut_answers=("cut", "sum"), unread=("unread", "sum")
    )
    counts = of_replies.join(of_answers).reindex(pd.unique(scored["task"]), fill_value=0).astype("int64")
    rows = [{"task": task, **row} for task, row in zip(counts.index, counts.to_dict("records"), strict=True)]
    fields = [ALL_REPLIES.columns.field(name) for name in ("task", *_COUNTS)]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


def _replies(path: Path, *, is_single: bool) -> pd.DataFrame:
    """Return the replies in a file; a joint one counts once, not once per model."""
    if is_single:
        frame = read_frame(path, GENERATIONS, _READ)
    else:
        frame = read_frame(path, CALLS, [*_READ, "kind", "round", "sample"])
        again = frame.duplicated(["uid", "key", "round", "sample"]) & (frame["kind"] == "joint")
        frame = frame[~again]
    # Given texts that were scored, and requests without a reply, ended in neither way.
    frame = frame[frame["finish"].isin(["stop", "length"])]
    return frame.assign(cut=frame["finish"] == "length")


def moco_truncated(spec: Spec, results: Path) -> Table:
    """Return how many replies of every model and method on the test items were cut at the token limit."""
    frame = read_frame(results / paths.collected(paths.BENCHMARK, "replies"), ALL_REPLIES)
    by = ["pool", "name", "level", "task"]
    rows = [_row(row) for row in frame.groupby(by, sort=False)[_COUNTS].sum().reset_index().to_dict("records")]
    notes = (
        "Cut replies reached the longest reply of their decoding preset or request (max_new_tokens) before the model"
        " ended them, so an answer that would have come later is missing. A method's replies are those that it reads to"
        " answer test items, each counted once per reading; what fits read on dev is not among them.",
        "Answers that read one: share of answers, over items and seeds, of which at least one reply was cut. Of these"
        " unreadable: answers in which no answer was found, which count as wrong.",
        "Prompts that did not fit the model's context: in shortened prompts, what a method adds to the task (answers of"
        " others and the like) was cut evenly, and instruction and question are whole; cut prompts lost their beginning,"
        " because these alone did not fit. Prompt tokens left out: of both, in all.",
        *study_notes(spec)[:1],
    )
    return Table(f"Study {spec['study']}: replies cut at the token limit", _COLUMNS, tuple(rows), notes)


def _row(row: Mapping[Any, Any]) -> tuple[Cell, ...]:
    return (
        *(row["pool"] or "-", row["name"], row["level"], row["task"]),
        *(row["replies"], row["cut"], row["cut"] / row["replies"] if row["replies"] else "-"),
        row["cut_answers"] / row["answers"] if row["answers"] else "-",
        *(row["unread"], row["cut_prompts"], row["short_prompts"], row["prompt_cut_tokens"]),
    )
