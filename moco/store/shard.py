"""One shard: an immutable Parquet file that carries checksums in its name.

The last one is of all its bytes. The one before it is of the footer, which says what lies where; every page of data has
a checksum of its own. So what is read can be checked without reading the rest.
"""

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
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
_GROUP_BYTES = 16 * 2**20
_FOOTER_GUESS = 2**16
_REPEATING = ["finish"]
_QUICK = ("key", "tokens", "logprobs")
"""Columns that every look-up reads and that hardly get smaller: another compression is read twice as fast."""

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
    pq.write_table(
        table,
        sink,
        compression={leaf: "lz4" if name in _QUICK else "zstd" for name, leaf in _leaves(table.schema).items()},
        row_group_size=max(1, len(table) * _GROUP_BYTES // max(1, table.nbytes)),
        use_dictionary=_REPEATING,
        write_page_checksum=True,
    )
    data = memoryview(sink.getvalue())
    footer = data[-_footer_bytes(data) :]
    path = folder / f"{stamp:020d}-{_digest(footer)}-{_digest(data)}{SUFFIX}"
    replace_file(path, lambda temporary: temporary.write_bytes(data))
    return path


def _leaves(schema: pa.Schema) -> dict[str, str]:
    """Return the names of the columns as Parquet has them."""
    return {
        field.name: f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name for field in schema
    }


def stamp_of(path: Path) -> int:
    """Return the stamp in a shard's name."""
    return int(path.name.partition("-")[0])


def read_keys(path: Path, schema: pa.Schema) -> pa.Array:
    """Return the keys of a shard in the order of its rows; only they are read, so other damage is found later.

    Raises:
        DamagedShard: It cannot be read, or has other columns.
        FileNotFoundError: It is gone.
    """
    with _reading(path), _opened(path) as file:
        _check_columns(file, schema)
        return file.read(columns=["key"], use_threads=False)["key"].combine_chunks()


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """Return a whole shard, after comparing all its bytes with its name.

    Raises:
        DamagedShard: The checksum is wrong, it cannot be read, or it has other columns.
        FileNotFoundError: It is gone.
    """
    with _reading(path):
        data = path.read_bytes()
        if _digest(data) != _digests_in_name(path)[1]:
            raise DamagedShard("checksum differs")
        file = pq.ParquetFile(pa.BufferReader(data))
        _check_columns(file, schema)
        return file.read()


def read_rows(path: Path, schema: pa.Schema, rows: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
    """Return some columns of some rows of a shard; nothing else is read or checked.

    Args:
        path: The shard.
        schema: Types of all columns.
        rows: Numbers of the rows, ascending.
        columns: Names.

    Raises:
        DamagedShard: As for `read_table`, as far as it concerns what is read.
        FileNotFoundError: It is gone.
    """
    with _reading(path), _opened(path) as file:
        _check_columns(file, schema)
        return _take(file, rows, columns)


def _opened(path: Path) -> pq.ParquetFile:
    """Return a shard whose footer was compared with its name and whose pages will be checked.

    The file is open: use it as a context manager.
    """
    footer = _read_footer(path)
    if _digest(footer) != _digests_in_name(path)[0]:
        raise DamagedShard("checksum of the footer differs")
    metadata = pq.read_metadata(pa.BufferReader(footer))
    return pq.ParquetFile(path, metadata=metadata, page_checksum_verification=True)


def _read_footer(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _FOOTER_GUESS))
        tail = file.read()
        length = _footer_bytes(tail)
        if length > len(tail):
            file.seek(max(0, size - length))
            tail = file.read()
    return tail[-length:]


def _footer_bytes(data: Any) -> int:
    """Return how many of the last bytes of a Parquet file are its footer: its length stands before the magic number."""
    return int.from_bytes(data[-8:-4], "little") + 8


def _take(file: pq.ParquetFile, rows: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
    """Return rows from their row groups."""
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    ends = np.cumsum(sizes)
    group_of = np.searchsorted(ends, rows, side="right")
    groups = np.unique(group_of)
    # What the groups that are left out would have held moves every later row up.
    skipped = np.cumsum([0 if group in groups else size for group, size in enumerate(sizes)])
    table = file.read_row_groups(groups.tolist(), columns=list(columns), use_threads=False)
    return table.take(as_indices(rows - skipped[group_of]))


def as_indices(numbers: NDArray[np.int64]) -> pa.Array:
    """Return numbers as Arrow has them; `pa.array` would import pandas, which takes longer than thousands of look-ups."""
    return pa.Array.from_buffers(
        pa.int64(), len(numbers), [None, pa.py_buffer(np.ascontiguousarray(numbers, np.int64))]
    )


def as_numpy(numbers: pa.Array) -> NDArray[Any]:
    """Return numbers of Arrow, none of them null, as an array; `to_numpy` would import pandas, likewise."""
    return np.from_dlpack(numbers)


def as_strings(texts: Sequence[str]) -> pa.Array:
    """Return texts as Arrow has them, likewise."""
    data = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, data)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(data), pa.py_buffer(ends), pa.py_buffer(b"".join(data)))


def to_columns(table: pa.Table) -> dict[str, list[Any]]:
    """Return the values of each column; lists of numbers come out many times faster than by `to_pydict`."""
    return {name: _values(table[name].combine_chunks()) for name in table.column_names}


def _values(array: pa.Array) -> list[Any]:
    if not pa.types.is_list(array.type):
        return list(array.to_pylist())
    flat = as_numpy(array.flatten())
    ends = np.cumsum(as_numpy(array.value_lengths())).tolist()
    return [flat[start:end].tolist() for start, end in zip([0, *ends], ends, strict=False)]


def _check_columns(file: pq.ParquetFile, schema: pa.Schema) -> None:
    if not file.schema_arrow.equals(schema):
        raise DamagedShard("has other columns than this store")


def _digest(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _digests_in_name(path: Path) -> tuple[str, str]:
    """Return the digests of the footer and of all bytes that a shard's name holds."""
    parts = path.stem.split("-")
    if len(parts) != 3:
        raise DamagedShard("has no name of this store's")
    return parts[1], parts[2]


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
        return _digest(path.read_bytes()) == _digests_in_name(path)[1]
    except OSError:
        return False
