"""Comparing two results folders by content: everything but times, hosts and paid cost must be equal."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from moco.digest import file_digest

_LEFT_OUT_FOLDERS = ("logs", "benchmarks", "checkpoints")
_LEFT_OUT_KEYS = ("location",)


def differences(first: Path, second: Path, *, strict: bool = False) -> Iterator[str]:
    """Yield one line per file that differs.

    Parquet files are compared by their rows and by their metadata, tables and figures by their bytes. Performance
    files and tables (`*_perf.*`), logs, benchmarks, checkpoints (known by their fingerprints) and the report, which
    shows what is compared as files of its own, are left out.

    Args:
        first: A results folder.
        second: Another one.
        strict: Compare library versions too.
    """
    names = sorted(_files(first) | _files(second))
    for name in names:
        one, other = first / name, second / name
        if not one.exists() or not other.exists():
            yield f"{name}: only in {first if one.exists() else second}"
            continue
        try:
            difference = _difference(one, other, strict)
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            difference = " ".join(f"damaged ({error})".split())
        if difference:
            yield f"{name}: {difference}"


def _files(folder: Path) -> set[str]:
    names = set()
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        kept = path.is_file() and name.parts[0] not in _LEFT_OUT_FOLDERS and not name.name.startswith(".")
        if kept and not name.stem.endswith("_perf") and name.suffix not in (".tmp", ".html"):
            names.add(str(name))
    return names


def _difference(one: Path, other: Path, strict: bool) -> str | None:
    if one.suffix == ".parquet":
        return _parquet_difference(one, other, strict)
    if one.suffix == ".json":
        return None if _json(one) == _json(other) else "content differs"
    return None if file_digest(one) == file_digest(other) else "bytes differ"


def _json(path: Path) -> Any:
    return _without(json.loads(path.read_text(encoding="utf-8")))


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(item) for key, item in value.items() if key not in _LEFT_OUT_KEYS}
    return [_without(item) for item in value] if isinstance(value, list) else value


def _parquet_difference(one: Path, other: Path, strict: bool) -> str | None:
    first, second = pq.ParquetFile(one).read(), pq.ParquetFile(other).read()
    if first.schema.names != second.schema.names:
        return "columns differ"
    if first.num_rows != second.num_rows:
        return f"{first.num_rows} and {second.num_rows} rows"
    for column in first.schema.names:
        if not first[column].equals(second[column]):
            return f"column {column} differs in row {_first_row(first[column], second[column])}"
    if _metadata(first.schema.metadata, strict) != _metadata(second.schema.metadata, strict):
        return "provenance differs"
    return None


def _first_row(one: Any, other: Any) -> int:
    pairs = enumerate(zip(one.to_pylist(), other.to_pylist(), strict=True))
    return next((row for row, (mine, yours) in pairs if mine != yours), 0)


def _metadata(raw: dict[bytes, bytes] | None, strict: bool) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((raw or {}).get(b"moco", b"{}"))
    if not strict:
        content.pop("versions", None)
    return content
