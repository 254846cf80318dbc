"""Reading and writing record files: atomic, typed, with provenance in the file's own metadata."""

import errno
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from moco import __version__
from moco.digest import canonical_json
from moco.errors import WorkError
from moco.records.schemas import Schema

if TYPE_CHECKING:
    import pandas as pd

_METADATA = b"moco"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_GROUP_ROWS = 8192
_PACKAGES = ("numpy", "pyarrow", "pydantic", "torch", "transformers")


@dataclass(frozen=True)
class Provenance:
    """What a file was made from: the verb, its slice of the configuration, digests of its inputs."""

    verb: str
    spec: Any = None
    inputs: Mapping[str, str] = field(default_factory=dict)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter for results."""
    found = {"python": platform.python_version(), "moco": __version__}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def replace_file(path: Path, write: Any) -> None:
    """Write a file as in `replaced_file`.

    Args:
        path: Destination.
        write: Called with the temporary path.
    """
    with replaced_file(path) as temporary:
        write(temporary)


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Give a temporary name in a file's folder and rename it at the end, so that no reader sees half of the file.

    Raises:
        WorkError: The disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        remedy = "free some and run again: what is finished is kept"
        raise WorkError(f"no room to write it ({error.strerror})", where=str(path), remedy=remedy) from None
    finally:
        temporary.unlink(missing_ok=True)


def write_rows(path: Path, schema: Schema, rows: Iterable[Mapping[str, Any]], provenance: Provenance) -> None:
    """Write rows as one Parquet file.

    Raises:
        KeyError: A row lacks a column of the schema.
    """
    with row_writer(path, schema, provenance) as writer:
        for row in rows:
            writer.add(row)


def write_table(path: Path, schema: Schema, tables: Iterable[pa.Table], provenance: Provenance) -> None:
    """Write Arrow tables of a schema, one after the other, as one Parquet file."""
    columns = schema.columns.with_metadata(_described(schema, provenance))
    with replaced_file(path) as temporary, pq.ParquetWriter(temporary, columns, compression="zstd") as file:
        held: list[pa.Table] = []
        for table in tables:
            held.append(table)
            if sum(map(len, held)) >= _GROUP_ROWS:
                file.write_table(pa.concat_tables(held).cast(columns))
                held = []
        file.write_table(pa.concat_tables([*held, schema.columns.empty_table()]).cast(columns))


def _described(schema: Schema, provenance: Provenance) -> dict[bytes, bytes]:
    about = {"schema": schema.name, "schema_version": schema.version, **asdict(provenance), "versions": versions()}
    return {_METADATA: canonical_json(about).encode()}


@contextmanager
def row_writer(path: Path, schema: Schema, provenance: Provenance) -> "Iterator[RowWriter]":
    """Give what writes rows to a Parquet file one by one, so that only those of one row group are held."""
    columns = schema.columns.with_metadata(_described(schema, provenance))
    with replaced_file(path) as temporary, pq.ParquetWriter(temporary, columns, compression="zstd") as file:
        writer = RowWriter(file, columns)
        yield writer
        writer.flush()


class RowWriter:
    """Collects rows and writes them group by group; see `row_writer`."""

    def __init__(self, file: pq.ParquetWriter, columns: pa.Schema) -> None:
        self._file, self._columns = file, columns
        self._held: list[Mapping[str, Any]] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row."""
        self._held.append(row)
        if len(self._held) == _GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are held; a file without any row has one empty group.

        Raises:
            KeyError: One lacks a column of the schema.
        """
        columns = {name: [row[name] for row in self._held] for name in self._columns.names}
        self._file.write_table(pa.table(columns, schema=self._columns))
        self._held.clear()


def read_table(path: Path, schema: Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the columns of a record file as an Arrow table; errors as in `read_rows`."""
    try:
        table = pq.ParquetFile(path).read(columns=None if columns is None else list(columns))
    except FileNotFoundError:
        raise WorkError("file is missing", where=str(path), remedy="run the rule that makes it") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise WorkError(f"file is damaged ({error})", where=str(path), remedy="delete it and run again") from None
    found = _metadata(table.schema)
    if (found.get("schema"), found.get("schema_version")) != (schema.name, schema.version):
        raise WorkError(
            f"holds {found.get('schema')} version {found.get('schema_version')},"
            f" not {schema.name} version {schema.version}",
            where=str(path),
            remedy="delete it and run again",
        )
    return table


def _metadata(schema: pa.Schema) -> dict[str, Any]:
    raw = (schema.metadata or {}).get(_METADATA)
    return dict(json.loads(raw)) if raw else {}


def read_rows(path: Path, schema: Schema, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Return the rows of a record file as dictionaries.

    Raises:
        WorkError: The file is missing, damaged, or has another schema.
    """
    return list(read_table(path, schema, columns).to_pylist())


def read_by_task(path: Path, schema: Schema) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a batch's file by task; errors as in `read_rows`."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in read_rows(path, schema):
        rows.setdefault(row["task"], []).append(row)
    return rows


def read_frame(path: Path, schema: Schema, columns: Sequence[str] | None = None) -> "pd.DataFrame":
    """Return the rows of a record file as a data frame; errors as in `read_rows`."""
    frame: pd.DataFrame = read_table(path, schema, columns).to_pandas()
    return frame


def read_provenance(path: Path) -> dict[str, Any]:
    """Return the metadata of a record file: schema, verb, spec, inputs, versions."""
    return _metadata(pq.read_schema(path))


def write_json(path: Path, value: Any) -> None:
    """Write a readable JSON file with sorted keys."""
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        WorkError: The file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WorkError("file is missing", where=str(path), remedy="run the rule that makes it") from None
    except ValueError as error:
        raise WorkError(f"is not JSON ({error})", where=str(path), remedy="delete it and run again") from None
