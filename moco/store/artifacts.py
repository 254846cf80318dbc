"""Finished fits, merges and students, kept under a key of everything they were made from.

A folder is published by one rename and handed out as hard links, so Snakemake may delete a declared output and the
work is still there.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

KINDS = ("fits", "merges", "students")
"""Kinds of artifacts, each a folder below the store."""

_WHEN_MADE = ".snakemake_timestamp"


def link_tree(source: Path, target: Path) -> None:
    """Put the files of `source` at `target` as hard links, or as copies on another file system.

    Snakemake's mark of when a folder was made stays behind: linked, it would make the source as new as the target, and
    all that is made from the source would be made again.
    """
    for path in sorted(source.rglob("*")):
        if path.name == _WHEN_MADE:
            continue
        destination = target / path.relative_to(source)
        if path.is_dir():
            destination.mkdir(parents=True, exist_ok=True)
            continue
        destination.parent.mkdir(parents=True, exist_ok=True)
        destination.unlink(missing_ok=True)
        try:
            os.link(path.resolve(), destination)
        except OSError:
            shutil.copy2(path, destination)


def _publish(folder: Path, final: Path) -> None:
    """Rename a folder; from another file system it is copied beside its place first."""
    try:
        folder.rename(final)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        draft = final.with_name(f".{final.name}.tmp")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(folder, draft)
        draft.rename(final)


class ArtifactStore:
    """Published folders by kind and key.

    Args:
        root: The store's folder.
        work: Folder for work in progress, keyed the same.
    """

    def __init__(self, root: Path, work: Path) -> None:
        self.root, self.work = root, work

    def make(self, kind: str, key: str, build: Callable[[Path, Path], None]) -> tuple[Path, bool]:
        """Return the published folder, building it first when it is missing.

        Args:
            kind: `fits`, `merges`, ...
            key: Digest of everything the folder depends on.
            build: Called with an empty output folder and a work folder that survives failure.

        Returns:
            The folder, and whether it was there already.
        """
        final = self.root / kind / key[:2] / key[:32]
        work = self.work / kind / key[:32]
        final.parent.mkdir(parents=True, exist_ok=True)
        with self._lock(final):
            if final.is_dir():
                return final, True
            output = work / "output"
            shutil.rmtree(output, ignore_errors=True)
            output.mkdir(parents=True)
            scratch = work / "scratch"
            scratch.mkdir(exist_ok=True)
            build(output, scratch)
            _publish(output, final)
            shutil.rmtree(work, ignore_errors=True)
        return final, False

    def _lock(self, final: Path) -> FileLock:
        return FileLock(str(final) + ".lock")

    def folders(self) -> list[Path]:
        """Return every published folder."""
        return [path for kind in KINDS for path in sorted((self.root / kind).glob("??/*")) if _is_name(path)]

    def leftovers(self) -> list[Path]:
        """Return what unfinished builds left: folders of work, and drafts of publishing."""
        work = [path for kind in KINDS for path in sorted((self.work / kind).glob("*")) if path.is_dir()]
        drafts = [path for kind in KINDS for path in sorted((self.root / kind).glob("??/.*.tmp"))]
        return [*work, *drafts]

    @contextmanager
    def unused(self, path: Path) -> Iterator[bool]:
        """Hold the lock of a published folder or of what its build left; False while a job is building it."""
        kind = path.relative_to(self.work if path.is_relative_to(self.work) else self.root).parts[0]
        name = path.name.removeprefix(".").removesuffix(".tmp")
        final = self.root / kind / name[:2] / name
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._lock(final).acquire(timeout=0):
                yield True
        except Timeout:
            yield False


def _is_name(path: Path) -> bool:
    return path.is_dir() and "." not in path.name
