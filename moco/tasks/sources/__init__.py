"""Sources of items: made on the spot, a file in MoCo's JSON format, the hub, or tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moco.config.tasks import HubSource, MocoSource, SyntheticSource, TableSource, TaskEntry
from moco.digest import digest, file_digest
from moco.tasks.layout import task_type, unresolved
from moco.tasks.paths import source_files
from moco.tasks.raw import RawItem
from moco.tasks.sources import moco_json, synthetic, table
from moco.tasks.sources.rows import RowResult, SplitRows

__all__ = ["Opened", "RowResult", "SplitRows", "open_source"]


@dataclass(frozen=True)
class Opened:
    """A source that is open for reading, with what it is.

    Attributes:
        rows: By split, in source order, to be read one by one.
        files: Files that they are read from: as configured, and where they are.
        digests: Digest of what was read, by address, where that is no file.
        revisions: Commit of each repository; None where it is unknown.
    """

    rows: Mapping[str, SplitRows]
    files: Mapping[str, Path] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    revisions: Mapping[str, str | None] = field(default_factory=dict)

    def inputs(self) -> dict[str, str]:
        """Return the digest of everything that is read."""
        return {**{configured: file_digest(path) for configured, path in self.files.items()}, **self.digests}


def open_source(entry: TaskEntry, where: str = "") -> Opened:
    """Open the task's source.

    Args:
        entry: The task; its source must not be another task.
        where: The task, as errors about its configuration name it.

    Raises:
        RequestError: The source is another task, a path cannot be resolved, or the source cannot be opened; while
            rows are read, also that the file is damaged.
        WorkError: A hub dataset is neither cached nor reachable.
    """
    match entry.source:
        case SyntheticSource() as source:
            return Opened(synthetic.read(source, where))
        case MocoSource() as source:
            rows = moco_json.read(source, task_type(entry, where), as_filed=entry.splits == "upstream")
            return Opened(rows, source_files(entry))
        case HubSource() as source:
            from moco.tasks.sources import hub

            found = hub.load(source, task_type(entry, where), where)
            places = "+".join(f"{repo}@{commit or 'unknown'}" for repo, commit in found.revisions.items())
            content = {split: [_plain(item) for item in items] for split, items in found.items.items()}
            rows = {split: SplitRows.of(items) for split, items in found.items.items()}
            address = f"hf://datasets/{places}"
            return Opened(rows, digests={address: digest("items", content)}, revisions=found.revisions)
        case TableSource() as source:
            return Opened(table.read(source, task_type(entry, where), where), source_files(entry))
        case other:
            raise unresolved(other.task, where)


def _plain(item: RawItem) -> list[Any]:
    return [item.row, item.question, item.gold, item.gold_kind, item.options, item.src_id, item.group, item.meta]
