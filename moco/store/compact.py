"""Many small shards of a model become a few large ones, while jobs read and write.

A reader whose shard is gone looks again; a writer only adds. What counts is never missing: the merged shard is there
before the small ones leave, and a compaction that is killed in between leaves rows twice, which the next one drops.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock, Timeout

from moco.store.generations import Partition
from moco.store.shard import read_rows, stamp_of, write_shard
from moco.store.survey import damaged_shards

SMALL_BYTES = 16 * 2**20
"""Shards from this size on are left alone."""

FULL_BYTES = 64 * 2**20
"""Small shards are merged up to about this size."""


@dataclass(frozen=True)
class Compaction:
    """Shards and bytes of a partition, before and after."""

    folder: Path
    shards: tuple[int, int]
    bytes: tuple[int, int]


def compact(partition: Partition[Any]) -> Compaction | None:
    """Merge the small shards of a partition, and return None where another process does so already.

    Damaged shards are set aside first. Rows that do not count, since an older shard has the request, are dropped.

    Raises:
        WorkError: The disk is full; nothing was lost.
    """
    try:
        with FileLock(partition.folder / ".compact.lock").acquire(timeout=0):
            before = _size(partition)
            for _ in damaged_shards(partition, repair=True):
                pass
            for group in _groups(partition):
                _merge(partition, group)
            after = _size(partition)
    except Timeout:
        return None
    return Compaction(partition.folder, (before[0], after[0]), (before[1], after[1]))


def _size(partition: Partition[Any]) -> tuple[int, int]:
    shards = partition.shards()
    return len(shards), sum(path.stat().st_size for path in shards)


def _groups(partition: Partition[Any]) -> Iterator[dict[Path, Any]]:
    """Yield the small shards that become one, each with its rows that count, where that changes anything."""
    live = partition.live()
    group: dict[Path, Any] = {}
    total, changed = 0, False
    for path, rows in ((partition.folder / name, rows) for name, rows in partition.sizes().items()):
        size = path.stat().st_size
        if size >= SMALL_BYTES:
            continue
        if group and total + size > FULL_BYTES:
            if changed:
                yield group
            group, total, changed = {}, 0, False
        changed = changed or bool(group) or len(live.get(path.name, ())) < rows
        group[path] = live.get(path.name, ())
        total += size
    if changed:
        yield group


def _merge(partition: Partition[Any], group: dict[Path, Any]) -> None:
    schema = partition.layout.schema
    tables = [read_rows(path, schema, rows, schema.names) for path, rows in group.items() if len(rows)]
    # Where only whole shards are dropped, what is left may have the bytes and so the name of one that is there.
    merged = tables and write_shard(partition.folder, min(map(stamp_of, group)), pa.concat_tables(tables))
    for path in group:
        if path != merged:
            path.unlink(missing_ok=True)
