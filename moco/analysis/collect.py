"""From the files of many jobs to a few long ones per part of a study, which all tables and figures are made from."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from moco import paths
from moco.analysis.truncation import cut_replies
from moco.errors import WorkError
from moco.records import (
    ALL_COSTS,
    ALL_CURVES,
    ALL_JOBS_PERF,
    ALL_REPLIES,
    ALL_SCORES,
    ALL_STUDENTS,
    COSTS,
    CURVE,
    GENERATIONS,
    JOB_PERF,
    SCORES,
    Provenance,
    Schema,
    read_json,
    read_table,
    write_table,
)
from moco.records.costs import flops

ROUND = "round"
"""Kind of what the rounds of the loop cost, under the pool that they make and the name of their run."""

_ABOUT = ("kind", "pool", "name", "level", "seed")


def collect(spec: Mapping[str, Any], results: Path, part: str) -> None:
    """Write all scores, costs and accounts of a part of a study.

    Args:
        spec: What is collected, as `moco.workflow.analysis.Collect` lists it: `entries` and `work`, the study's own rule
            set, `scorer`, and of the loop what its `rounds` cost.
        results: The results folder.
        part: Name of the part.

    Raises:
        WorkError: A file is missing or damaged.
    """
    entries, work, provenance = spec["entries"], spec["work"], Provenance("collect", {"part": part})
    _require(
        results, [path for entry in entries for path in (*entry["scores"].values(), entry["spent"], entry["replies"])]
    )
    _require(results, [job["path"] for job in work])
    wanted = [name for name in ALL_SCORES.columns.names if name in SCORES.columns.names]
    scores = (
        _described(
            _of_entry(read_table(results / path, SCORES, wanted), entry),
            _about(entry) | {"scorer": rules},
            ALL_SCORES,
        )
        for entry in entries
        for rules, path in entry["scores"].items()
    )
    write_table(results / paths.collected(part, "scores"), ALL_SCORES, scores, provenance)
    costs = (_described(_of_entry(_costs(entry, results), entry), _about(entry), ALL_COSTS) for entry in entries)
    learning = (
        _described(table, {"kind": ROUND, "level": ROUND, **_named(each, "pool", "name", "seed")}, ALL_COSTS)
        for each in spec.get("rounds", ())
        for table in _round_costs(each, results)
    )
    write_table(results / paths.collected(part, "costs"), ALL_COSTS, chain(costs, learning), provenance)
    replies = (
        _described(
            _of_entry(cut_replies(entry, entry["scores"][spec["scorer"]], results), entry), _about(entry), ALL_REPLIES
        )
        for entry in entries
    )
    write_table(results / paths.collected(part, "replies"), ALL_REPLIES, replies, provenance)
    students = (_students(each, results) for each in spec.get("rounds", ()))
    write_table(results / paths.collected(part, "students"), ALL_STUDENTS, students, provenance)
    curves = (_curves(each, path, results) for each in spec.get("trained", ()) for path in _curve_files(each, results))
    write_table(results / paths.collected(part, "curves"), ALL_CURVES, curves, provenance)
    jobs = (
        _described(read_table(results / job["path"], JOB_PERF), {name: job[name] for name in _OF_JOBS}, ALL_JOBS_PERF)
        for job in work
    )
    write_table(results / paths.collected(part, "jobs_perf"), ALL_JOBS_PERF, jobs, provenance)


_OF_JOBS = ("pool", "name", "level", "part")


def _require(results: Path, files: Sequence[str]) -> None:
    missing = [path for path in files if not (results / path).is_file()]
    if missing:
        what = f"{len(missing)} of {len(files)} files are missing, this is the first"
        raise WorkError(what, where=str(results / missing[0]), remedy="run the rules that make them")


def _of_entry(table: pa.Table, entry: Mapping[str, Any]) -> pa.Table:
    """Return the rows of an entry's tasks; a file may hold more tasks than a run of the loop is about."""
    return table.filter(pc.is_in(table["task"], pa.array(entry["tasks"], pa.string()))) if "tasks" in entry else table


def _about(entry: Mapping[str, Any]) -> dict[str, Any]:
    return _named(entry, *_ABOUT)


def _named(entry: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: entry[name] for name in names}


def _described(table: pa.Table, about: Mapping[str, Any], schema: Schema) -> pa.Table:
    """Return the columns of a schema, from a table and constants that stand above it."""
    columns = {
        field.name: pa.repeat(pa.scalar(about[field.name], field.type), len(table))
        if field.name in about
        else table[field.name]
        for field in schema.columns
    }
    return pa.table(columns, schema=schema.columns)


def _costs(entry: Mapping[str, Any], results: Path) -> pa.Table:
    path = results / entry["spent"]
    return read_table(path, COSTS) if entry["kind"] == "method" else _single_costs(entry["name"], path, results)


