"""Requests through the store: what is there is read, the rest is made and stored as it finishes."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from moco.errors import Unreplied, WorkError
from moco.jobs.performance import RequestProgress
from moco.store.generations import Partition, Row

log = logging.getLogger("moco")

R = TypeVar("R")


def fetch(
    partition: Partition[Row],
    requests: Mapping[str, R],
    make: Callable[[Sequence[R]], Iterator[Row]],
    *,
    who: str,
    label: str,
    flush_seconds: float,
    turn: AbstractContextManager[object] | None = None,
    failed: dict[str, str] | None = None,
    read: Callable[[], int] | None = None,
) -> tuple[dict[str, Row], set[str]]:
    """Return the stored rows of all requests, and the keys of those that were made now.

    Where another process makes the same request meanwhile, the row that was stored first counts for both.

    Args:
        partition: Part of the store that belongs to the model.
        requests: By store key.
        make: Called with the missing requests, if there are any.
        who: The model, as messages name it.
        label: What is asked for, in the plural.
        flush_seconds: Finished rows reach the disk at least this often.
        turn: Held while something is made, where only one job may do so at a time; the store is asked again then.
        failed: Takes in why requests got no reply, by key; left out, that is an error.
        read: Tokens that the model has read for them so far; left out, what every row says for itself.

    Raises:
        WorkError: A row is still missing after that.
    """
    stored = partition.find(requests)
    log.info("%s: %d %s, %d in the store", who, len(requests), label, len(stored))
    if len(stored) == len(requests):
        return stored, set()
    made: dict[str, Row] = {}
    unsaved: list[Row] = []
    with turn or nullcontext():
        if turn is not None:  # others had theirs before
            stored = partition.find(requests)
        missing = {key: request for key, request in requests.items() if key not in stored}
        try:
            rows = make(list(missing.values())) if missing else iter(())
            # Only here, since `make` loads the model.
            progress = RequestProgress(f"{who}: {label}", missing, cached=len(stored), read=read)
            last = time.monotonic()
            for row in rows:
                made[row.key] = partition.brief(row)
                unsaved.append(row)
                if time.monotonic() - last >= flush_seconds:
                    partition.write(unsaved)
                    unsaved, last = [], time.monotonic()
                progress.made(row)
        except Unreplied as end:
            if failed is None:
                raise
            failed |= end.reasons
            log.warning("%s: %d %s recorded as failed: %s", who, len(end.reasons), label, end)
        finally:
            partition.write(unsaved)
    if partition.refresh():  # others have stored something meanwhile
        made |= partition.find(made)
    lost = missing.keys() - made.keys() - (failed or {}).keys()
    if lost:
        raise WorkError(f"{len(lost)} {label} are missing after the work", where=who, remedy="run again")
    return {**stored, **made}, set(made)
