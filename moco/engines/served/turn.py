"""Jobs that ask the same served model take turns, so that its limits hold for all of them and nothing is asked twice."""

import logging
from contextlib import AbstractContextManager
from pathlib import Path

from moco.locks import locked

log = logging.getLogger("moco")

_LOCK = ".asked.lock"


def one_at_a_time(folder: Path, who: str) -> AbstractContextManager[None]:
    """Wait until no other job that uses the store asks a model, and keep others waiting; a job that dies lets go.

    Args:
        folder: The model's part of the store.
        who: The model, as messages name it.
    """
    return locked(folder / _LOCK, lambda: log.info("%s: another job is asking it; this one waits", who))
