"""What a store holds, and whether all of it is whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from moco.store.artifacts import KINDS, ArtifactStore
from moco.store.checksums import DAMAGED, damage_of, set_aside
from moco.store.generations import GenerationStore, Partition
from moco.store.shard import DamagedShard, read_table


@dataclass(frozen=True)
class Holding:
    """What the store holds of one model, or of one kind of artifact.

    Attributes:
        kind: `generations`, `measures`, or a kind of artifact.
        fingerprint: First 32 digits of the model's; empty for artifacts.
        responses: Different requests, or artifacts.
        shards: Files of responses.
        bytes: On the disk.
        tokens: Of the replies, or read by a judge.
        damaged: Shards or artifacts that were set aside.
    """

    kind: str
    fingerprint: str
    responses: int
    shards: int
    bytes: int
    tokens: int
    damaged: int


def holdings(root: Path, artifacts: ArtifactStore) -> Iterator[Holding]:
    """Yield what a store holds; damaged shards are left out, and left where they are."""
    for partition in GenerationStore(root).partitions():
        yield _of_partition(partition)
    for kind in KINDS:
        folders = [folder for folder in artifacts.folders() if folder.is_relative_to(root / kind)]
        damaged = len(list((root / kind).glob(f"??/*{DAMAGED}")))
        if folders or damaged:
            yield Holding(kind, "", len(folders), 0, sum(map(bytes_of, folders)), 0, damaged)


def _of_partition(partition: Partition[Any]) -> Holding:
    counted, size = [], 0
    for path in partition.shards():
        try:
            table = pq.ParquetFile(path).read(columns=["key", "tokens"])
            tokens = table["tokens"]
            if pa.types.is_list(tokens.type):
                tokens = pc.list_value_length(tokens)
            counted.append(pa.table({"key": table["key"], "tokens": pc.cast(tokens, pa.int64())}))
            size += path.stat().st_size
        except (pa.ArrowException, OSError, LookupError, ValueError):
            continue
    table = pa.concat_tables(counted) if counted else pa.table({"key": [], "tokens": pa.array([], pa.int64())})
    rows = table.group_by("key", use_threads=False).aggregate([("tokens", "first")])
    return Holding(
        partition.layout.folder,
        partition.folder.name,
        rows.num_rows,
        len(counted),
        size,
        pc.sum(rows["tokens_first"]).as_py() or 0,
        len(list(partition.folder.glob(f"*{DAMAGED}"))),
    )


@dataclass(frozen=True)
class Damage:
    """Something that is not what was written: a shard or an artifact, and what is wrong."""

    path: Path
    reason: str


def damages(root: Path, artifacts: ArtifactStore, *, repair: bool) -> Iterator[Damage]:
    """Read a whole store and yield what is damaged.

    Args:
        root: The store's folder.
        artifacts: Its finished fits and merges.
        repair: Set it aside, so that the next run makes it again.
    """
    for partition in GenerationStore(root).partitions():
        yield from damaged_shards(partition, repair=repair)
    for folder in artifacts.folders():
        reason = damage_of(folder, thorough=True)
        if reason:
            yield Damage(folder, reason)
            if repair:
                with artifacts.unused(folder) as unused:
                    if unused:
                        set_aside(folder, reason, "the next run makes it again")


def damaged_shards(partition: Partition[Any], *, repair: bool) -> Iterator[Damage]:
    """Read a whole partition and yield its damaged shards; arguments as for `damages`."""
    for path in partition.shards():
        try:
            read_table(path, partition.layout.schema)
        except FileNotFoundError:  # compacted by another process
            continue
        except DamagedShard as damage:
            yield Damage(path, str(damage))
            if repair:
                partition.set_aside(path, str(damage))


def bytes_of(path: Path) -> int:
    """Return the size of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(each.stat().st_size for each in files if each.is_file())
