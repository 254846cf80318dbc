"""Where the source files of a task lie."""

from pathlib import Path

from moco.config.expand import expand
from moco.config.tasks import MocoSource, TableSource, TaskEntry


def source_files(entry: TaskEntry) -> dict[str, Path]:
    """Return the files that a task's items are read from: path as configured to expanded path.

    Raises:
        RequestError: As in `expand`.
    """
    return {path: expand(path) for path in source_paths(entry)}


def source_paths(entry: TaskEntry) -> list[str]:
    """Return these files as they are configured."""
    match entry.source:
        case MocoSource(path=path):
            return [path]
        case TableSource(paths=paths):
            return list(paths.values())
    return []
