"""Comparing two results folders by content: everything that the workflow makes, but times, hosts and paid cost."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from moco.digest import file_digest
from moco.errors import RequestError

_STATE = (".json", ".parquet", ".safetensors")
_MADE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("tasks", "models", "fits"), _STATE),
    **dict.fromkeys(("generations", "logits", "answers", "scores", "analysis", "evolution"), (".parquet",)),
    "tables": (".csv", ".md", ".tex"),
    "figures": (".pdf", ".png"),
    **dict.fromkeys(("logs", "benchmarks", "checkpoints"), ()),
}
"""What is compared in each folder that the workflow fills; checkpoints are known by their fingerprints."""

_NAME = re.compile(r"[\w-][\w.-]*")
_LEFT_OUT_KEYS = ("location",)
_CIRCUMSTANCES = re.compile(rb"/(CreationDate|ModDate|Producer|Creator) \((?:[^()\\]|\\.)*\)\s*")


def differences(first: Path, second: Path, *, strict: bool = False) -> Iterator[str]:
    """Yield one line per file that differs.

    Parquet files are compared by their rows and by their metadata, tables and figures by their bytes, PDF files without
    dates and the library that wrote them. Only what the workflow makes is compared, so that notes, copies by editors
    and files of the system do not count. Performance files and tables (`*_perf.*`), logs, benchmarks, checkpoints and
    the report, which shows what is compared as files of its own, are left out.

    Args:
        first: A results folder, or a folder in it.
        second: Another one.
        strict: Compare library versions too.

    Raises:
        RequestError: Neither holds anything that could be compared.
    """
    names = sorted(_files(first) | _files(second))
    tables = {name.removesuffix(".csv") for name in names if name.endswith(".csv")}
    names = [name for name in names if _is_table(name, tables)]
    if not names:
        raise RequestError(
            "holds nothing that the workflow makes",
            where=str(first),
            remedy="name two results folders, or the same folder of both",
        )
    for name in names:
        one, other = first / name, second / name
        if not one.exists() or not other.exists():
            if _is_ours(one if one.exists() else other):
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
    top = folder.resolve().name
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        stage = next((part for part in (top, *name.parent.parts) if part in _MADE), "")
        kept = name.suffix in _MADE.get(stage, ()) and not name.stem.endswith("_perf")
        if kept and all(map(_NAME.fullmatch, name.parts)) and path.is_file():
            names.add(str(name))
    return names


def _is_table(name: str, tables: set[str]) -> bool:
    """Return False for a text file that is no form of a table, such as a README."""
    return not name.endswith((".md", ".tex")) or name.rpartition(".")[0] in tables


def _is_ours(path: Path) -> bool:
    """Return False for a Parquet file that somebody else put there."""
    if path.suffix != ".parquet":
        return True
    try:
        return b"moco" in (pq.read_schema(path).metadata or {})
    except (pa.ArrowInvalid, OSError):
        return True


def _difference(one: Path, other: Path, strict: bool) -> str | None:
    if one.suffix == ".parquet":
        return _parquet_difference(one, other, strict)
    if one.suffix == ".json":
        return None if _json(one) == _json(other) else "content differs"
    if one.suffix == ".pdf" and not strict:
        return None if _drawn(one) == _drawn(other) else "bytes differ"
    return None if file_digest(one) == file_digest(other) else "bytes differ"


def _drawn(path: Path) -> bytes:
    """Return what a PDF file shows: without dates and versions, and the table of places that they shift."""
    content = path.read_bytes()
    end = content.rfind(b"\nxref", 0, max(content.rfind(b"startxref"), 0))
    return _CIRCUMSTANCES.sub(b"", content[: end if end >= 0 else None])


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
