"""The first thing every guest does: read its order, then give up what code under test must not have."""

import json
import os
import resource
import sys
from typing import Any

_NULL_DEVICE = "/dev/null"


def read_order() -> dict[str, Any]:
    """Return the order on standard input, and leave an empty standard input behind."""
    with os.fdopen(os.dup(0), "rb") as stream:
        order: dict[str, Any] = json.loads(stream.read())
    empty = os.open(_NULL_DEVICE, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return order


def confine(limits: dict[str, int | None]) -> None:
    """Become a user without rights, and limit resources for this process and all that it starts.

    Args:
        limits: `uid` to become (None: stay), `seconds` of CPU time, `memory` and `file_size` in bytes, `processes`.
    """
    uid = limits["uid"]
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    seconds = limits["seconds"] or 1
    _limit(resource.RLIMIT_CPU, seconds, seconds + 1)
    _limit(resource.RLIMIT_AS, limits["memory"])
    _limit(resource.RLIMIT_FSIZE, limits["file_size"])
    _limit(resource.RLIMIT_NPROC, limits["processes"])
    _limit(resource.RLIMIT_NOFILE, 64)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_MEMLOCK, 0)
    _limit(resource.RLIMIT_MSGQUEUE, 0)


def forget_harness() -> None:
    """Take the harness off the module search path, so that code under test finds only the standard library."""
    del sys.path[0]


def _limit(kind: int, soft: int | None, hard: int | None = None) -> None:
    if soft is None:
        return
    most = resource.getrlimit(kind)[1]
    highest = soft if hard is None else hard
    if most != resource.RLIM_INFINITY:
        soft, highest = min(soft, most), min(highest, most)
    resource.setrlimit(kind, (soft, highest))
