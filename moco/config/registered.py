"""Tasks that name a registered dataset: what the study leaves out comes from the registry, what it says wins."""

from collections.abc import Mapping
from typing import Any

from moco.config.datasets import Dataset, dataset, dataset_names
from moco.config.release import release_path
from moco.errors import RequestError
from moco.registry import did_you_mean

ORIGINS = ("release", "hub")


def with_registry(tasks: Mapping[str, Any]) -> tuple[dict[str, Any], list[RequestError]]:
    """Return the tasks of a study, as written, with the facts of registered datasets filled in; and the mistakes.

    A task that names no source is the registered dataset of its name (or of `dataset`), from the file of the release
    (`from: release`, where there is one) or from the hub (`from: hub`). A source without `kind` changes the hub source
    of the dataset. `source: NAME` is a task of the study or else a registered dataset.
    A task with a mistake is replaced by one that refers to itself, so that the others can still be checked.
    """
    filled, mistakes = {}, []
    for name, entry in tasks.items():
        try:
            filled[name] = _filled(str(name), entry, tasks)
        except RequestError as error:
            mistakes.append(error)
            filled[name] = {"source": {"kind": "task", "task": name}}
    return filled, mistakes


def _filled(name: str, entry: Any, tasks: Mapping[str, Any]) -> Any:
    if entry is not None and not isinstance(entry, dict):
        return entry
    entry = dict(entry or {})
    found = _dataset_of(name, entry, tasks)
    origin = _origin(name, entry, found, tasks)
    if found is not None:
        source = _source(found, name, entry, origin)
        entry.pop("from", None)
        return {**_facts(found, entry, tasks, source), **entry, "dataset": found.name, "source": source}
    if "source" not in entry:
        what = f"{name!r} is no registered dataset, and the task names no source"
        remedy = f"{did_you_mean(name, dataset_names())}; `moco tasks` lists them"
        raise RequestError(what, where=f"tasks.{name}.source", remedy=remedy)
    return entry


def _origin(name: str, entry: Mapping[str, Any], found: Dataset | None, tasks: Mapping[str, Any]) -> str | None:
    """Return `release` or `hub`, where the items of a registered dataset come from; None where the source says it."""
    asked, source = entry.get("from"), entry.get("source")
    changes_hub = isinstance(source, dict) and source.get("kind", "hub") == "hub"
    other = isinstance(source, dict) and source.get("kind", "hub") not in ("hub", "task")
    if asked is not None:
        where = f"tasks.{name}.from"
        if asked not in ORIGINS:
            raise RequestError(f"is {asked!r}", where=where, remedy=f"write {' or '.join(ORIGINS)}")
        if found is None or other or _other_task(entry) in tasks or (asked == "release" and changes_hub):
            what = "is for registered datasets that name no other source"
            raise RequestError(what, where=where, remedy="leave out from, or source")
        return str(asked)
    if found is None or other or _other_task(entry) in tasks:
        return None
    return "release" if found.in_release and not changes_hub else "hub"


def _other_task(entry: Mapping[str, Any]) -> str | None:
    """Return the name that a task gives as its source."""
    source = entry.get("source")
    if isinstance(source, dict):
        source = source.get("task") if source.get("kind") == "task" else None
    return source if isinstance(source, str) else None


def _dataset_of(
    name: str, entry: Mapping[str, Any], tasks: Mapping[str, Any], seen: tuple[str, ...] = ()
) -> Dataset | None:
    """Return the registered dataset that a task is about, if it is about one."""
    if entry.get("dataset") is not None:
        return dataset(str(entry["dataset"]), f"tasks.{name}.dataset")
    other = _other_task(entry)
    if other is not None:
        below = tasks.get(other)
        if other in tasks and other not in (*seen, name):
            return _dataset_of(other, below if isinstance(below, dict) else {}, tasks, (*seen, name))
        return dataset(other) if other in dataset_names() and other not in tasks else None
    source = entry.get("source") or {}
    if isinstance(source, dict) and (source.get("kind") == "synthetic" or {"repository", "columns"} <= source.keys()):
        return None
    return dataset(name) if name in dataset_names() else None


def _facts(found: Dataset, entry: Mapping[str, Any], tasks: Mapping[str, Any], source: Any) -> dict[str, Any]:
    """Return what the registry says; a task over another task of the study keeps to what that one says."""
    facts = {"type": found.type, "domain": found.domain, "limit": found.limit, "group_score": found.group_score}
    below = tasks.get(_other_task(entry) or "")
    if isinstance(source, dict) and source.get("kind") == "moco" and found.file.bad_rows == "drop":
        facts["bad_rows"] = "drop"
    if _other_task(entry) in tasks:
        del facts["type"]  # the plan takes it from there
        facts |= {key: below[key] for key in ("domain", "group_score") if isinstance(below, dict) and key in below}
    return facts


def _source(found: Dataset, name: str, entry: Mapping[str, Any], origin: str | None) -> Any:
    source = entry.get("source")
    if isinstance(source, dict) and source.get("kind") == "moco":
        return _file_rules(found) | source
    if origin is None:
        return source
    where = f"tasks.{name}.{'from' if 'from' in entry else 'source'}"
    if origin == "release":
        if not found.in_release:
            raise RequestError(f"the release has no {found.name}", where=where, remedy=_own_file(found))
        return {"kind": "moco", "path": release_path(found.name), **_file_rules(found)}
    if found.hub is None:
        what = f"no copy of {found.name} on the hub is known (it is in {found.elsewhere})"
        raise RequestError(what, where=where, remedy="leave out from" if found.in_release else _own_file(found))
    changes = source if isinstance(source, dict) and source.get("kind") != "task" else {}
    registered = found.hub.slice()
    if "columns" in changes:  # they say all
        registered.pop("function", None)
    return registered | changes


def _own_file(found: Dataset) -> str:
    return f"give a file in MoCo's format: source: {{kind: moco, path: {found.name}.json}}"


def _file_rules(found: Dataset) -> dict[str, Any]:
    """Return how MoCo's file of a dataset is read beyond its format."""
    file = found.file
    rules = {"function": file.function, "group": file.group, "domain": file.domain, "stratify": file.stratify}
    return {key: rule for key, rule in {**rules, "broken": found.broken_ids()}.items() if rule}
