"""Results of a study of any size without a model: what is collected, and the files in which examples are looked up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from moco import paths
from moco.records import (
    ALL_COSTS,
    ALL_CURVES,
    ALL_JOBS_PERF,
    ALL_REPLIES,
    ALL_SCORES,
    ALL_STUDENTS,
    ANSWERS,
    CALLS,
    GENERATIONS,
    QUESTIONS,
    REFERENCES,
    SCORES,
    Provenance,
    Schema,
    write_json,
    write_rows,
)
from moco.workflow.plan import Plan

Mark = Callable[[str, str, str, int], float]
"""The score of a system (pool and name) on an item of a task."""


def write_collected(plan: Plan, results: Path, mark: Mark, items: int = 4) -> None:
    """Write the collected files of a benchmark whose scores are made up; two items share an answer's cost."""
    scores, costs, replies = [], [], []
    for entry in plan.collect.entries(paths.BENCHMARK):
        about = {name: entry[name] for name in ("kind", "pool", "name", "level", "seed")}
        for task in plan.matrix.batch(entry["batch"]).tasks:
            for item in range(items):
                score = mark(entry["pool"], entry["name"], task, item)
                made_up = {"uid": f"{task}/test/{item}", "answer": 0, "status": "ok", "score": score}
                scores.append({**about, **made_up, "task": task, "scorer": "strict"})
            cost = {"task": task, "split": "test", "stage": "answer", "model": "m0", "items": items, "calls": items}
            tokens = {"prompt_tokens": 40, "completion_tokens": 8, "parameters": 1000, "flops": 1e6, "loads": 1}
            costs.append({**about, **cost, **tokens})
            counts = {"replies": items, "cut": 1, "answers": items, "cut_answers": 1, "unread": 0, "cut_prompts": 0}
            counts |= {"short_prompts": 0, "prompt_cut_tokens": 0}
            replies.append({**about, "task": task, **counts})
    collected = {"scores": (ALL_SCORES, scores), "costs": (ALL_COSTS, costs), "replies": (ALL_REPLIES, replies)}
    nothing = {"students": ALL_STUDENTS, "curves": ALL_CURVES, "jobs_perf": ALL_JOBS_PERF}
    for name, (schema, rows) in {**collected, **{name: (schema, []) for name, schema in nothing.items()}}.items():
        _write(results / paths.collected(paths.BENCHMARK, name), schema, rows)


def write_replies(plan: Plan, results: Path, mark: Mark, items: int = 4) -> None:
    """Write tasks, replies, calls and scores of test items, under the same marks."""
    for task in plan.matrix.tasks:
        write_json(results / paths.task_json(task), {"splits": {}})
        about = [{"uid": f"{task}/test/{item}", "task": task, "domain": "made up"} for item in range(items)]
        asked = [{**row, "type": "exact_match", "prompt": f"What is {row['uid']}?\nSay a word."} for row in about]
        _write(results / paths.questions(task, "test"), QUESTIONS, asked)
        golds = [{**row, "gold_json": '"a word"', "valid": True} for row in about]
        _write(results / paths.references(task, "test"), REFERENCES, golds)
    for entry in plan.collect.entries(paths.BENCHMARK):
        path = entry["scores"]["strict"]
        rows = [
            {"task": task, "uid": f"{task}/test/{item}", "score": mark(entry["pool"], entry["name"], task, item)}
            for task in plan.matrix.batch(entry["batch"]).tasks
            for item in range(items)
        ]
        rows = [{**row, "sample": 0, "answer": 0, "status": "ok", "parsed": "word", "rule": "box"} for row in rows]
        _write(results / path, SCORES, rows)
        said = [{**row, "text": f"{entry['name']} thinks, and says: a word"} for row in rows]
        if entry["kind"] == "single":
            _write(results / entry["replies"], GENERATIONS, said)
            continue
        _write(results / path.split("/", 2)[2], ANSWERS, [{**row, "has_extracted": False} for row in said])
        call = {"call": 0, "kind": "own", "round": 0, "purpose": "revise", "model": "m0", "prompt": "Think again."}
        _write(results / entry["replies"], CALLS, [{**row, **call} for row in said])


def _write(path: Path, schema: Schema, rows: list[dict[str, Any]]) -> None:
    names = schema.columns.names
    write_rows(path, schema, [{name: row.get(name) for name in names} for row in rows], Provenance("made up"))
