"""A finished study made up without models: every file that its plan needs, with replies that repeat the question."""

import io
import json
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from moco import paths
from moco.bundle.archive import members
from moco.config.load import load_study
from moco.methods.costs import flops
from moco.records import (
    ANSWERS,
    CALLS,
    COSTS,
    GENERATIONS,
    QUESTIONS,
    REFERENCE_LOGITS,
    SCORES,
    Provenance,
    Schema,
    read_rows,
    write_json,
    write_rows,
)
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
    """Write `study.yaml` and all of `results` below a folder, and return the configuration's path."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(content, sort_keys=False))
    results, plan = folder / "results", Plan(load_study(config))
    for name, task in plan.matrix.tasks.items():
        prepare(name, task.entry, results / paths.task_folder(name), None)
    for model in plan.matrix.models:
        about = {"name": model, "parameters": 1_000_000, "location": str(folder / "results/checkpoints" / model)}
        write_json(results / paths.model_json(model), about)
    for task in plan.matrix.tasks:
        for model in plan.matrix.models:
            for split in ("dev", "test"):
                path = paths.generation(model, task, split, "default", 1, 0)
                _write(results, path, GENERATIONS, task, split, _reply)
                _write(results, paths.scores("strict", path), SCORES, task, split, _score(model))
            reference = paths.logits("reference", model, task, "dev", "default", 1, 0)
            _write(
                results, reference, REFERENCE_LOGITS, task, "dev", lambda row: {"text": "gold of " + row["question"]}
            )
    for cell in plan.matrix.cells:
        for task in plan.matrix.batches[cell.batch].tasks:
            key = (cell.pool, task, cell.variant, 1)
            _write(results, paths.answers(*key, "test"), ANSWERS, task, "test", _answer)
            _write(results, paths.calls(*key, "test"), CALLS, task, "test", _call)
            _write(results, paths.scores("strict", paths.answers(*key, "test")), SCORES, task, "test", _score("x"))
            write_rows(results / paths.costs(*key, "test"), COSTS, [_cost()], Provenance("answer"))
            if plan.matrix.needs(cell.pool, cell.variant).fit is not None:
                fit = results / paths.fit_folder(*key)
                write_json(fit / "fit.json", {"data": {"member": 0}, "method": cell.variant, "models": []})
                _write(results, f"{paths.fit_folder(*key)}/calls.parquet", CALLS, task, "dev", _call)
                write_rows(fit / "costs.parquet", COSTS, [_cost()], Provenance("fit"))
    return config


def texts_of(results: Path, task: str) -> list[str]:
    """Return the questions and prompts of a task, of all splits."""
    rows = [row for split in ("dev", "test") for row in read_rows(results / paths.questions(task, split), QUESTIONS)]
    return [row[name] for row in rows for name in ("question", "prompt")]


def contents(bundle: Path) -> dict[str, bytes]:
    """Return every entry of a bundle."""
    return {member.name: b"".join(member.chunks()) for member in members(bundle)}


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
        blocks += about.tobuf(format=tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)
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
    results: Path, path: str, schema: Schema, task: str, split: str, row_of: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    questions = read_rows(results / paths.questions(task, split), QUESTIONS)
    empty = dict.fromkeys(schema.columns.names)
    rows = [{**empty, "uid": row["uid"], "status": "ok", **row_of(row)} for row in questions]
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
