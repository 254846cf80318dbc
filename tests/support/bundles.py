"""A finished study made up without models: every file that its plan needs, with replies that repeat the question."""

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import yaml

from moco import paths
from moco.analysis.collect import collect
from moco.bundle.archive import opened_archive
from moco.config.load import load_study
from moco.records import (
    ANSWERS,
    CALLS,
    COSTS,
    GENERATIONS,
    JOB_PERF,
    QUESTIONS,
    REFERENCE_LOGITS,
    SCORES,
    Provenance,
    Schema,
    read_rows,
    write_json,
    write_rows,
)
from moco.records.costs import flops
from moco.tasks.prepare import prepare
from moco.workflow.plan import Plan

CONTENT: dict[str, Any] = {
    "study": "tiny",
    "models": {"add": {"kind": "zoo"}, "recall": {"kind": "zoo"}},
    "pools": {"pair": ["recall", "add"]},
    "tasks": {
        "mixed": {
            "source": {
                "kind": "synthetic",
                "skills": ["add", "capital"],
                "form": "exact",
                "items": {"dev": 6, "test": 8},
            }
        },
    },
    "methods": {"control_random": {}, "control_best_single": {}, "refine-2": {"method": "text_multiagent_refine"}},
}


def finished_study(folder: Path, content: dict[str, Any] = CONTENT) -> Path:
    """Write `study.yaml` and all of `results/tiny` below a folder, and return the configuration's path."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(content, sort_keys=False))
    results, plan = results_of(config), Plan(load_study(config))
    for name, task in plan.matrix.tasks.items():
        prepare(name, task.entry, results / paths.task_folder(name), None)
    for model in plan.matrix.models:
        about = {"name": model, "parameters": 1_000_000, "location": str(results / "checkpoints" / model)}
        write_json(results / paths.model_json(model), about)
    for model, name in plan.matrix.singles:
        tasks = plan.matrix.batch(name).tasks
        for split in ("dev", "test"):
            path = paths.generation(model, name, split, 1, "s0")
            _write(results, path, GENERATIONS, tasks, split, _reply)
            _write(results, paths.scores("strict", path), SCORES, tasks, split, _score(model))
        reference = paths.logits("reference", model, name, "dev")
        _write(results, reference, REFERENCE_LOGITS, tasks, "dev", lambda row: {"text": "gold of " + row["question"]})
    for cell in plan.matrix.cells:
        tasks = plan.matrix.batch(cell.batch).tasks
        key = (cell.pool, cell.batch, cell.variant, 1)
        _write(results, paths.answers(*key, "test"), ANSWERS, tasks, "test", _answer)
        _write(results, paths.calls(*key, "test"), CALLS, tasks, "test", _call)
        _write(results, paths.scores("strict", paths.answers(*key, "test")), SCORES, tasks, "test", _score("x"))
        costs = [{**_cost(), "task": task} for task in tasks]
        write_rows(results / paths.costs(*key, "test"), COSTS, costs, Provenance("answer"))
        if plan.matrix.needs(cell.pool, cell.variant).fit is not None:
            for task in tasks:
                fit = f"{paths.fit_folder(*key)}/{task}"
                write_json(results / fit / "fit.json", {"data": {"member": 0}, "method": cell.variant, "models": []})
                _write(results, f"{fit}/calls.parquet", CALLS, [task], "dev", _call)
                write_rows(results / fit / "costs.parquet", COSTS, [{**_cost(), "task": task}], Provenance("fit"))
    job = SimpleNamespace(part=paths.BENCHMARK)
    for path in plan.collect.measured(job):
        write_rows(results / path.removeprefix("<results>/"), JOB_PERF, [], Provenance("test"))
    collect(plan.collect.slice(job), results, paths.BENCHMARK)
    return config


def results_of(config: Path) -> Path:
    """Return the results folder of a study that `finished_study` wrote."""
    return config.parent / "results/tiny"


def texts_of(results: Path, task: str) -> list[str]:
    """Return the questions and prompts of a task, of all splits."""
    rows = [row for split in ("dev", "test") for row in read_rows(results / paths.questions(task, split), QUESTIONS)]
    return [row[name] for row in rows for name in ("question", "prompt")]


def contents(bundle: Path) -> dict[str, bytes]:
    """Return every entry of a bundle."""
    with opened_archive(bundle) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def readable(entry: str, data: bytes) -> str:
    """Return everything that a file says, unpacked."""
    if not entry.endswith(".parquet"):
        return data.decode()
    import pyarrow.parquet as pq

    table = pq.ParquetFile(io.BytesIO(data)).read()
    return "\n".join(str(value) for row in table.to_pylist() for value in row.values()) + str(table.schema.metadata)


def pack(path: Path, entries: list[tuple[tarfile.TarInfo, bytes]], *, tail: bytes = bytes(1024)) -> Path:
    """Write an archive of any headers."""
    blocks = b""
    for about, data in entries:
        form = tarfile.USTAR_FORMAT if about.size >= 0 else tarfile.GNU_FORMAT
        blocks += about.tobuf(format=form) + data + bytes(-len(data) % 512)
    with pa.OSFile(str(path), "wb") as sink, pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(blocks + tail)
    return path


def entry(name: str, data: bytes = b"", **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Return a header and its content."""
    about = tarfile.TarInfo(name)
    about.size = len(data)
    for key, value in changes.items():
        setattr(about, key, value)
    return about, data


