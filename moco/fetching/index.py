"""One pinned file of a package index, downloaded as pip would find it, without installing or running anything of it."""

import base64
import hashlib
import json
import logging
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from moco.errors import RequestError, WorkError
from moco.locks import locked

log = logging.getLogger("moco")

_PART = 1 << 20
_SECONDS = 60


@dataclass(frozen=True)
class IndexedFile:
    """A file of a package index.

    Attributes:
        project: The package.
        name: The file's name.
        sha256: Its digest, which decides what is accepted, whatever index it comes from.
        size: Its bytes.
    """

    project: str
    name: str
    sha256: str
    size: int


@contextmanager
def fetched(file: IndexedFile, cache: Path, room: int) -> Iterator[Path]:
    """Give the file for as long as it is needed, and delete it when all went well.

    A download that stops is continued by the next one, and one process at a time downloads.

    Args:
        file: What is wanted.
        cache: Folder that holds `downloads`.
        room: Bytes that must be free beside the file itself.

    Raises:
        WorkError: The index cannot be reached, has no such file, sends another one, or the disk is full.
        RequestError: The index's address is not usable.
    """
    folder = cache / "downloads"
    with on_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f"{file.name}.lock", lambda: log.info("%s: another process downloads it", file.name)):
        with on_disk(folder):
            free = shutil.disk_usage(folder).free
        part = folder / f"{file.name}.part"
        missing = file.size - (part.stat().st_size if part.is_file() else 0)
        if free < missing + room:
            what = f"{(missing + room) / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free"
            raise WorkError(what, where=str(cache), remedy="free space, or name another folder in MOCO_CACHE")
        _download(file, part)
        yield part
        part.unlink(missing_ok=True)


def put_in_place(file: IndexedFile, folder: Path, room: int, unpack: Callable[[Path, Path], None]) -> Path:
    """Return a folder that `unpack` makes of a file, after fetching that where the folder is missing.

    Args:
        file: What is wanted.
        folder: Below the cache; it is made as a whole or not at all.
        room: As in `fetched`.
        unpack: Called with the file and the folder.

    Raises:
        MocoError: As in `fetched`; or the file does not hold what it should.
    """
    if folder.is_dir():
        log.info("%s is there", folder)
        return folder
    with fetched(file, folder.parent, room) as found:
        if not folder.is_dir():
            unpack(found, folder)
    return folder


@contextmanager
def on_disk(place: Path) -> Iterator[None]:
    """Turn what a disk refuses into one line."""
    try:
        yield
    except OSError as error:
        remedy = "free space, or name another folder in MOCO_CACHE; what is there is continued"
        raise WorkError(f"cannot be written ({error.strerror or error})", where=str(place), remedy=remedy) from None


def _download(file: IndexedFile, part: Path) -> None:
    there = part.stat().st_size if part.is_file() else 0
    if there < file.size:
        with _reachable(file):
            _append(file, part, there)
    size, found = part.stat().st_size, hashlib.sha256()
    if size < file.size:
        what = f"the download stopped at {size / 1e6:.0f} of {file.size / 1e6:.0f} MB"
        raise WorkError(what, where=file.name, remedy="run the command again: it goes on from there")
    with part.open("rb") as stream:
        while block := stream.read(_PART):
            found.update(block)
    if found.hexdigest() != file.sha256:
        part.unlink()
        what = f"SHA-256 is {found.hexdigest()[:16]}..., not {file.sha256[:16]}...; nothing of it was kept"
        raise WorkError(what, where=file.name, remedy="run the command again, or use another index")


def _append(file: IndexedFile, part: Path, there: int) -> None:
    log.info("%s: %d MB from the package index", file.name, (file.size - there) // 1_000_000)
    # The bytes are those of the file itself only without a compressed transfer.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-"} if there else {})
    with _open(_address(file), headers) as answer:
        goes_on = there > 0 and getattr(answer, "status", None) == 206
        left = file.size - (there if goes_on else 0) + 1  # one more than wanted shows another file
        with on_disk(part.parent), part.open("ab" if goes_on else "wb") as stream:
            while left > 0 and (block := _read(answer, min(_PART, left))):
                stream.write(block)
                left -= len(block)


class _Lost(Exception):
    """The connection broke; kept apart from what the disk refuses."""


def _read(answer: Any, size: int) -> bytes:
    try:
        return bytes(answer.read(size))
    except (OSError, HTTPException) as error:
        raise _Lost(str(error) or type(error).__name__) from None


@contextmanager
def _reachable(file: IndexedFile) -> Iterator[None]:
    remedy = "run the command again where it can be reached; PIP_INDEX_URL names another index"
    try:
        yield
    except HTTPError as error:
        raise WorkError(f"the package index answers {error.code}", where=file.name, remedy=remedy) from None
    except ValueError as error:
        raise RequestError(f"the package index has no usable address ({error})", where="PIP_INDEX_URL") from None
    except (OSError, HTTPException, _Lost) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise WorkError(f"the package index cannot be reached ({reason})", where=file.name, remedy=remedy) from None


def _address(file: IndexedFile) -> str:
    page = f"{_index().rstrip('/')}/{file.project}/"
    with _open(page, {"Accept": "application/vnd.pypi.simple.v1+json, text/html;q=0.5"}) as answer:
        kind, content = answer.headers.get("Content-Type") or "", answer.read().decode("utf-8", "replace")
    if "json" in kind:
        links = [str(entry.get("url")) for entry in json.loads(content).get("files", ())]
    else:
        parser = _Links()
        parser.feed(content)
        links = parser.found
    for link in links:
        if unquote(urlsplit(link).path).rpartition("/")[2] == file.name:
            return urljoin(page, link)
    raise WorkError("the package index does not have it", where=file.name, remedy="use another one in PIP_INDEX_URL")


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the addresses of links."""
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _index() -> str:
    """Return the index that pip would ask: from the environment, or from its configuration."""
    if address := os.environ.get("PIP_INDEX_URL"):
        return address
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    return asked.stdout.strip() if asked.returncode == 0 else "https://pypi.org/simple"


@contextmanager
def _open(address: str, headers: dict[str, str]) -> Iterator[Any]:
    parts = urlsplit(address)
    if parts.username:  # a password in an address is no host name
        plain = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = headers | {"Authorization": f"Basic {base64.b64encode(plain.encode()).decode()}"}
        address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    trusted = os.environ.get("PIP_CERT") or os.environ.get("REQUESTS_CA_BUNDLE")
    context = ssl.create_default_context(cafile=trusted)
    with urlopen(Request(address, headers=headers), timeout=_SECONDS, context=context) as answer:
        yield answer
