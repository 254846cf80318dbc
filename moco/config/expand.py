"""Configured paths: environment variables and `~` are replaced when a path is used, never when it is recorded."""

import os
import re
from pathlib import Path

from moco.errors import RequestError

_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})")


def expand(text: str) -> Path:
    """Return a configured path with environment variables and `~` replaced.

    Raises:
        RequestError: A variable or a home folder is not defined; the message names it.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in os.environ:
            raise RequestError(f"environment variable {name} is not set", where=text, remedy="set it or write the path")
        return os.environ[name]

    replaced = Path(_VARIABLE.sub(value, text))
    try:
        return replaced.expanduser()
    except RuntimeError:
        raise RequestError(f"no home folder for {replaced.parts[0]}", where=text, remedy="write the path") from None
