"""One shard: an immutable Parquet file that carries the checksum of its bytes in its name."""

import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from moco.errors import WorkError
from moco.records.files import replace_file

SUFFIX = ".parquet"
_GROUP_ROWS = 1000
_REPEATING = ["finish"]
LATER = {b"later": b"yes"}
"""Metadata of a column that older shards do not have."""

_GONE = (errno.ENOENT, errno.ESTALE)


class DamagedShard(Exception):
    """A shard is not what was written, or not what this store holds."""


def write_shard(folder: Path, stamp: int, table: pa.Table) -> Path:
    """Write a shard under a temporary name, rename it, and return where it is.

    Args:
        folder: Of the model.
        stamp: Nanoseconds since the epoch; where a request is stored twice, the shard with the smaller one counts.
        table: The rows.
    """
    sink = pa.BufferOutputStream()
    # Numbers and keys hardly repeat: dictionaries of them cost time and room.
    pq.write_table(table, sink, compression="zstd", row_group_size=_GROUP_ROWS, use_dictionary=_REPEATING)
    data = sink.getvalue()
    path = folder / f"{stamp:020d}-{_digest(data)}{SUFFIX}"
    replace_file(path, lambda temporary: temporary.write_bytes(data))
    return path


def stamp_of(path: Path) -> int:
    """Return the stamp in a shard's name."""
    return int(path.name.partition("-")[0])


def read_keys(path: Path, schema: pa.Schema) -> pa.Array:
    """Return the keys of a shard in the order of its rows; only they are read, so other damage is found later.

    Raises:
        DamagedShard: It cannot be read, or has other columns.
        FileNotFoundError: It is gone.
    """
    with _reading(path), pq.ParquetFile(path) as file:
        _check_columns(file, schema)
        return file.read(columns=["key"])["key"].combine_chunks()


def read_table(
    path: Path, schema: pa.Schema, rows: NDArray[np.int64] | None = None, *, checked: bool = False
) -> pa.Table:
    """Return rows of a shard.

    Args:
        path: The shard.
        schema: Types of the columns.
        rows: Their numbers, ascending; all when left out.
        checked: Its checksum was right before, so only the row groups in question are read.

    Raises:
        DamagedShard: The checksum is wrong, it cannot be read, or it has other columns.
        FileNotFoundError: It is gone.
    """
    with _reading(path):
        source: Any = path
        if not checked:
            data = path.read_bytes()
            if _digest(data) != _digest_in_name(path):
                raise DamagedShard("checksum differs")
            source = pa.BufferReader(data)
        with pq.ParquetFile(source) as file:
            _check_columns(file, schema)
            return _completed(file.read() if rows is None else _take(file, rows), schema)


def _take(file: pq.ParquetFile, rows: NDArray[np.int64]) -> pa.Table:
    """Return rows from their row groups."""
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    ends = np.cumsum(sizes)
    group_of = np.searchsorted(ends, rows, side="right")
    groups = np.unique(group_of)
    # What the groups that are left out would have held moves every later row up.
    skipped = np.cumsum([0 if group in groups else size for group, size in enumerate(sizes)])
    return file.read_row_groups(groups.tolist()).take(rows - skipped[group_of])


def to_columns(table: pa.Table) -> dict[str, list[Any]]:
    """Return the values of each column; lists of numbers come out many times faster than by `to_pydict`."""
    return {name: _values(table[name].combine_chunks()) for name in table.column_names}


def _values(array: pa.Array) -> list[Any]:
    if not pa.types.is_list(array.type):
        return list(array.to_pylist())
    flat = array.flatten().to_numpy()
    ends = np.cumsum(array.value_lengths().to_numpy()).tolist()
    return [flat[start:end].tolist() for start, end in zip([0, *ends], ends, strict=False)]


def _check_columns(file: pq.ParquetFile, schema: pa.Schema) -> None:
    known = pa.schema([field for field in schema if field.name in file.schema_arrow.names or field.metadata != LATER])
    if not file.schema_arrow.equals(known):
        raise DamagedShard("has other columns than this store")


def _completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with the columns that older shards do not have."""
    for field in schema:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table


def _digest(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _digest_in_name(path: Path) -> str:
    return path.stem.rpartition("-")[2]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Tell damage from a shard that is gone and from a machine that cannot read."""
    try:
        yield
    except (pa.ArrowException, OSError, LookupError, ValueError, MemoryError) as error:
        number = getattr(error, "errno", None)
        if number in _GONE:
            raise FileNotFoundError(number, "is gone", str(path)) from None
        if number is not None and number != errno.EIO:
            raise WorkError(f"cannot be read ({error})", where=str(path), remedy="see to it and run again") from None
        if number is None and _is_intact(path):
            raise
        raise DamagedShard(" ".join(str(error).split())[:200] or type(error).__name__) from None


def _is_intact(path: Path) -> bool:
    try:
        return _digest(path.read_bytes()) == _digest_in_name(path)
    except OSError:
        return False
