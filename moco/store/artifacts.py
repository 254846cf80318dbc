"""Finished fits, merges and students, kept under a key of everything they were made from.

A folder is published by one rename and handed out as a copy, so Snakemake may delete a declared output and the work is
still there, and whoever changes one changes nothing for others.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from moco.store.checksums import damage_of, publish, set_aside

KINDS = ("fits", "merges", "students")
"""Kinds of artifacts, each a folder below the store."""


class ArtifactStore:
    """Published folders by kind and key.

    Args:
        root: The store's folder.
        work: Folder for work in progress, keyed the same.
    """

    def __init__(self, root: Path, work: Path) -> None:
        self.root, self.work = root, work

    def make(self, kind: str, key: str, build: Callable[[Path, Path], None]) -> tuple[Path, bool]:
        """Return the published folder, building it first when it is missing or damaged.

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
                reason = damage_of(final)
                if reason is None:
                    return final, True
                set_aside(final, reason, "it is made again")
            output = work / "output"
            shutil.rmtree(output, ignore_errors=True)
            output.mkdir(parents=True)
            scratch = work / "scratch"
            scratch.mkdir(exist_ok=True)
            build(output, scratch)
            publish(output, final)
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
