"""The store of model output: immutable, checksummed Parquet shards, one folder per model, any number of writers.

A shard is named `<time>-<first 16 digits of the SHA-256 of its bytes>.parquet`, written under a temporary name and
renamed. Nothing is ever changed in place, so readers need no locks and a killed writer leaves no half-written shard.
When two writers stored the same request, the older shard counts.
"""

import hashlib
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from moco.records.files import replace_file

log = logging.getLogger("moco")


@dataclass(frozen=True)
class Stored:
    """One reply as it came from a model.

    Attributes:
        key: Of the request.
        text: Whole reply, special tokens left out, thinking text included.
        finish: `stop` or `length`; `scored` for a given text that was not generated.
        prompt_tokens: Tokens of the prompt.
        tokens: Token ids of the reply, end-of-sequence token included.
        logprobs: Raw (untempered) log-probability of each token, rounded to 1e-6.
        top_k: Number K of stored alternatives per token.
        top_ids: K most likely token ids per token, flat: len(tokens) * K.
        top_logprobs: Their raw log-probabilities, likewise.
        tail: Probability mass outside the K, per token.
        seconds: Share of its batch's time when it was generated.
    """

    key: str
    text: str
    finish: str
    prompt_tokens: int
    tokens: list[int]
    logprobs: list[float]
    top_k: int
    top_ids: list[int]
    top_logprobs: list[float]
    tail: list[float]
    seconds: float


@dataclass(frozen=True)
class Measured:
    """What a model that does not write made of a text: the reward of a reply, or the vector of a text.

    Attributes:
        key: Of the request.
        values: One number, or the vector, rounded to 1e-6.
        tokens: Tokens that the model read.
        seconds: Share of its batch's time when it was made.
    """

    key: str
    values: list[float]
    tokens: int
    seconds: float


