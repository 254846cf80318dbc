"""Canonical JSON and digests: the only way in which content becomes a key."""

import hashlib
import json
from pathlib import Path
from typing import Any

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> str:
    """Return `value` as JSON with sorted keys and no white space, so that equal values are equal text.

    Raises:
        ValueError: A number is NaN or infinite.
    """
    return _CANONICAL.encode(value)


def digest(*parts: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `parts`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


class ListDigest:
    """The `digest` of a list whose values come one by one."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(b"[[")
        self._empty = True

    def add(self, value: Any) -> None:
        """Append a value."""
        self._hash.update(b"" if self._empty else b",")
        self._hash.update(canonical_json(value).encode())
        self._empty = False

    def hexdigest(self) -> str:
        """Return what `digest` returns for the list of all values so far."""
        found = self._hash.copy()
        found.update(b"]]")
        return found.hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
