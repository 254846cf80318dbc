"""Removing files with all that was made from them: Snakemake plans nothing for a missing file that nothing missing needs."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from moco.errors import RequestError
from moco.records.failures import remove_outputs
from moco.workflow.plan import WILDCARDS, Plan

RULES: dict[str, tuple[str, tuple[str, ...]]] = {
    "prepare": ("tasks/{task}", ()),
    "merge": ("checkpoints/{made}", ("fit", "models", "parts")),
    "zoo": ("checkpoints/{model}", ("parent",)),
    "tune": ("tuned/{model}", ("questions", "references", "models", "checkpoints")),
    "resolve": ("models/{model}", ("checkpoint", "parents", "fit")),
    "generate": ("generations/{model}/{batch}/{split}/seed{seed}/{block}", ("questions", "model", "checkpoints")),
    "logits": ("logits/{model}/{batch}/{split}/{kind}", ("questions", "references", "model", "checkpoints")),
    "response_logits": (
        "logits/{model}/{batch}/{split}/response/seed{seed}/{block}",
        ("questions", "responses", "model", "checkpoints"),
    ),
    "fit": (
        "fits/{pool}/{batch}/{method}/seed{seed}",
        ("questions", "references", "models", "plain", "scores", "logits", "checkpoints"),
    ),
    "answer": (
        "answers/{pool}/{batch}/{method}/seed{seed}/{split}",
        ("questions", "fit", "models", "plain", "made_plain", "logits", "checkpoints"),
    ),
    "score": ("scores/{scorer}/{replies}", ("questions", "references", "replies", "models", "checkpoints")),
    "mix": ("evolution/{run}/r{round}/mix", ("questions", "answers", "own", "scores", "references")),
    "distill": ("evolution/{run}/r{round}/students", ("mixture", "models", "checkpoints")),
    "collect": ("analysis/{part}", ("scores", "costs", "replies", "models", "measured", "learnt")),
}
"""For every stage of the plan what its outputs' paths begin with, and its functions that name inputs below results."""

_PATTERNS = {
    **WILDCARDS,
    "made": r"[A-Za-z0-9_-]+--[A-Za-z0-9_-]+",
    "replies": rf"generations(?:/[^/]+){{4}}/{WILDCARDS['block']}|answers(?:/[^/]+){{4}}/(?:{WILDCARDS['split']})",
}
_RESULTS = "<results>/"
_OUTPUTS = re.compile(r"(tables|figures|examples)/.+|report\.html")


class Job(NamedTuple):
    """One job of a study: its stage, and its wildcards with their values."""

    stage: str
    wildcards: tuple[tuple[str, str], ...]


def forget_files(plan: Plan, results: Path, files: Iterable[Path]) -> list[Path]:
    """Remove files and all that was made from them, with all else that the same jobs made, and return what was removed.

    Args:
        plan: Of the study.
        results: Its results folder.
        files: Files or folders below it; they may be missing already.

    Raises:
        RequestError: The study makes no such file.
    """
    hit = set(_downstream(plan, {job for path in files if (job := _asked(plan, results, path)) is not None}))
    removed = []
    for path in sorted(results.rglob("*")):
        if (path.is_symlink() or path.is_file()) and job_of(path.relative_to(results).as_posix()) in hit:
            path.unlink()
            removed.append(path)
    for folder in sorted({parent for path in removed for parent in path.parents}, reverse=True):
        if results in folder.parents and not any(folder.iterdir()):
            folder.rmdir()
    remove_outputs(results)
    return removed


@cache
def job_of(path: str) -> Job | None:
    """Return the job that makes a file, by its path below the results folder; None for tables, logs and the like."""
    for stage, pattern in _outputs():
        found = pattern.fullmatch(path)
        if found:
            return Job(
                stage, tuple(("model" if name == "made" else name, value) for name, value in found.groupdict().items())
            )
    return None


@cache
def _outputs() -> tuple[tuple[str, re.Pattern[str]], ...]:
    # What follows says which of its outputs: a suffix, `_perf` and so on, or a file in a folder.
    rest = r"(?:[/._].*)?"
    return tuple(
        (stage, re.compile(re.sub(r"\{(\w+)\}", _group, template) + rest)) for stage, (template, _) in RULES.items()
    )


def _group(wildcard: re.Match[str]) -> str:
    return f"(?P<{wildcard[1]}>{_PATTERNS[wildcard[1]]})"


def _asked(plan: Plan, results: Path, path: Path) -> Job | None:
    """Return the job that makes a file that the user named; None for outputs, which always go."""
    try:
        name = path.absolute().relative_to(results.absolute()).as_posix()
    except ValueError:
        remedy = "name its study (--config), or its results folder (--results)"
        raise RequestError(f"is not below {results}", where=str(path), remedy=remedy) from None
    job = job_of(name)
    if job not in planned_jobs(plan) and not _OUTPUTS.fullmatch(name):
        raise RequestError(f"is no file that study {plan.study.study} makes", where=str(path), remedy="check its name")
    return job


@cache
def planned_jobs(plan: Plan) -> dict[Job, tuple[Job, ...]]:
    """Return every job of a study, with the jobs that make its inputs; inputs come first."""
    jobs: dict[Job, tuple[Job, ...]] = {}

    def add(job: Job) -> None:
        if job in jobs:
            return
        made_by = tuple(dict.fromkeys(_inputs(plan, job)))
        for other in made_by:
            add(other)
        jobs[job] = made_by

    for part in plan.parts:
        add(Job("collect", (("part", part),)))
    for task in plan.matrix.tasks:
        add(Job("prepare", (("task", task),)))
    return jobs


def _inputs(plan: Plan, job: Job) -> Iterator[Job]:
    stage, wildcards = getattr(plan, job.stage), SimpleNamespace(**dict(job.wildcards))
    for function in RULES[job.stage][1]:
        found = getattr(stage, function)(wildcards)
        for path in [found] if isinstance(found, str) else found:
            made_by = job_of(path.removeprefix(_RESULTS)) if path.startswith(_RESULTS) else None
            if made_by is not None:
                yield made_by


def _downstream(plan: Plan, asked: set[Job]) -> set[Job]:
    """Return jobs with all that need what they make."""
    hit = set(asked)
    for job, made_by in planned_jobs(plan).items():
        if not hit.isdisjoint(made_by):
            hit.add(job)
    return hit
