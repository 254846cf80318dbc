"""What the store of a project holds."""

from pathlib import Path

import pyarrow.parquet as pq

from support.projects import Project


def shards(project: Project) -> list[Path]:
    """Return the files of all stored generations."""
    return sorted((project.folder / ".moco/store/generations").rglob("*.parquet"))


def stored_keys(project: Project) -> list[str]:
    """Return the keys of all stored generations, shard by shard."""
    return [key for shard in shards(project) for key in pq.read_table(shard, columns=["key"])["key"].to_pylist()]
