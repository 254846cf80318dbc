"""Sources of items: made on the spot, a file in MoCo's JSON format, the hub, or tables."""

from dataclasses import dataclass, field
from typing import Any

from moco.config.tasks import HubSource, MocoSource, SyntheticSource, TableSource, TaskEntry
from moco.digest import digest, file_digest
from moco.tasks.layout import task_type, unresolved
from moco.tasks.paths import source_files
from moco.tasks.raw import RawItem
from moco.tasks.sources import moco_json, synthetic, table

__all__ = ["Loaded", "load", "load_with_inputs"]


@dataclass(frozen=True)
class Loaded:
    """Items of a source, with what they were read from.

    Attributes:
        items: By split, in source order.
        inputs: Digest of each file as configured, or of the items of a hub dataset by its address.
        revisions: Commit of each repository; None where it is unknown.
    """

    items: dict[str, list[RawItem]]
    inputs: dict[str, str]
    revisions: dict[str, str | None] = field(default_factory=dict)


def load(entry: TaskEntry, where: str = "") -> dict[str, list[RawItem]]:
    """Return all items of the task's source by split, in source order; errors as in `load_with_inputs`."""
    return load_with_inputs(entry, where).items


def load_with_inputs(entry: TaskEntry, where: str = "") -> Loaded:
    """Return all items of the task's source, and what they were read from.

    Args:
        entry: The task; its source must not be another task.
        where: The task, as errors about its configuration name it.

    Raises:
        RequestError: The source is another task, a path cannot be resolved, or the data are malformed; the message
            names file, split and row (rows count from 0, as in uids).
        WorkError: A hub dataset is neither cached nor reachable.
    """
    match entry.source:
        case SyntheticSource() as source:
            return Loaded(synthetic.load(source), {})
        case MocoSource() as source:
            return Loaded(moco_json.load(source, task_type(entry, where)), _digests(entry))
        case HubSource() as source:
            from moco.tasks.sources import hub

            found = hub.load(source, task_type(entry, where), where)
            places = "+".join(f"{repo}@{commit or 'unknown'}" for repo, commit in found.revisions.items())
            content = {split: [_plain(item) for item in items] for split, items in found.items.items()}
            return Loaded(found.items, {f"hf://datasets/{places}": digest("items", content)}, found.revisions)
        case TableSource() as source:
            return Loaded(table.load(source, task_type(entry, where), where), _digests(entry))
        case other:
            raise unresolved(other.task, where)


def _digests(entry: TaskEntry) -> dict[str, str]:
    return {configured: file_digest(path) for configured, path in source_files(entry).items()}


def _plain(item: RawItem) -> list[Any]:
    return [item.row, item.question, item.gold, item.gold_kind, item.options, item.src_id, item.group, item.meta]
