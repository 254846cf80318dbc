"""Mistakes in names: unknown ones, and those that files or comparisons could not tell apart."""

from collections.abc import Iterator
from contextlib import suppress

from moco.config.expand import expand, wildcard_in
from moco.config.models import AdapterModel, LocalModel
from moco.config.problems import LONGEST_NAME, Problem
from moco.config.study import Study
from moco.errors import MocoError
from moco.registry import did_you_mean
from moco.tasks.paths import source_paths


def names(study: Study) -> Iterator[Problem]:
    """Find names that are unknown, reserved, too long, or that differ in case only."""
    sections = {kind: getattr(study, kind) for kind in ("models", "tasks", "pools", "methods", "decoding")}
    places = {kind: {name: f"{kind}.{name}" for name in found} for kind, found in sections.items()}
    places["domain"] = {}
    for name, entry in study.tasks.items():
        places["domain"].setdefault(entry.domain, f"tasks.{name}.domain")
    places["study"] = {study.study: "study"}
    for kind, keys in places.items():
        seen: dict[str, str] = {}
        for name, key in keys.items():
            if len(name) > LONGEST_NAME:
                yield Problem(key, f"name of {len(name)} characters", f"use at most {LONGEST_NAME}")
            if name == "all" and kind in ("models", "tasks", "pools", "methods"):
                yield Problem(key, f"'all' stands for all {kind} in a comparison", "choose another name")
            other = seen.setdefault(name.casefold(), name)
            if other != name:
                what = f"differs from {other!r} in case only, and both become names of files"
                yield Problem(key, what, "rename one of them")
    yield from _compared(study)


def _compared(study: Study) -> Iterator[Problem]:
    if len(set(study.seeds)) < len(study.seeds):
        yield Problem("seeds", "a seed is written twice", "write every seed once")
    if not study.compare:
        yield Problem("compare", "is empty", "leave it out to compare everything")
    for number, block in enumerate(study.compare):
        for kind, names, known in (
            ("pools", block.pools, study.pools),
            ("tasks", block.tasks, study.tasks),
            ("methods", block.methods, study.methods),
            ("singles", block.singles, study.models),
        ):
            if not names and kind not in ("methods", "singles"):
                yield Problem(f"compare.{number}.{kind}", "is empty", "name some, or leave it out for all")
            for name in () if isinstance(names, str) else names:
                if name not in known:
                    what = f"unknown {'model' if kind == 'singles' else kind[:-1]} {name!r}"
                    yield Problem(f"compare.{number}.{kind}", what, did_you_mean(name, known))


def paths(study: Study) -> Iterator[Problem]:
    """Find files of the user's whose names Snakemake cannot take."""
    named = [(f"tasks.{name}.source", path) for name, task in study.tasks.items() for path in source_paths(task)]
    named += [
        (f"models.{name}.path", entry.path)
        for name, entry in study.models.items()
        if isinstance(entry, (LocalModel, AdapterModel)) and entry.path is not None
    ]
    named += [(f"corpora.{name}.path", entry.path) for name, entry in study.corpora.items()]
    for key, path in named:
        with suppress(MocoError):  # a variable that is not set here
            wildcard = wildcard_in(expand(path))
            if wildcard is not None:
                what = f"Snakemake takes {wildcard} in {path!r} for a wildcard"
                yield Problem(key, what, "rename the file or folder, or link it under a name without braces")
