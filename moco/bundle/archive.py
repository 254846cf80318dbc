"""The container of a bundle: a compressed tar archive of regular files, with the same bytes for the same content.

Reading is strict, since bundles come from strangers: headers that extend or replace others, sizes beyond what a file of
its size holds, and anything after the end are refused.
"""

import re
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from moco.errors import RequestError, WorkError

_CODECS = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b": "gzip"}
_KINDS = {
    tarfile.REGTYPE: None,
    tarfile.AREGTYPE: None,
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.DIRTYPE: "a folder",
}
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.+-]*")

LARGEST = 64 << 30
"""Most bytes of an unpacked bundle."""
SMALLEST_LIMIT = 64 << 20
HIGHEST_RATIO = 200
"""Most unpacked bytes per packed byte, beyond the first `SMALLEST_LIMIT`; record files are compressed themselves."""


class DamagedBundle(WorkError):
    """A file that is no bundle, or one that cannot be read to its end."""


def name_problem(name: str) -> str | None:
    """Return why a name may not stand in a bundle, or None."""
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "is an absolute path"
    parts = name.split("/")
    if ".." in parts:
        return "leads out of its folder (..)"
    if not all(_PART.fullmatch(part) for part in parts):
        return "is no plain file name"
    return None


def kind_of(member: tarfile.TarInfo) -> str | None:
    """Return what a member is when it is no regular file, such as `a symbolic link`, or None."""
    return _KINDS[member.type]


def write_archive(path: Path, entries: Iterable[tuple[str, Path]]) -> None:
    """Write files as a Zstandard-compressed archive, without times, owners and modes of their own.

    Args:
        path: Destination.
        entries: Names in the archive and the files, in their order.

    Raises:
        RequestError: A name does not fit into the format.
        WorkError: A file changes meanwhile.
    """
    with (
        pa.OSFile(str(path), "wb") as sink,
        pa.CompressedOutputStream(sink, "zstd") as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, source in entries:
            about = tarfile.TarInfo(name)
            about.size = source.stat().st_size
            try:
                with source.open("rb") as content:
                    archive.addfile(about, content)
            except ValueError as error:
                raise RequestError(
                    f"does not fit into an archive ({error})", where=name, remedy="shorten names of the study"
                ) from None
            except OSError as error:
                if error.errno is not None:
                    raise
                raise WorkError("became shorter while it was packed", where=name, remedy="try again") from None


@contextmanager
def opened_archive(path: Path) -> Iterator[tarfile.TarFile]:
    """Give an archive whose members can be read once, in order.

    Raises:
        RequestError: The file cannot be read.
        DamagedBundle: It is no archive, is cut off or damaged, or unpacks to far more than its size allows; also while
            it is read.
    """
    codec = _codec(path)
    limit = min(LARGEST, max(SMALLEST_LIMIT, HIGHEST_RATIO * path.stat().st_size))

    class Header(tarfile.TarInfo):
        """One that stands for itself, and claims no more than there can be."""

        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
            try:
                about = super().frombuf(buf, encoding, errors)
            except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
                raise
            except tarfile.HeaderError as error:
                raise tarfile.ReadError("ends without the mark of its end" if not buf else str(error)) from None
            if about.type not in _KINDS:
                raise tarfile.ReadError(f"{about.name!r} is no plain file")
            if not 0 <= about.size <= limit:
                raise tarfile.ReadError(f"{about.name!r} claims a size of {about.size:,} bytes")
            return about

    try:
        with path.open("rb") as file, pa.CompressedInputStream(pa.PythonFile(file, "r"), codec) as stream:
            limited: Any = _Limited(stream, limit)
            with tarfile.open(
                fileobj=limited, mode="r|", tarinfo=Header, encoding="utf-8", errors="surrogateescape"
            ) as archive:
                yield archive
    except tarfile.TarError as error:
        raise DamagedBundle(f"cannot be unpacked ({error})", where=str(path), remedy="get the bundle again") from None


def check_end(archive: tarfile.TarFile) -> None:
    """Check that nothing follows an archive whose members were all read.

    Raises:
        tarfile.ReadError: Something does.
    """
    tail = archive.fileobj.read(tarfile.RECORDSIZE)
    if len(tail) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("ends without the mark of its end")
    if any(tail) or archive.fileobj.read(1):
        raise tarfile.ReadError("goes on after its end")


class _Limited:
    """A stream that ends with an error after so many bytes."""

    def __init__(self, stream: Any, limit: int) -> None:
        self._stream, self._limit, self._left = stream, limit, limit

    def read(self, size: int) -> bytes:
        try:
            data: bytes = self._stream.read(size)
        except (OSError, pa.ArrowException, EOFError) as error:
            raise tarfile.ReadError(str(error)) from None
        self._left -= len(data)
        if self._left < 0:
            raise tarfile.ReadError(f"unpacks to more than {self._limit:,} bytes, which no bundle of its size does")
        return data


def _codec(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            head = stream.read(4)
    except OSError as error:
        raise RequestError(
            f"cannot be read ({error.strerror})",
            where=str(path),
            remedy="name a bundle that `moco bundle create` wrote",
        ) from None
    for magic, codec in _CODECS.items():
        if head.startswith(magic):
            return codec
    raise DamagedBundle("is no bundle", where=str(path), remedy="name a file that `moco bundle create` wrote")
