"""Reading of source files, with every fault as one line."""

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from moco.errors import RequestError


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


def lines(stream: IO[bytes]) -> Iterator[str]:
    """Yield the lines of a UTF-8 file without its byte order mark.

    Raises:
        UnicodeDecodeError: A line is not UTF-8; the caller knows the row and reports it.
    """
    for number, raw in enumerate(stream):
        yield raw.decode("utf-8" if number else "utf-8-sig")


def not_utf8(where: str) -> RequestError:
    """Return the error for text in another encoding."""
    return RequestError("is not UTF-8", where=where, remedy="convert the file")


def parse_json(text: str, where: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        RequestError: It is not JSON, holds NaN or infinity, or repeats a key within one object.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
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
