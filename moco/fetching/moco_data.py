"""The data files of the newest release of the original: the very splits that its published numbers are made on."""

import os
import re
import shutil
import tarfile
from pathlib import Path

from moco.config.release import FILES, FOLDER
from moco.errors import WorkError
from moco.fetching.index import IndexedFile, on_disk, put_in_place

ARCHIVE = IndexedFile(
    project="modelco",
    name="modelco-1.1.2.tar.gz",
    sha256="7077b6d83449dac401d6dc35cafe195eb61d600eb764a3fdec6d9819d28351be",
    size=13_865_802,
)

_MEMBER = re.compile(r"modelco-1\.1\.2/model_collaboration/data/([a-z0-9_]+)\.json")
_LARGEST = 16 << 20
_ROOM = 64 << 20


def fetch_data(cache: Path) -> Path:
    """Return the folder with the release's data files, after fetching them where they are missing.

    Args:
        cache: Receives the folder, as a whole or not at all.

    Raises:
        MocoError: As in `fetched`; or the archive does not hold what it should.
    """
    return put_in_place(ARCHIVE, cache / FOLDER, _ROOM, unpack)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the data files of a source archive, and nothing else.

    Raises:
        WorkError: A file is missing, twice there, no regular file or too large, or the disk is full.
    """
    made = folder.with_name(f".{folder.name}.{os.getpid()}")
    with on_disk(folder.parent):
        try:
            made.mkdir(parents=True)
            _unpack(archive, made)
            made.rename(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive, "r:gz") as members:
            for member in members:
                name = _MEMBER.fullmatch(member.name)
                if name is None or name[1] not in FILES:
                    continue
                target = folder / f"{name[1]}.json"
                stream = members.extractfile(member) if member.isreg() and member.size <= _LARGEST else None
                if stream is None or target.exists():
                    raise WorkError(f"{member.name} is no data file", where=str(archive), remedy="fetch it again")
                with target.open("xb") as written:
                    shutil.copyfileobj(stream, written)
    except (tarfile.TarError, EOFError) as error:
        raise WorkError(f"is damaged ({error})", where=str(archive), remedy="fetch it again") from None
    missing = [name for name in FILES if not (folder / f"{name}.json").is_file()]
    if missing:
        what = f"{', '.join(missing[:3])} {'is' if len(missing) == 1 else 'are'} not in it"
        raise WorkError(what, where=str(archive), remedy="fetch it again")
