"""Requests through the store: what is there is read, the rest is made and stored as it finishes."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

from moco.engines.backlog import Backlog
from moco.errors import Unreplied, WorkError
from moco.jobs.performance import RequestProgress
from moco.store.generations import Partition, Row

log = logging.getLogger("moco")

R = TypeVar("R")


def fetch(
    partition: Partition[Row],
    requests: Mapping[str, R],
    make: Callable[[Backlog[R]], Iterator[Row]],
    *,
    who: str,
    label: str,
    flush_seconds: float,
    turn: AbstractContextManager[object] | None = None,
    failed: dict[str, str] | None = None,
    read: Callable[[], int] | None = None,
) -> tuple[dict[str, Row], set[str]]:
    """Return the stored rows of all requests, and the keys of those that were made now.

    What another process stores meanwhile is taken from it, as far as this one has not begun it.

    Args:
        partition: Part of the store that belongs to the model.
        requests: By store key.
        make: Called with the missing requests, if there are any.
        who: The model, as messages name it.
        label: What is asked for, in the plural.
        flush_seconds: Finished rows reach the disk at least this often, and those of others are looked for.
        turn: Held while something is made, where only one job may do so at a time.
        failed: Takes in why requests got no reply, by key; left out, that is an error.
        read: Tokens that the model has read for them so far; left out, what every row says for itself.

    Raises:
        WorkError: A row is still missing after that.
    """
    stored = partition.find(requests)
    missing = {key: request for key, request in requests.items() if key not in stored}
    log.info("%s: %d %s, %d in the store", who, len(requests), label, len(requests) - len(missing))
    if not missing:
        return stored, set()
    work = _Work(partition, missing, flush_seconds)
    with turn or nullcontext():
        try:
            if turn is not None:  # others had theirs before
                work.exchange()
            rows = make(work.backlog)
            # Only here, since `make` loads the model.
            progress = RequestProgress(f"{who}: {label}", missing, cached=len(stored), read=read)
            for row in rows:
                work.add(row)
                progress.made(row)
                progress.taken(work.backlog.taken)
            work.exchange()
        except Unreplied as end:
            if failed is None:
                raise
            failed |= end.reasons
            log.warning("%s: %d %s recorded as failed: %s", who, len(end.reasons), label, end)
        finally:
            work.flush()
    others = len(work.rows.keys() - work.made)
    if others:
        log.info("%s: %d %s came from another process meanwhile", who, others, label)
    lost = missing.keys() - work.rows.keys() - (failed or {}).keys()
    if lost:
        raise WorkError(f"{len(lost)} {label} are missing after the work", where=who, remedy="run again")
    return {**stored, **work.rows}, work.made


class _Work(Generic[R, Row]):
    """Missing requests on their way into the store.

    Args:
        partition: Where the rows are stored.
        missing: By store key.
        flush_seconds: As for `fetch`.

    Attributes:
        backlog: The requests, without those that other processes have stored since.
        rows: What there is by now, made here or not; the store's own where it was made twice.
        made: Keys of what was made here.
    """

    def __init__(self, partition: Partition[Row], missing: Mapping[str, R], flush_seconds: float) -> None:
        self.backlog = Backlog(missing)
        self.rows: dict[str, Row] = {}
        self.made: set[str] = set()
        self._partition, self._flush_seconds = partition, flush_seconds
        self._unsaved: dict[str, Row] = {}
        self._last = time.monotonic()

    def add(self, row: Row) -> None:
        """Take a row that was made here; stores it when the last shard is old enough."""
        self.made.add(row.key)
        if row.key in self.rows:
            self.backlog.overtaken()
        else:
            self._unsaved[row.key] = row
            self.rows[row.key] = self._partition.brief(row)
        if time.monotonic() - self._last >= self._flush_seconds:
            self.exchange()

    def exchange(self) -> None:
        """Take what other processes have stored, and store what is finished."""
        if self._partition.refresh():
            saved = self.rows.keys() - self._unsaved.keys()
            found = self._partition.find(key for key in self.backlog.left() if key not in saved)
            if found.keys() & self._unsaved.keys():
                self.backlog.overtaken()
            self.rows.update(found)
            self.backlog.take(found.keys() - self.made)
        self.flush()

    def flush(self) -> None:
        """Store what is finished and not stored yet."""
        self._partition.write(self._unsaved.values())
        self._unsaved = {}
        self._last = time.monotonic()