def sound(changes: Callable[[dict[str, Any]], None] | None = None) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Return the entries of a sound small bundle, whose manifest may be changed."""
    files = {"study.yaml": b"study: s\n", "results/models/a/model.json": b"{}\n", "results/tasks/t/task.json": b"[]\n"}
    manifest: dict[str, Any] = {
        "format": 1,
        "study": "s",
        "moco": "0",
        "commit": None,
        "tasks": {},
        "left_out": {},
        "entries": {name: {"sha256": sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()},
    }
    if changes is not None:
        changes(manifest)
    return [
        entry("manifest.json", json.dumps(manifest).encode()),
        *(entry(name, data) for name, data in files.items()),
    ]


def _write(
    results: Path,
    path: str,
    schema: Schema,
    tasks: Iterable[str],
    split: str,
    row_of: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    questions = [row for task in tasks for row in read_rows(results / paths.questions(task, split), QUESTIONS)]
    empty = dict.fromkeys(schema.columns.names)
    rows = [{**empty, "task": row["task"], "uid": row["uid"], "status": "ok", **row_of(row)} for row in questions]
    columns = set(schema.columns.names)
    rows = [{name: value for name, value in row.items() if name in columns} for row in rows]
    write_rows(results / path, schema, rows, Provenance("test"))


def _reply(row: dict[str, Any]) -> dict[str, Any]:
    text = f"You ask: {row['question']} I say 7."
    return {"sample": 0, "key": row["uid"], "text": text, "prompt_tokens": 10, "completion_tokens": 3}


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    record = json.dumps({"asked": row["prompt"]})
    return {
        "answer": 0,
        "text": f"To {row['question']}: 7",
        "has_extracted": False,
        "models": ["add"],
        "record_json": record,
    }


def _call(row: dict[str, Any]) -> dict[str, Any]:
    return {"call": 0, "kind": "own", "round": 0, "member": 0, "model": "add", "prompt": row["prompt"], **_reply(row)}


def _score(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def row_of(row: dict[str, Any]) -> dict[str, Any]:
        right = sha256(f"{name}{row['uid']}".encode()).digest()[0] % 2
        return {"answer": 0, "score": float(right), "parsed": row["question"], "rule": "x"}

    return row_of


def _cost() -> dict[str, Any]:
    counts = {"calls": 8, "items": 8, "prompt_tokens": 80, "completion_tokens": 24, "loads": 1}
    row = {"stage": "answer", "scope": "task", "role": "member", "model": "add", "parameters": 1_000_000}
    return {**row, **counts, "flops": flops("answer", 1_000_000, 104)}
