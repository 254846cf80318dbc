"""Requests through the store: what is there is read, the rest is made and stored as it finishes."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from moco.errors import WorkError
from moco.progress import Progress
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
) -> tuple[dict[str, Row], set[str]]:
    """Return the stored rows of all requests, and the keys of those that were made now.

    Args:
        partition: Part of the store that belongs to the model.
        requests: By store key.
        make: Called with the missing requests, if there are any.
        who: The model, as messages name it.
        label: What is asked for, in the plural.
        flush_seconds: Finished rows reach the disk at least this often.

    Raises:
        WorkError: A row is still missing after that.
    """
    stored = partition.find(requests)
    missing = {key: request for key, request in requests.items() if key not in stored}
    log.info("%s: %d %s, %d in the store", who, len(requests), label, len(requests) - len(missing))
    if not missing:
        return stored, set()
    progress = Progress(f"{who}: {label}", len(missing))
    with partition.writer(flush_seconds) as writer:
        for row in make(list(missing.values())):
            writer.add(row)
            stored[row.key] = row
            progress.advance()
    log.info("%s", progress.summary())
    lost = [key for key in missing if key not in stored]
    if lost:
        raise WorkError(f"{len(lost)} {label} are missing after the work", where=who, remedy="run again")
    return stored, set(missing)
