"""Jobs that ask the same served model take turns, so that its limits hold for all of them and nothing is asked twice."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger("moco")

_LOCK = ".asked.lock"


@contextmanager
def one_at_a_time(folder: Path, who: str) -> Iterator[None]:
    """Wait until no other job that uses the store asks a model, and keep others waiting; a job that dies lets go.

    Args:
        folder: The model's part of the store.
        who: The model, as messages name it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("%s: another job is asking it; this one waits", who)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
