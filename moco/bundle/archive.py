"""The container of a bundle: a compressed tar archive of regular files, with the same bytes for the same content.

Reading is strict, since bundles come from strangers: nothing here follows a link, trusts a size, or writes a file.
"""

import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from moco.errors import RequestError, WorkError

_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 20
_CODECS = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b": "gzip"}
_KINDS = {
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


def write_archive(path: Path, entries: Iterable[tuple[str, Path]]) -> None:
    """Write files as a Zstandard-compressed archive, without times, owners and modes of their own.

    Args:
        path: Destination.
        entries: Names in the archive and the files, in their order.

    Raises:
        RequestError: A name does not fit into the format.
    """
    with pa.OSFile(str(path), "wb") as sink, pa.CompressedOutputStream(sink, "zstd") as stream:
        for name, source in entries:
            about = tarfile.TarInfo(name)
            about.size, about.mode = source.stat().st_size, 0o644
            try:
                stream.write(about.tobuf(format=tarfile.USTAR_FORMAT))
            except ValueError as error:
                raise RequestError(
                    f"does not fit into an archive ({error})", where=name, remedy="shorten names of the study"
                ) from None
            with source.open("rb") as content:
                while chunk := content.read(_CHUNK):
                    stream.write(chunk)
            stream.write(bytes(-about.size % _BLOCK))
        stream.write(bytes(2 * _BLOCK))


@dataclass
class Member:
    """One entry of an archive.

    Attributes:
        name: As it stands there; unchecked.
        size: In bytes, as the header says.
        kind: What it is when it is no regular file, such as `a symbolic link`.
    """

    name: str
    size: int
    kind: str | None
    _reader: "_Reader"

    def chunks(self) -> Iterator[bytes]:
        """Yield the content, once; what is left unread is skipped.

        Raises:
            DamagedBundle: The archive ends before.
        """
        while self._reader.left:
            yield self._reader.content()


class _Reader:
    """Reads the unpacked bytes of an archive in order, up to a limit."""

    def __init__(self, stream: Any, limit: int, path: Path) -> None:
        self._stream, self._limit, self._path = stream, limit, path
        self._read = 0
        self.left = 0

    def damaged(self, what: str) -> DamagedBundle:
        return DamagedBundle(what, where=str(self._path), remedy="get the bundle again")

    def take(self, size: int) -> bytes:
        """Return exactly `size` bytes."""
        data = self.some(size)
        if len(data) < size:
            raise self.damaged("ends in the middle of an entry")
        return data

    def some(self, size: int) -> bytes:
        """Return up to `size` bytes; fewer at the end."""
        self._read += size
        if self._read > self._limit:
            raise self.damaged(f"unpacks to more than {self._limit:,} bytes, which no bundle of its size does")
        parts: list[bytes] = []
        missing = size
        while missing:
            try:
                part = self._stream.read(missing)
            except (OSError, pa.ArrowException, EOFError) as error:
                raise self.damaged(f"cannot be unpacked ({error})") from None
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def content(self) -> bytes:
        """Return the next part of the current entry."""
        data = self.take(min(self.left, _CHUNK))
        self.left -= len(data)
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


def members(path: Path) -> Iterator[Member]:
    """Yield the entries of an archive in order, whatever they are.

    Raises:
        RequestError: The file cannot be read.
        DamagedBundle: It is no archive, is cut off or damaged, or unpacks to far more than its size allows.
    """
    codec = _codec(path)
    limit = min(LARGEST, max(SMALLEST_LIMIT, HIGHEST_RATIO * path.stat().st_size))
    with path.open("rb") as file, _unpacked(file, codec) as stream:
        reader = _Reader(stream, limit, path)
        while (block := reader.take(_BLOCK)) != bytes(_BLOCK):
            try:
                about = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError as error:
                raise reader.damaged(f"holds no archive ({error})") from None
            if about.size < 0 or about.size > limit:
                raise reader.damaged(f"{about.name!r} claims a size of {about.size:,} bytes")
            kind = (
                None if about.type in (tarfile.REGTYPE, tarfile.AREGTYPE) else _KINDS.get(about.type, "no plain file")
            )
            reader.left = 0 if about.type in _KINDS else about.size
            padding = -reader.left % _BLOCK
            yield Member(about.name, about.size, kind, reader)
            while reader.left:
                reader.content()
            reader.take(padding)
        tail = reader.some(tarfile.RECORDSIZE)
        if len(tail) < _BLOCK:
            raise reader.damaged("ends without the mark of its end")
        if any(tail) or reader.some(1):
            raise reader.damaged("goes on after its end")


def _unpacked(file: IO[bytes], codec: str) -> Any:
    return pa.CompressedInputStream(pa.PythonFile(file, "r"), codec)
