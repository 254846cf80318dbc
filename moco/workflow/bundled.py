"""Which files below a study's results folder belong in its bundle: all but weights and what is made anew from them."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

from moco import paths
from moco.errors import RequestError
from moco.workflow.analysis import COLLECTED
from moco.workflow.plan import Plan

_FOLDERS = ("analysis", "answers", "fits", "generations", "logits", "models", "scores", "tasks")


def study_files(plan: Plan, results: Path) -> list[str]:
    """Return the study's files, relative to its results folder and sorted; no checkpoints, no tables, no figures.

    Raises:
        RequestError: One that tables and figures are made from is missing.
    """
    missing = [name for name in dict.fromkeys(_needed(plan)) if not (results / name).is_file()]
    if missing:
        more = f", like {len(missing) - 1} further files" if len(missing) > 1 else ""
        raise RequestError(
            f"is missing{more}", where=str(results / missing[0]), remedy="run the study to its end first"
        )
    return sorted(
        path.relative_to(results).as_posix()
        for folder in _FOLDERS
        for path in (results / folder).rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )


def _needed(plan: Plan) -> Iterator[str]:
    for part in plan.parts:
        job = SimpleNamespace(part=part)
        for name in COLLECTED:
            yield paths.collected(part, name)
        for inputs in (plan.collect.scores, plan.collect.costs, plan.collect.models, plan.collect.measured):
            yield from map(_relative, inputs(job))
    yield from map(_relative, plan.tabulate.task_files)


def _relative(path: str) -> str:
    return path.removeprefix("<results>/")
