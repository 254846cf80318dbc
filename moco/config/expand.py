"""Configured paths: environment variables and `~` are replaced when a path is used, never when it is recorded."""

import os
import re
from pathlib import Path

from moco.errors import RequestError

CACHE = "MOCO_CACHE"

_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})")


_WILDCARD = re.compile(r"\{[^{}]*\}")


def exists(path: Path) -> bool:
    """Return whether there is such a file or folder; a path that no file system takes is none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def wildcard_in(path: Path) -> str | None:
    """Return what of a path Snakemake would take for a wildcard; it has no way to write braces that are none."""
    found = _WILDCARD.search(str(path))
    return found[0] if found else None


def cache_root() -> Path:
    """Return the folder for what all studies of this machine share: `$MOCO_CACHE`, by default `~/.cache/moco`."""
    return Path(os.environ.get(CACHE) or "~/.cache/moco").expanduser()


def expand(text: str) -> Path:
    """Return a configured path with environment variables and `~` replaced; `$MOCO_CACHE` has a default.

    Raises:
        RequestError: A variable or a home folder is not defined; the message names it.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name == CACHE:
            return str(cache_root())
        if name not in os.environ:
            raise RequestError(f"environment variable {name} is not set", where=text, remedy="set it or write the path")
        return os.environ[name]

    replaced = Path(_VARIABLE.sub(value, text))
    try:
        return replaced.expanduser()
    except RuntimeError:
        raise RequestError(f"no home folder for {replaced.parts[0]}", where=text, remedy="write the path") from None
