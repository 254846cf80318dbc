"""The task type that a file in MoCo's JSON format says; read while the workflow is planned, so without its rows."""

import gzip
import json
import re
import zlib
from functools import cache
from pathlib import Path

_HEAD = 1 << 16
_BEGINS = re.compile(
    r'\s*\{(?:\s*"(?!(?:dev|test)")[^"\\]*"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[-+.\w]+)\s*,)*\s*"task_type"\s*:\s*"([^"\\]*)"'
)


def stated_type(path: Path, encoding: str) -> str | None:
    """Return what the file has under `task_type`; None if it has nothing, or cannot be read."""
    about = path.stat()
    return _stated(path, encoding, about.st_mtime_ns, about.st_size)


@cache
def _stated(path: Path, encoding: str, _changed: int, _size: int) -> str | None:
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            head = stream.read(_HEAD)
            found = _BEGINS.match(head.decode(encoding, "replace").removeprefix("\ufeff"))
            if found:
                return found[1]
            rest = head + stream.read()  # somebody wrote it after the rows
        content = json.loads(rest.decode("utf-8-sig" if encoding == "utf-8" else encoding))
    except (OSError, EOFError, zlib.error, ValueError, RecursionError):
        return None
    stated = content.get("task_type") if isinstance(content, dict) else None
    return stated if isinstance(stated, str) else None
