"""Published folders: read-only files with a list of their checksums beside them, by which damage is found.

What is taken from a published folder is copied, so that nothing that happens to a copy reaches the folder itself. Sizes
are compared whenever a folder is taken. A checksum is computed again only where a file is no older than the list: a
file that was written into, replaced or restored has a later time of change, whatever its time of modification says.
"""

import errno
import json
import logging
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from moco.digest import file_digest
from moco.errors import WorkError
from moco.records.files import replaced_file, write_json

DAMAGED = ".damaged"
"""What the name of something ends in that was set aside."""

SUMS = ".sums.json"
"""What the name of a folder's list of checksums ends in."""

SNAKEMAKE_MARK = ".snakemake_timestamp"
_BLOCK = 1 << 30

_log = logging.getLogger("moco")


def sums_of(folder: Path) -> Path:
    """Return where the checksums of a published folder lie."""
    return folder.with_name(folder.name + SUMS)


def publish(draft: Path, final: Path) -> None:
    """Write the checksums of a finished folder and rename it; from another file system it is copied first."""
    try:
        _seal(draft, sums_of(final))
        draft.rename(final)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = final.with_name(f".{final.name}.tmp")
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(draft, beside)
        beside.rename(final)


def damage_of(folder: Path, *, thorough: bool = False) -> str | None:
    """Return how a published folder differs from what was published, or None.

    Args:
        folder: It must exist.
        thorough: Read everything, not only what is in doubt.
    """
    sums = sums_of(folder)
    try:
        expected: dict[str, tuple[int, str]] = json.loads(sums.read_text(encoding="utf-8"))
        written = sums.stat().st_mtime_ns
        sizes = {name: size for name, (size, _) in expected.items()}
    except FileNotFoundError:
        return "its list of checksums is missing"
    except (ValueError, TypeError, AttributeError):
        return "its list of checksums is damaged"
    found = {name: (folder / name).stat() for name in _files(folder)}
    for name in sorted(found.keys() | sizes.keys()):
        if name not in found:
            return f"{name} is missing"
        if name not in sizes:
            return f"{name} was added"
        if found[name].st_size != sizes[name]:
            return f"{name} has {found[name].st_size:,} bytes instead of {sizes[name]:,}"
    times = {name: max(about.st_mtime_ns, about.st_ctime_ns) for name, about in found.items()}
    doubtful = [name for name in sorted(found) if thorough or times[name] >= written]
    if not doubtful:
        return None
    # Renamed with the time at which reading began, so that a change during it is in doubt the next time.
    confirmed = sums.with_name(f".{sums.name}.{os.getpid()}.tmp")
    try:
        with suppress(OSError):
            shutil.copyfile(sums, confirmed)
        for name in doubtful:
            if file_digest(folder / name) != expected[name][1]:
                return f"the content of {name} has changed"
        with suppress(OSError):
            confirmed.replace(sums)
    finally:
        with suppress(OSError):
            confirmed.unlink(missing_ok=True)
    return None


def set_aside(folder: Path, reason: str, again: str) -> None:
    """Rename a damaged folder, so that it is kept but never taken.

    Args:
        folder: A published folder; the caller holds its lock.
        reason: What is wrong with it.
        again: What happens now, for the log.

    Raises:
        WorkError: The folder cannot be renamed.
    """
    aside = folder.with_name(folder.name + DAMAGED)
    _log.warning("%s is damaged (%s): set aside, %s", folder, reason, again)
    try:
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        sums_of(folder).unlink(missing_ok=True)
    except OSError as error:
        raise WorkError(
            f"is damaged ({reason}) and cannot be set aside ({error.strerror})",
            where=str(folder),
            remedy="have its owner remove it, or use a cache of your own (MOCO_CACHE, MOCO_STORE)",
        ) from None


def copy_tree(source: Path, target: Path) -> None:
    """Copy the files of `source` to `target`; on file systems that can share blocks, without using room for them.

    Snakemake's mark of when a folder was made stays behind: it says nothing of the copy.

    Raises:
        WorkError: The disk is full.
    """
    for path in sorted(source.rglob("*")):
        destination = target / path.relative_to(source)
        if path.is_dir():
            destination.mkdir(parents=True, exist_ok=True)
        elif path.name != SNAKEMAKE_MARK:
            with replaced_file(destination) as temporary:
                _copy(path, temporary)
                shutil.copystat(path, temporary)


def _copy(source: Path, target: Path) -> None:
    try:
        with source.open("rb") as read, target.open("wb") as write:
            while os.copy_file_range(read.fileno(), write.fileno(), _BLOCK):
                pass
    except (AttributeError, OSError):  # not on this system, or not between these two
        shutil.copyfile(source, target)


def _files(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return sorted(path.relative_to(folder).as_posix() for path in files)


def _seal(folder: Path, sums: Path) -> None:
    """Take away the permission to write files, and note their sizes and checksums."""
    found = {}
    for name in _files(folder):
        path = folder / name
        about = path.stat()
        with suppress(PermissionError):  # of another user
            path.chmod(stat.S_IMODE(about.st_mode) & ~0o222)
        found[name] = (about.st_size, file_digest(path))
    write_json(sums, found)
