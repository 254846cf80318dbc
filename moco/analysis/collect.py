"""From the files of many jobs to three long ones per part of a study, which all tables and figures are made from."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from moco import paths
from moco.errors import WorkError
from moco.methods.costs import flops
from moco.records import (
    ALL_COSTS,
    ALL_JOBS_PERF,
    ALL_SCORES,
    COSTS,
    GENERATIONS,
    JOB_PERF,
    SCORES,
    Provenance,
    Schema,
    read_json,
    read_table,
    write_table,
)

_ABOUT = ("kind", "pool", "name", "level", "seed")


def collect(spec: Mapping[str, Any], results: Path, part: str) -> None:
    """Write all scores, costs and accounts of a part of a study.

    Args:
        spec: What is collected, as `moco.workflow.analysis.Collect` lists it: `entries` and `work`.
        results: The results folder.
        part: Name of the part.

    Raises:
        WorkError: A file is missing or damaged.
    """
    entries, provenance = spec["entries"], Provenance("collect", {"part": part})
    scores = (
        _described(_of_entry(read_table(results / path, SCORES), entry), _about(entry) | {"scorer": rules}, ALL_SCORES)
        for entry in entries
        for rules, path in entry["scores"].items()
    )
    write_table(results / paths.collected(part, "scores"), ALL_SCORES, scores, provenance)
    costs = (_described(_of_entry(_costs(entry, results), entry), _about(entry), ALL_COSTS) for entry in entries)
    write_table(results / paths.collected(part, "costs"), ALL_COSTS, costs, provenance)
    jobs = (
        _described(read_table(results / job["path"], JOB_PERF), {name: job[name] for name in _OF_JOBS}, ALL_JOBS_PERF)
        for job in spec["work"]
        if (results / job["path"]).is_file()
    )
    write_table(results / paths.collected(part, "jobs_perf"), ALL_JOBS_PERF, jobs, provenance)


_OF_JOBS = ("pool", "name", "level", "part")


def _of_entry(table: pa.Table, entry: Mapping[str, Any]) -> pa.Table:
    """Return the rows of an entry's tasks; a file may hold more tasks than a run of the loop is about."""
    return table.filter(pc.is_in(table["task"], pa.array(entry["tasks"]))) if "tasks" in entry else table


def _about(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in _ABOUT}


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
    if not path.is_file():
        raise WorkError("file is missing", where=str(path), remedy="run the rules that make the answers")
    if entry["kind"] == "method":
        return read_table(path, COSTS)
    rows = read_table(path, GENERATIONS, ["task", "uid", "status", "prompt_tokens", "completion_tokens"]).to_pylist()
    tasks = dict.fromkeys(row["task"] for row in rows)
    made = [_single_row(entry["name"], task, [row for row in rows if row["task"] == task], results) for task in tasks]
    return pa.Table.from_pylist(made, schema=COSTS.columns)


def _single_row(model: str, task: str, rows: Iterable[Mapping[str, Any]], results: Path) -> dict[str, Any]:
    replies = [row for row in rows if row["status"] == "ok"]
    size, served = _size(results / paths.model_json(model)) if replies else (0, False)
    prompt, completion = (sum(row[name] for row in replies) for name in ("prompt_tokens", "completion_tokens"))
    return {
        "task": task,
        "stage": "answer",
        "scope": "task",
        "role": "member",
        "model": model,
        "parameters": size,
        "calls": len(replies),
        "items": len({row["uid"] for row in replies}),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "flops": flops("answer", size, prompt + completion),
        "loads": int(len(replies) > 0 and not served),
    }


@cache
def _size(path: Path) -> tuple[int | None, bool]:
    """Return a model's number of parameters, and whether it runs elsewhere."""
    info = read_json(path)
    return info["parameters"], info.get("server") is not None
