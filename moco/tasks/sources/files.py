"""Reading of source files, with every fault as one line."""

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from moco.errors import RequestError

LONGEST_LINE = 16 << 20
"""Bytes; a longer line is no item but a file of another kind, and would fill the memory."""

_OTHER_FORMATS = {
    b"\x1f\x8b": ("is compressed with gzip, but its name does not end in .gz", "rename it"),
    b"PK\x03\x04": ("is a zip archive", "unpack it"),
    b"PAR1": ("is a Parquet file, but its name does not end in .parquet", "rename it"),
    b"\xff\xfe": ("is UTF-16, not UTF-8", "convert the file"),
    b"\xfe\xff": ("is UTF-16, not UTF-8", "convert the file"),
}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@contextmanager
def opened(path: Path, where: str) -> Iterator[IO[bytes]]:
    """Give the bytes of a file, decompressed if its name ends in `.gz`.

    Args:
        path: The file.
        where: The file, and its split if it has only one, as errors name it.

    Raises:
        RequestError: The file is missing, unreadable, or damaged; faults while reading included.
    """
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            yield stream  # type: ignore[misc]
    except FileNotFoundError:
        raise RequestError("file is missing", where=where, remedy="check the path in source") from None
    except EOFError:
        raise RequestError("compressed data end too early", where=where, remedy="fetch the file again") from None
    except (OSError, zlib.error) as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RequestError(f"cannot be read ({what})", where=where, remedy="check the file") from None


def lines(stream: IO[bytes], where: str) -> Iterator[bytes]:
    """Yield the lines of a text file, without its byte order mark.

    Of a line longer than `LONGEST_LINE` only the beginning is given, one byte longer than allowed; the rest is skipped.

    Raises:
        RequestError: The first bytes say that the file is no UTF-8 text.
    """
    first = True
    while line := stream.readline(LONGEST_LINE + 1):
        if first:
            refuse_other_format(line, where)
            line, first = line.removeprefix(_BYTE_ORDER_MARK), False
        yield line
        rest = line
        while len(rest) > LONGEST_LINE and not rest.endswith(b"\n"):
            rest = stream.readline(LONGEST_LINE + 1)


def refuse_other_format(start: bytes, where: str) -> None:
    """Look at the first bytes of a file that should be UTF-8 text.

    Raises:
        RequestError: They are the mark of another format.
    """
    for mark, (what, remedy) in _OTHER_FORMATS.items():
        if start.startswith(mark):
            raise RequestError(what, where=where, remedy=remedy)


def too_long(where: str) -> RequestError:
    """Return the error for a line longer than `LONGEST_LINE`."""
    return RequestError(f"line is longer than {LONGEST_LINE >> 20} MiB", where=where, remedy="write one row per line")


def undecodable(where: str, encoding: str = "utf-8") -> RequestError:
    """Return the error for text in another encoding than the source says."""
    remedy = "name its encoding in source (encoding: latin-1, or cp1252), or save it as UTF-8"
    return RequestError(f"is not {encoding.upper()}", where=where, remedy=remedy)


def parse_json(text: str, where: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        RequestError: It is not JSON, holds NaN or infinity, or repeats a key within one object.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise RequestError("is nested too deeply", where=where) from None
    except ValueError as error:
        raise RequestError(f"is not JSON ({error})", where=where) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} occurs twice in one object")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)