def _round_costs(each: Mapping[str, Any], results: Path) -> Iterator[pa.Table]:
    """Yield what a round of the loop cost: answers and replies that were learnt, and the training of its students."""
    of_task = {"tasks": [each["task"]]}
    for path in each["read"].values():
        yield _of_entry(read_table(results / path, COSTS), of_task)
    for model, path, sample in each["own"]:
        yield _of_entry(_single_costs(model, results / path, results, sample), of_task)
    rows = []
    for place, model in enumerate(each["models"], start=1):
        note = results / each["students"] / str(place) / paths.TRAINING
        if not note.is_file():  # a recorded failure
            continue
        learnt, size = read_json(note), read_json(results / paths.model_json(model))["parameters"]
        read, written = int(learnt["tokens"]), int(learnt["written"])
        measured = int(learnt.get("held_out", {}).get("tokens", 0))  # read without being learnt
        spent = (flops("train", size, read) or 0.0) + (flops("fit", size, written + measured) or 0.0)
        spent += learnt["teacher_flops"]
        about = {"task": each["task"], "stage": "train", "scope": "task", "role": "member", "model": model}
        counts = {
            "calls": learnt["updates"],
            "items": learnt["examples"],
            "prompt_tokens": read,
            "completion_tokens": written,
        }
        rows.append({**about, "parameters": size, **counts, "flops": spent, "loads": 1})
    yield pa.Table.from_pylist(rows, schema=COSTS.columns)


def _students(each: Mapping[str, Any], results: Path) -> pa.Table:
    """Return what is known of the students of a round, and with the first one of the models of round 0."""
    folder = results / each["students"]
    apart = (
        read_json(folder / paths.DISTANCES)
        if (folder / paths.DISTANCES).is_file()
        else {"parents": None, "students": None}
    )
    about = _named(each, "name", "seed", "task")
    rows = []
    for pool, models, distances in (
        *([(each["before"]["pool"], each["before"]["models"], apart["parents"])] if "before" in each else []),
        (each["pool"], each["models"], apart["students"]),
    ):
        for place, model in enumerate(models, start=1):
            row: dict[str, Any] = {**dict.fromkeys(ALL_STUDENTS.columns.names), **about, "pool": pool, "model": model}
            row["distance"] = distances[place - 1] if distances else None
            note = folder / str(place) / paths.TRAINING
            if pool == each["pool"] and note.is_file():
                learnt = read_json(note)
                held_out = learnt.get("held_out", {"examples": 0, "before": None, "after": None})
                row |= {"held_out": held_out["examples"], "loss_before": held_out["before"]}
                row["loss_after"] = held_out["after"]
            rows.append(row)
    return pa.Table.from_pylist(rows, schema=ALL_STUDENTS.columns)


def _curve_files(each: Mapping[str, Any], results: Path) -> list[Path]:
    return sorted((results / each["folder"]).rglob(paths.CURVE))


def _curves(each: Mapping[str, Any], path: Path, results: Path) -> pa.Table:
    """Return how one model was trained, by step; it is named by its folder below that of the fit or round."""
    model = path.parent.relative_to(results / each["folder"]).as_posix()
    return _described(read_table(path, CURVE), {**_named(each, "pool", "name", "seed"), "model": model}, ALL_CURVES)


def _single_costs(model: str, path: Path, results: Path, sample: int | None = None) -> pa.Table:
    """Return what the plain responses in a file, or those of one sample, cost, one row per task."""
    replies = read_table(path, GENERATIONS, ["task", "uid", "sample", "status", *_TOKENS])
    replies = replies if sample is None else replies.filter(pc.equal(replies["sample"], sample))
    made = replies.filter(pc.equal(replies["status"], "ok"))
    size, served = _size(results / paths.model_json(model)) if len(made) else (0, False)
    sums = made.group_by("task").aggregate(
        [("uid", "count"), ("uid", "count_distinct"), *((name, "sum") for name in _TOKENS)]
    )
    found = {row["task"]: row for row in sums.to_pylist()}
    rows = []
    for task in pc.unique(replies["task"]).to_pylist():
        row = found.get(task, _NOTHING)
        prompt, completion = (row[f"{name}_sum"] for name in _TOKENS)
        about = {"task": task, "stage": "answer", "scope": "task", "role": "member", "model": model}
        about |= {"parameters": size if row["uid_count"] else 0, "calls": row["uid_count"]}
        about |= {"items": row["uid_count_distinct"], "prompt_tokens": prompt, "completion_tokens": completion}
        about |= {"flops": flops("answer", about["parameters"], prompt + completion)}
        rows.append({**about, "loads": int(row["uid_count"] > 0 and not served)})
    return pa.Table.from_pylist(rows, schema=COSTS.columns)


_TOKENS = ("prompt_tokens", "completion_tokens")
_NOTHING = {"uid_count": 0, "uid_count_distinct": 0, "prompt_tokens_sum": 0, "completion_tokens_sum": 0}
"""Sums of a task without any reply."""


def _size(path: Path) -> tuple[int | None, bool]:
    """Return a model's number of parameters, and whether it runs elsewhere."""
    info = read_json(path)
    return info["parameters"], info.get("server") is not None
