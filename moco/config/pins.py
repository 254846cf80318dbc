"""Commits of a study's hub datasets and models, written into its YAML without disturbing anything else there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from moco.config.models import AdapterModel, HubModel
from moco.config.study import Study
from moco.config.tasks import HubSource


@dataclass(frozen=True)
class Pin:
    """A place in a study that a commit belongs to.

    Attributes:
        kind: Whether it is a dataset or a model.
        name: Name of the task or model in the study.
        repositories: Repositories; by configuration where each has its own, else under the empty key.
        pinned: Whether the study has all commits.
        dataset: Registered dataset of a task, where it is one.
    """

    kind: str
    name: str
    repositories: dict[str, str]
    pinned: bool
    dataset: str | None = None


def pins(study: Study) -> list[Pin]:
    """Return every place of a study that a commit belongs to."""
    found = []
    for name, task in study.tasks.items():
        source = task.source
        if isinstance(source, HubSource):
            several = "{config}" in source.repository
            repositories = {
                config if several else "": source.repository.replace("{config}", config)
                for config in (source.configs if several else ("",))
            }
            known = source.revision if isinstance(source.revision, dict) else {"": source.revision}
            pinned = all(known.get(config) for config in repositories)
            found.append(Pin("dataset", name, repositories, pinned, task.dataset))
    for name, model in study.models.items():
        if isinstance(model, (HubModel, AdapterModel)) and model.repo is not None:
            found.append(Pin("model", name, {"": model.repo}, model.revision is not None))
    return found


def lines(commits: Sequence[tuple[Pin, Mapping[str, str]]]) -> str:
    """Return what the study would have to say, as YAML."""
    tasks, models = [], []
    for pin, found in commits:
        revision = f"revision: {_shown(found)}"
        if pin.kind == "dataset":
            tasks.append(f"  {pin.name}: {{source: {{{revision}}}}}")
        else:
            models.append(f"  {pin.name}: {{{revision}}}")
    parts = [["tasks:", *tasks]] if tasks else []
    parts += [["models:", *models]] if models else []
    return "\n".join(line for part in parts for line in part)


def written(text: str, commits: Sequence[tuple[Pin, Mapping[str, str]]]) -> str | None:
    """Return a study's YAML with the commits in it, or None where its form does not allow that.

    Args:
        text: The study's YAML; comments and layout stay.
        commits: Commit by configuration (see `Pin.repositories`) for each place.
    """
    document = yaml.compose(text, Loader=yaml.SafeLoader)
    edits: list[tuple[int, int, str]] = []
    for pin, found in commits:
        section = _value(document, "tasks" if pin.kind == "dataset" else "models")
        entry = _value(section, pin.name)
        if entry is None:
            return None
        revision = f"revision: {_shown(found)}"
        edits.append(
            _dataset_edit(text, entry, pin, revision) if pin.kind == "dataset" else _into(text, entry, revision)
        )
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _shown(found: Mapping[str, str]) -> str:
    if set(found) == {""}:
        commit = found[""]
        return commit if isinstance(yaml.safe_load(commit), str) else f'"{commit}"'  # digits alone are a number
    return "{" + ", ".join(f"{config}: {_shown({'': commit})}" for config, commit in found.items()) + "}"


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _dataset_edit(text: str, entry: yaml.Node, pin: Pin, revision: str) -> tuple[int, int, str]:
    source = _value(entry, "source")
    if source is None:
        return _into(text, entry, f"source: {{{revision}}}", "source")
    if isinstance(source, yaml.ScalarNode):  # the name of a registered dataset
        named = f", dataset: {pin.dataset}" if getattr(entry, "flow_style", False) else ""
        indent = "" if named else f"\n{' ' * _indent(entry)}dataset: {pin.dataset}"
        return source.start_mark.index, source.end_mark.index, f"{{{revision}}}{named}{indent}"
    return _into(text, source, revision)


def _indent(entry: yaml.Node) -> int:
    return int(entry.start_mark.column)


def _into(text: str, node: yaml.Node, new: str, key: str = "revision") -> tuple[int, int, str]:
    """Return the edit that puts `key: value` into a mapping, in place of the key's present value."""
    start, end = node.start_mark.index, node.end_mark.index
    if isinstance(node, yaml.ScalarNode):
        return start, end, f"{'' if text[start - 1 : start].isspace() else ' '}{{{new}}}"
    present = _value(node, key)
    if present is not None:
        value = new.partition(": ")[2]
        gap = "" if text[present.start_mark.index - 1].isspace() else " "
        return present.start_mark.index, present.end_mark.index, gap + value
    if not isinstance(node, yaml.MappingNode):
        return start, start, ""
    if node.flow_style:
        return start + 1, start + 1, f"{new}, " if node.value else new
    return start, start, f"{new}\n{' ' * _indent(node)}"


def commits_in(study: Study) -> dict[tuple[str, str], Any]:
    """Return the commits that a study holds, by kind and name."""
    found: dict[tuple[str, str], Any] = {}
    for name, task in study.tasks.items():
        if isinstance(task.source, HubSource):
            revision = task.source.revision
            found["dataset", name] = revision if isinstance(revision, dict) else {"": revision}
    for name, model in study.models.items():
        if isinstance(model, (HubModel, AdapterModel)):
            found["model", name] = {"": model.revision}
    return found
