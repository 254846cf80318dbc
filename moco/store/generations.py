"""The store of model output: immutable, checksummed Parquet shards, one folder per model, any number of writers.

A shard is named `<time>-<checksums>.parquet`, written under a temporary name and renamed. Nothing is ever changed in
place, so readers need no locks and a killed writer leaves no half-written shard. When two writers stored the same
request, the older shard counts.
"""

import gc
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from moco.store.checksums import DAMAGED
from moco.store.shard import (
    SUFFIX,
    DamagedShard,
    as_indices,
    as_numpy,
    as_strings,
    read_keys,
    read_rows,
    to_columns,
    write_shard,
)

log = logging.getLogger("moco")

_READERS = 4
"""Shards that are read at once."""


@dataclass(frozen=True, kw_only=True)
class StoredReply:
    """What a model wrote, as look-ups give it: without the alternatives to its tokens, which are most of the bytes.

    Attributes:
        key: Of the request.
        text: Whole reply, special tokens left out, thinking text included.
        finish: `stop` or `length`; `scored` for a given text that was not generated.
        prompt_tokens: Tokens of the prompt.
        tokens: Token ids of the reply, end-of-sequence token included; -1 each where a server gave log-probabilities,
            since it gives no ids, and none where it gave none.
        logprobs: Raw (untempered) log-probability of each token, rounded to 1e-6.
        seconds: Share of its batch's time when it was generated.
        written: Tokens of the reply as a server counted them; None: those of `tokens`.
        reported: What a server called its own state (`system_fingerprint`).
        segments: Who wrote what where several models wrote in turn, as JSON: per token the place of the model among
            those of the request, first character of the text, the one after the last, and log-probability.
    """

    key: str
    text: str
    finish: str
    prompt_tokens: int
    tokens: list[int]
    logprobs: list[float]
    seconds: float
    written: int | None = None
    reported: str | None = None
    segments: str | None = None

    @property
    def completion_tokens(self) -> int:
        """Tokens of the reply."""
        return len(self.tokens) if self.written is None else self.written

    @property
    def made_tokens(self) -> int:
        """Tokens that the model wrote: none of a given text."""
        return 0 if self.finish == "scored" else self.completion_tokens

    @property
    def read_tokens(self) -> int:
        """Tokens that the model read, had it read them for this alone: the prompt, and a given text."""
        return self.prompt_tokens + (len(self.tokens) if self.finish == "scored" else 0)


@dataclass(frozen=True, kw_only=True)
class Stored(StoredReply):
    """A whole reply as it came from a model.

    Attributes:
        top_k: Number K of stored alternatives per token.
        top_ids: K most likely token ids per token, flat: len(tokens) * K.
        top_logprobs: Their raw log-probabilities, likewise.
        tail: Probability mass outside the K, per token.
    """

    top_k: int
    top_ids: list[int]
    top_logprobs: list[float]
    tail: list[float]


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

    @property
    def made_tokens(self) -> int:
        """Tokens that the model wrote."""
        return 0

    @property
    def read_tokens(self) -> int:
        """Tokens that the model read."""
        return self.tokens


