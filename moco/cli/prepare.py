"""Write a task's questions and references, split by split; or check the rows that they would be made of."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from moco import paths
from moco.cli.options import add_results
from moco.errors import RequestError

if TYPE_CHECKING:
    from moco.config.tasks import TaskEntry


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_results(parser)
    parser.add_argument("--task", help="name of the task")
    parser.add_argument("--digest", help="digest of what the study says of the task; checked when given")
    parser.add_argument(
        "--check",
        type=Path,
        metavar="FILE",
        help="write nothing, but list every bad row of a task (YAML with one task, or a study), or of a data file",
    )
    parser.add_argument("--type", help="task type of a data file that is checked, for instance exact_match")


def run(options: argparse.Namespace) -> int:
    """Prepare or check the task."""
    if options.check is not None:
        return _check(options.check, options.task, options.type)
    from moco.cli.jobs import job_slice
    from moco.config.load import task_from
    from moco.tasks.prepare import prepare

    if options.task is None:
        raise RequestError("is missing", where="--task", remedy="give it, or use --check FILE")
    spec = job_slice(options, "prepare")
    entry = task_from(spec, f"tasks.{options.task}")
    facts = prepare(options.task, entry, options.results / paths.task_folder(options.task), spec)
    counts = ", ".join(f"{split} {about['items']}" for split, about in facts["splits"].items())
    print(f"{options.task}: {facts['type']}, {counts}")
    return 0


def _check(path: Path, task: str | None, kind: str | None) -> int:
    from moco.tasks.checking import check_task

    faults = 0
    for name, entry in _entries(path, task, kind).items():
        found = check_task(name, entry, lambda error: print(error, file=sys.stderr))
        faults += found.faults
        for split, about in found.splits.items():
            print(f"{name} {split}: {about.rows:,} rows, {about.rows - about.bad:,} good, {about.bad:,} bad")
            for warning in about.warnings:
                print(f"{name} {split}: warning: {warning}")
        for warning in found.warnings:
            print(f"{name}: warning: {warning}")
    print(f"{path}: {f'{faults:,} mistakes' if faults != 1 else '1 mistake'}" if faults else f"{path}: ready")
    return 2 if faults else 0


def _entries(path: Path, task: str | None, kind: str | None) -> "dict[str, TaskEntry]":
    """Return the tasks of a file: one task, those of a study, or data without any configuration."""
    from moco.config.load import read_yaml, study_from, task_from
    from moco.registry import did_you_mean
    from moco.workflow.batches import concrete_entry

    if path.suffix.lower() not in (".yaml", ".yml"):
        return {path.name.split(".")[0]: task_from(_data_entry(path, kind), str(path))}
    content = read_yaml(path)
    if "tasks" not in content:
        return {task or path.stem: task_from(content, str(path))}
    study = study_from(content, str(path))
    if task is not None and task not in study.tasks:
        raise RequestError(f"has no task {task!r}", where=str(path), remedy=did_you_mean(task, study.tasks))
    return {name: concrete_entry(study, name) for name in ([task] if task else study.tasks)}


def _data_entry(path: Path, kind: str | None) -> dict[str, object]:
    """Return the task that a data file alone is taken for: its columns have the usual names."""
    from moco.registry import did_you_mean
    from moco.scoring import task_types
    from moco.tasks.sources.gold import GOLD_REQUIRED

    if kind is None:
        raise RequestError("a data file needs a task type", where=str(path), remedy="add --type, say exact_match")
    if kind not in task_types():
        raise RequestError(f"no scorer for task type {kind!r}", where="--type", remedy=did_you_mean(kind, task_types()))
    if [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"][-1:] == [".json"]:
        return {"source": {"kind": "moco", "path": str(path)}, "type": kind}
    columns = {"question": "question"} | ({"gold": "answer"} if kind in GOLD_REQUIRED else {})
    source: dict[str, object] = {"kind": "table", "paths": {"test": str(path)}, "columns": columns}
    if kind == "multiple_choice":
        columns["options"] = "options"
        source["gold"] = "letter"
    return {"source": source, "type": kind}
