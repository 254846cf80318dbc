"""The store of model output: immutable, checksummed Parquet shards, one folder per model, any number of writers.

A shard is named `<time>-<first 16 digits of the SHA-256 of its bytes>.parquet`, written under a temporary name and
renamed. Nothing is ever changed in place, so readers need no locks and a killed writer leaves no half-written shard.
When two writers stored the same request, the older shard counts.
"""

import gc
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from moco.store.shard import LATER, SUFFIX, DamagedShard, read_keys, read_table, to_columns, write_shard

log = logging.getLogger("moco")

DAMAGED = ".damaged"
"""Ending of the name of a shard that was set aside."""


@dataclass(frozen=True)
class Stored:
    """One reply as it came from a model.

    Attributes:
        key: Of the request.
        text: Whole reply, special tokens left out, thinking text included.
        finish: `stop` or `length`; `scored` for a given text that was not generated.
        prompt_tokens: Tokens of the prompt.
        tokens: Token ids of the reply, end-of-sequence token included; -1 each where a server gave log-probabilities,
            since it gives no ids, and none where it gave none.
        logprobs: Raw (untempered) log-probability of each token, rounded to 1e-6.
        top_k: Number K of stored alternatives per token.
        top_ids: K most likely token ids per token, flat: len(tokens) * K.
        top_logprobs: Their raw log-probabilities, likewise.
        tail: Probability mass outside the K, per token.
        seconds: Share of its batch's time when it was generated.
        written: Tokens of the reply as a server counted them; None: those of `tokens`.
        reported: What a server called its own state (`system_fingerprint`).
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
    written: int | None = None
    reported: str | None = None

    @property
    def completion_tokens(self) -> int:
        """Tokens of the reply."""
        return len(self.tokens) if self.written is None else self.written


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


def _layout(folder: str, row: type[Row], *, later: Sequence[str] = (), **columns: pa.DataType) -> Layout[Row]:
    """Return a layout; the columns named in `later` are missing in older shards, and null then."""
    metadata = {b"moco": b'{"schema":"store","schema_version":1}'}
    fields = [pa.field(name, kind, metadata=LATER if name in later else None) for name, kind in columns.items()]
    return Layout(folder, row, pa.schema(fields, metadata=metadata))


GENERATED = _layout(
    "generations",
    Stored,
    later=("written", "reported"),
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
    written=pa.int32(),
    reported=pa.string(),
)
MEASURED = _layout(
    "measures",
    Measured,
    key=pa.string(),
    values=pa.list_(pa.float64()),
    tokens=pa.int32(),
    seconds=pa.float64(),
)

LAYOUTS: tuple[Layout[Any], ...] = (GENERATED, MEASURED)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the garbage collector from walking every new list of numbers again and again; none of them is a cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Index:
    """Where keys are, over all shards at once.

    Args:
        keys: By shard, the shard that counts first.
    """

    def __init__(self, keys: Mapping[str, pa.Array]) -> None:
        self._names = list(keys)
        self._ends = np.cumsum([len(each) for each in keys.values()])
        self._keys = pa.concat_arrays(keys.values()) if keys else pa.array([], pa.string())

    def places(self, keys: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """Return the rows of known keys by shard, ascending; of a key that is there twice, the first place."""
        hits = pc.index_in(self._keys, value_set=pa.array(keys, pa.string()))
        known = np.flatnonzero(pc.is_valid(hits).to_numpy(zero_copy_only=False))
        _, first = np.unique(hits.take(known).to_numpy(), return_index=True)
        chosen = np.sort(known[first])
        shard = np.searchsorted(self._ends, chosen, side="right")
        starts = np.concatenate([[0], self._ends])
        return {self._names[each]: chosen[shard == each] - starts[each] for each in np.unique(shard)}


class Partition(Generic[Row]):
    """The stored rows of one kind and one model.

    Args:
        folder: Of the model, by its fingerprint.
        layout: Of the rows.
    """

    def __init__(self, folder: Path, layout: Layout[Row]) -> None:
        self.folder, self.layout = folder, layout
        self._keys: dict[str, pa.Array] = {}
        self._checked: set[str] = set()
        self._refused: set[str] = set()
        self._index: _Index | None = None

    def refresh(self) -> bool:
        """Take in shards that appeared since the last look, and return whether there were any."""
        before = len(self._keys)
        for path in self.shards():
            if path.name in self._keys or path.name in self._refused:
                continue
            try:
                self._add(path.name, read_keys(path, self.layout.schema))
            except FileNotFoundError:
                continue
            except DamagedShard as damage:
                self.set_aside(path, str(damage))
        return len(self._keys) > before

    def live(self) -> dict[str, NDArray[np.int64]]:
        """Return the rows that count, by name of the shard: of a request that is stored twice, only the older one."""
        self.refresh()
        every = [key for keys in self._keys.values() for key in keys.to_pylist()]
        return self._places(list(dict.fromkeys(every)))

    def holds_any(self, keys: pa.Array) -> bool:
        """Return whether any of these requests is stored, in a shard that was taken in."""
        return any(pc.any(pc.is_in(each, value_set=keys)).as_py() for each in self._keys.values())

    def sizes(self) -> dict[str, int]:
        """Return the number of rows of every shard that was taken in, the oldest first."""
        return {name: len(self._keys[name]) for name in sorted(self._keys)}

    def shards(self) -> list[Path]:
        """Return the shards that are there now, the oldest first."""
        return sorted(self.folder.glob(f"*{SUFFIX}"))

    def _add(self, name: str, keys: pa.Array) -> None:
        self._keys[name] = keys
        self._index = None

    def _forget(self, name: str) -> None:
        self._keys.pop(name, None)
        self._index = None

    def _places(self, keys: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """Return the rows of known keys by shard, the oldest shard of each key, rows ascending."""
        if self._index is None:
            self._index = _Index({name: self._keys[name] for name in sorted(self._keys)})
        return self._index.places(keys)

    def find(self, keys: Iterable[str]) -> dict[str, Row]:
        """Return the stored rows among `keys`; damaged shards are set aside and their keys are missing."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, Row] = {}
        complete = looked_again = False
        while not complete:
            self.refresh()
            complete = True
            for name, rows in self._places([key for key in wanted if key not in found]).items():
                path = self.folder / name
                try:
                    table = read_table(path, self.layout.schema, rows, checked=name in self._checked)
                except FileNotFoundError:  # compacted or pruned by another process
                    self._forget(name)
                    complete = False
                    continue
                except DamagedShard as damage:
                    self.set_aside(path, str(damage))
                    complete = False
                    continue
                self._checked.add(name)
                with _collector_paused():
                    found.update((row.key, row) for row in self._rows(table))
            if complete and len(found) < len(wanted) and not looked_again:
                # A listing that a compaction overtakes may show neither the old shards nor the one that replaces them.
                looked_again, complete = True, not self.refresh()
        return found

    def _rows(self, table: pa.Table) -> Iterator[Row]:
        columns = to_columns(table)
        for values in zip(*columns.values(), strict=True):
            yield self.layout.row(**dict(zip(columns, values, strict=True)))

    def set_aside(self, path: Path, reason: str) -> None:
        """Rename a damaged shard, so that it is kept but counts no more."""
        log.warning("%s is damaged (%s): set aside, its requests will be generated again", path, reason)
        self._forget(path.name)
        self._refused.add(path.name)
        with suppress(OSError):  # another process was first, or the store is read-only
            path.rename(path.with_name(path.name + DAMAGED))

    def write(self, rows: Iterable[Row]) -> None:
        """Add one shard; rows whose key is already known are left out.

        Raises:
            WorkError: The disk is full.
        """
        given = list(rows)
        places = self._places([row.key for row in given])
        known = {self._keys[name][int(at)].as_py() for name, each in places.items() for at in each}
        new = [row for row in given if row.key not in known]
        if not new:
            return
        names = self.layout.schema.names
        table = pa.table({name: [getattr(row, name) for row in new] for name in names}, schema=self.layout.schema)
        path = write_shard(self.folder, time.time_ns(), table)
        self._add(path.name, table["key"].combine_chunks())


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

    def partitions(self) -> list[Partition[Any]]:
        """Return what the store holds of every model, as new objects that remember nothing."""
        return [
            Partition(folder, layout)
            for layout in LAYOUTS
            for folder in sorted((self.root / layout.folder).glob("??/*"))
            if folder.is_dir()
        ]

    def _partition(self, layout: Layout[Row], fingerprint: str) -> Partition[Row]:
        place = (layout.folder, fingerprint)
        if place not in self._partitions:
            folder = self.root / layout.folder / fingerprint[:2] / short_fingerprint(fingerprint)
            self._partitions[place] = Partition(folder, layout)
        return self._partitions[place]


def short_fingerprint(fingerprint: str) -> str:
    """Return the name of a model's folder in the store."""
    return fingerprint[:32]


def store_root(results: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the store's folder: `$MOCO_STORE`, or `.moco/store` beside the results folder."""
    given = environment.get("MOCO_STORE")
    return Path(given).expanduser() if given else results.resolve().parent / ".moco" / "store"


def work_root(results: Path) -> Path:
    """Return the folder for work in progress, beside the results folder."""
    return results.resolve().parent / ".moco" / "work"
