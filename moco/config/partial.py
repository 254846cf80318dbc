"""What of a study is left without its mistakes, so that all of them are found at once."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from moco.config.models import AdapterModel, TunedModel
from moco.config.problems import Problem
from moco.config.study import Comparison, Study
from moco.config.tasks import TaskSource

_NAMED = ("models", "tasks", "pools", "methods", "decoding", "corpora")


def readable(content: Mapping[str, Any], problems: Iterable[Problem]) -> Study | None:
    """Return what can be read of a configuration when everything that is wrong by itself is left out.

    Args:
        content: The configuration.
        problems: What is wrong with it.

    Returns:
        The study, or None where too little is left.
    """
    rest = {name: dict(value) if isinstance(value, Mapping) else value for name, value in content.items()}
    dropped: dict[str, set[str]] = {section: set() for section in _NAMED}
    for problem in problems:
        section, _, below = problem.key.partition(".")
        if section in _NAMED and below and isinstance(rest.get(section), dict):
            for name in [name for name in rest[section] if f"{below}.".startswith(f"{name}.")]:
                del rest[section][name]
                dropped[section].add(str(name))
        else:
            rest.pop(section, None)
    rest = {name: value for name, value in rest.items() if name in Study.model_fields}
    if dropped["decoding"]:
        rest["decoding"] = {**{name: {} for name in dropped["decoding"]}, **rest.get("decoding", {})}
    try:
        study = Study.model_validate({"study": "unnamed", **rest})
    except ValidationError:
        return None
    return _without(study, dropped)


def sound(study: Study, problems: Iterable[Problem]) -> Study | None:
    """Return a study without the entries that have mistakes and without what refers to them; None if nothing is left."""
    dropped: dict[str, set[str]] = {section: set() for section in _NAMED}
    for problem in problems:
        section, _, below = problem.key.partition(".")
        if section in _NAMED:
            dropped[section].add(below.partition(".")[0])
        elif section == "compare":
            return None
    return _without(study, dropped)


def _without(study: Study, dropped: Mapping[str, set[str]]) -> Study | None:
    tasks = {name: entry for name, entry in study.tasks.items() if name not in dropped["tasks"]}
    while orphans := {
        name
        for name, entry in tasks.items()
        if isinstance(entry.source, TaskSource)
        and entry.source.task in dropped["tasks"] | study.tasks.keys() - tasks.keys()
    }:
        tasks = {name: entry for name, entry in tasks.items() if name not in orphans}
    gone = set(dropped["models"])
    models = {name: entry for name, entry in study.models.items() if name not in gone}
    while lost := {
        name
        for name, entry in models.items()
        if (isinstance(entry, (AdapterModel, TunedModel)) and entry.base in gone)
        or (isinstance(entry, TunedModel) and not tasks.keys() >= set(entry.tasks))
    }:
        gone |= lost
        models = {name: entry for name, entry in models.items() if name not in gone}
    pools = {
        name: pool
        for name, pool in study.pools.items()
        if name not in dropped["pools"] and not gone.intersection(pool.models)
    }
    methods = {
        name: variant
        for name, variant in study.methods.items()
        if name not in dropped["methods"] and not _refers(variant.params, gone | dropped["corpora"])
    }
    roles = {name: None for name, value in study.scoring if isinstance(value, str) and value in gone}
    names = {
        "pools": dropped["pools"] | study.pools.keys() - pools.keys(),
        "tasks": dropped["tasks"] | study.tasks.keys() - tasks.keys(),
        "methods": dropped["methods"] | study.methods.keys() - methods.keys(),
        "singles": gone,
    }
    compare = [block for block in (_block(block, names) for block in study.compare) if block is not None]
    if not (models and pools and tasks and compare):
        return None
    update = {"models": models, "pools": pools, "tasks": tasks, "methods": methods, "compare": tuple(compare)}
    return study.model_copy(update={**update, "scoring": study.scoring.model_copy(update=roles)})


def _refers(value: Any, names: set[str]) -> bool:
    if isinstance(value, Mapping):
        return any(_refers(item, names) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(_refers(item, names) for item in value)
    return isinstance(value, str) and value in names


def _block(block: Comparison, gone: Mapping[str, set[str]]) -> Comparison | None:
    """Return a comparison without some names; None if it had nothing to compare then."""
    kept = {
        kind: tuple(name for name in getattr(block, kind) if name not in names)
        for kind, names in gone.items()
        if not isinstance(getattr(block, kind), str)
    }
    if any(not names and getattr(block, kind) for kind, names in kept.items()):
        return None
    return block.model_copy(update=kept)
