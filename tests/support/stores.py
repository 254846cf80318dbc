"""What the store of a project holds."""

import pyarrow.parquet as pq

from support.projects import Project


def stored_keys(project: Project) -> list[str]:
    """Return the keys of all stored generations, shard by shard."""
    shards = sorted((project.folder / ".moco/store/generations").rglob("*.parquet"))
    return [key for shard in shards for key in pq.read_table(shard, columns=["key"])["key"].to_pylist()]