class Keyed(Protocol):
    """A stored row."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def key(self) -> str:
        """Of the request."""
        ...


Row = TypeVar("Row", bound=Keyed)


@dataclass(frozen=True)
class Layout(Generic[Row]):
    """How rows of one kind are stored.

    Attributes:
        folder: Below the store.
        row: Their class; its fields are the columns.
        schema: Types of the columns.
    """

    folder: str
    row: type[Row]
    schema: pa.Schema


def _layout(folder: str, row: type[Row], **columns: pa.DataType) -> Layout[Row]:
    metadata = {b"moco": b'{"schema":"store","schema_version":1}'}
    return Layout(folder, row, pa.schema(list(columns.items()), metadata=metadata))


GENERATED = _layout(
    "generations",
    Stored,
    key=pa.string(),
    text=pa.string(),
    finish=pa.string(),
    prompt_tokens=pa.int32(),
    tokens=pa.list_(pa.int32()),
    logprobs=pa.list_(pa.float64()),
    top_k=pa.int16(),
    top_ids=pa.list_(pa.int32()),
    top_logprobs=pa.list_(pa.float64()),
    tail=pa.list_(pa.float64()),
    seconds=pa.float64(),
)
MEASURED = _layout(
    "measures",
    Measured,
    key=pa.string(),
    values=pa.list_(pa.float64()),
    tokens=pa.int32(),
    seconds=pa.float64(),
)


class Partition(Generic[Row]):
    """The stored rows of one kind and one model.

    Args:
        folder: Of the model, by its fingerprint.
        layout: Of the rows.
    """

    def __init__(self, folder: Path, layout: Layout[Row]) -> None:
        self.folder, self._layout = folder, layout
        self._columns = [field.name for field in fields(layout.row)]
        self._where: dict[str, tuple[Path, int]] = {}
        self._indexed: set[str] = set()

    def refresh(self) -> None:
        """Take in shards that appeared since the last look."""
        if not self.folder.is_dir():
            return
        for path in sorted(self.folder.glob("*.parquet")):
            if path.name in self._indexed:
                continue
            try:
                keys = pq.ParquetFile(path).read(columns=["key"])["key"].to_pylist()
            except (pa.ArrowInvalid, OSError, KeyError) as error:
                self._set_aside(path, str(error))
                continue
            self._indexed.add(path.name)
            for row, key in enumerate(keys):
                self._where.setdefault(key, (path, row))

    def find(self, keys: Iterable[str]) -> dict[str, Row]:
        """Return the stored rows among `keys`; damaged shards are set aside and their keys are missing."""
        self.refresh()
        rows_by_shard: dict[Path, list[int]] = {}
        for key in dict.fromkeys(keys):
            if key in self._where:
                path, row = self._where[key]
                rows_by_shard.setdefault(path, []).append(row)
        found: dict[str, Row] = {}
        for path, rows in rows_by_shard.items():
            found.update((stored.key, stored) for stored in self._read(path, rows))
        return found

    def _read(self, path: Path, rows: list[int]) -> list[Row]:
        try:
            data = path.read_bytes()
        except OSError as error:
            self._set_aside(path, str(error))
            return []
        if not path.stem.endswith(hashlib.sha256(data).hexdigest()[:16]):
            self._set_aside(path, "checksum differs")
            return []
        table = pq.ParquetFile(pa.BufferReader(data)).read().take(rows)
        return [self._layout.row(**{name: row[name] for name in self._columns}) for row in table.to_pylist()]

    def _set_aside(self, path: Path, reason: str) -> None:
        log.warning("%s is damaged (%s): set aside, its requests will be generated again", path, reason)
        self._where = {key: place for key, place in self._where.items() if place[0] != path}
        with suppress(FileNotFoundError):  # another process was first
            path.rename(path.with_suffix(".damaged"))

    def write(self, rows: Iterable[Row]) -> None:
        """Add one shard; rows whose key is already known are left out."""
        new = [asdict(row) for row in rows if row.key not in self._where]
        if not new:
            return
        table = pa.Table.from_pylist(new, schema=self._layout.schema)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", row_group_size=1000)
        data = sink.getvalue().to_pybytes()
        path = self.folder / f"{time.time_ns():020d}-{hashlib.sha256(data).hexdigest()[:16]}.parquet"
        replace_file(path, lambda temporary: temporary.write_bytes(data))
        self._indexed.add(path.name)
        for row, stored in enumerate(new):
            self._where[stored["key"]] = (path, row)

    @contextmanager
    def writer(self, flush_seconds: float) -> Iterator["Writer[Row]"]:
        """Give a buffer that reaches the disk at least every `flush_seconds`, and whatever happens at the end."""
        buffer = Writer(self, flush_seconds)
        try:
            yield buffer
        finally:
            buffer.flush()


class Writer(Generic[Row]):
    """Buffers rows of one model and writes them as shards."""

    def __init__(self, partition: Partition[Row], flush_seconds: float) -> None:
        self._partition, self._flush_seconds = partition, flush_seconds
        self._rows: list[Row] = []
        self._last = time.monotonic()

    def add(self, row: Row) -> None:
        """Buffer one row; writes a shard when the last one is old enough."""
        self._rows.append(row)
        if time.monotonic() - self._last >= self._flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Write what is buffered."""
        self._partition.write(self._rows)
        self._rows = []
        self._last = time.monotonic()


class GenerationStore:
    """All stored model output, by model.

    Args:
        root: The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._partitions: dict[tuple[str, str], Partition[Any]] = {}

    def partition(self, fingerprint: str) -> Partition[Stored]:
        """Return the stored replies of a model."""
        return self._partition(GENERATED, fingerprint)

    def measures(self, fingerprint: str) -> Partition[Measured]:
        """Return the stored rewards or vectors of a model."""
        return self._partition(MEASURED, fingerprint)

    def _partition(self, layout: Layout[Row], fingerprint: str) -> Partition[Row]:
        place = (layout.folder, fingerprint)
        if place not in self._partitions:
            folder = self.root / layout.folder / fingerprint[:2] / fingerprint[:32]
            self._partitions[place] = Partition(folder, layout)
        return self._partitions[place]


def store_root(results: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the store's folder: `$MOCO_STORE`, or `.moco/store` beside the results folder."""
    given = environment.get("MOCO_STORE")
    return Path(given).expanduser() if given else results.resolve().parent / ".moco" / "store"


def work_root(results: Path) -> Path:
    """Return the folder for work in progress, beside the results folder."""
    return results.resolve().parent / ".moco" / "work"