class Keyed(Protocol):
    """A stored row."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def key(self) -> str:
        """Of the request."""
        ...

    @property
    def made_tokens(self) -> int:
        """Tokens that the model wrote."""
        ...

    @property
    def read_tokens(self) -> int:
        """Tokens that the model read."""
        ...


Row = TypeVar("Row", bound=Keyed)
View = TypeVar("View", bound=Keyed)
T = TypeVar("T")


@dataclass(frozen=True)
class Layout(Generic[Row]):
    """How rows of one kind are stored.

    Attributes:
        folder: Below the store.
        row: The class of what look-ups give; its fields are columns.
        schema: Types of all columns.
    """

    folder: str
    row: type[Row]
    schema: pa.Schema


def _layout(folder: str, row: type[Row], **columns: pa.DataType) -> Layout[Row]:
    metadata = {b"moco": b'{"schema":"store","schema_version":2}'}
    return Layout(folder, row, pa.schema(list(columns.items()), metadata=metadata))


GENERATED = _layout(
    "generations",
    StoredReply,
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
    segments=pa.string(),
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
        self._keys = pa.chunked_array(list(keys.values()), pa.string())

    def places(self, keys: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """Return the rows of known keys by shard, ascending; of a key that is there twice, the first place."""
        hits = pc.index_in(self._keys, value_set=as_strings(keys)).combine_chunks()
        known = as_numpy(pc.indices_nonzero(pc.is_valid(hits))).astype(np.int64)
        _, first = np.unique(as_numpy(hits.drop_null()), return_index=True)
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
        self._refused: set[str] = set()
        self._index: _Index | None = None

    def refresh(self) -> bool:
        """Take in shards that appeared since the last look, and return whether there were any."""
        before = len(self._keys)
        new = [path for path in self.shards() if path.name not in self._keys and path.name not in self._refused]
        for path, keys in _read_each(new, lambda path: read_keys(path, self.layout.schema)):
            try:
                self._add(path.name, keys())
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

    @overload
    def find(self, keys: Iterable[str]) -> dict[str, Row]: ...

    @overload
    def find(self, keys: Iterable[str], view: type[View]) -> dict[str, View]: ...

    def find(self, keys: Iterable[str], view: type[Any] | None = None) -> dict[str, Any]:
        """Return the stored rows among `keys`; shards found damaged are set aside and their keys are missing.

        Args:
            keys: Of the requests.
            view: Class of the rows, such as `Stored`; its fields are the columns that are read. Left out, the layout's.
        """
        wanted = list(dict.fromkeys(keys))
        found: dict[str, Any] = {}
        complete = looked_again = False
        while not complete:
            self.refresh()
            complete = self._look([key for key in wanted if key not in found], view or self.layout.row, found)
            if complete and len(found) < len(wanted) and not looked_again:
                # A listing that a compaction overtakes may show neither the old shards nor the one that replaces them.
                looked_again, complete = True, not self.refresh()
        return found

    def _look(self, keys: Sequence[str], view: type[Any], found: dict[str, Any]) -> bool:
        """Add known rows to `found`, and return whether every shard could be read."""
        columns = [field.name for field in fields(view) if field.name != "key"]
        places = {self.folder / name: rows for name, rows in self._places(keys).items()}

        def read(path: Path) -> pa.Table:
            return read_rows(path, self.layout.schema, places[path], columns)

        complete = True
        for path, table in _read_each(list(places), read):
            try:
                read_now = table()
            except FileNotFoundError:  # compacted or pruned by another process
                self._forget(path.name)
                complete = False
                continue
            except DamagedShard as damage:
                self.set_aside(path, str(damage))
                complete = False
                continue
            own = self._keys[path.name].take(as_indices(places[path])).to_pylist()
            with _collector_paused():
                found.update(zip(own, _rows(own, read_now, view), strict=True))
        return complete

    def brief(self, row: Keyed) -> Row:
        """Return a row that was made now as a look-up would give it."""
        return self.layout.row(**{field.name: getattr(row, field.name) for field in fields(self.layout.row)})

    def set_aside(self, path: Path, reason: str) -> None:
        """Rename a damaged shard, so that it is kept but counts no more."""
        log.warning("%s is damaged (%s): set aside, its requests will be generated again", path, reason)
        self._forget(path.name)
        self._refused.add(path.name)
        with suppress(OSError):  # another process was first, or the store is read-only
            path.rename(path.with_name(path.name + DAMAGED))

    def write(self, rows: Iterable[Row]) -> None:
        """Add one shard of whole rows, replies as `Stored`; rows whose key is already known are left out.

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


def _rows(keys: Sequence[str], table: pa.Table, view: type[View]) -> Iterator[View]:
    columns = {"key": keys, **to_columns(table)}
    for values in zip(*columns.values(), strict=True):
        yield view(**dict(zip(columns, values, strict=True)))


def _read_each(paths: Sequence[Path], read: Callable[[Path], T]) -> Iterator[tuple[Path, Callable[[], T]]]:
    """Read files some at a time, and yield each, in order, with what gives its content or raises its error."""
    if not paths:
        return
    with ThreadPoolExecutor(_READERS) as pool:
        for path, future in [(path, pool.submit(read, path)) for path in paths]:
            yield path, future.result


class GenerationStore:
    """All stored model output, by model.

    Args:
        root: The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._partitions: dict[tuple[str, str], Partition[Any]] = {}

    def partition(self, fingerprint: str) -> Partition[StoredReply]:
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
