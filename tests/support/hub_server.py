"""A server on this machine that answers as the hub does, for repositories that lie in a folder."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

GATED = "closed/gated"


def commit_of(repository: str) -> str:
    """Return the one commit that a repository has here."""
    return hashlib.sha1(repository.encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    base: Path

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = unquote(self.path.partition("?")[0]).strip("/").split("/")
        kind, repository, rest = parts[1], "/".join(parts[2:4]), parts[4:]
        if parts[0] == "datasets":
            kind, repository, rest = "files", "/".join(parts[1:3]), parts[3:]
        if repository == GATED:
            self._send(403, {}, X_Error_Code="GatedRepo")
        elif kind not in ("models", "datasets", "files") or not (self.base / repository).is_dir():
            self._send(404, {}, X_Error_Code="RepoNotFound")
        elif kind == "files":
            self._file(repository, rest[1], self.base / repository / "/".join(rest[2:]))
        elif rest[:1] == ["tree"]:
            self._tree(self.base / repository, "/".join(rest[2:]))
        else:
            self._send(200, {"id": repository, "sha": commit_of(repository), "siblings": []})

    def _file(self, repository: str, revision: str, path: Path) -> None:
        commit = commit_of(repository)
        if revision not in ("main", commit):
            self._send(404, {}, X_Error_Code="RevisionNotFound")
        elif not path.is_file():
            self._send(404, {}, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        else:
            content = path.read_bytes()
            self._send(200, content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit=commit)

    def _tree(self, folder: Path, below: str) -> None:
        if not (folder / below).is_dir():
            self._send(404, {}, X_Error_Code="EntryNotFound")
            return
        entries = []
        for path in sorted((folder / below).iterdir()):
            entry = {"path": str(path.relative_to(folder)), "oid": "0" * 40}
            entries.append(
                {**entry, "type": "directory"}
                if path.is_dir()
                else {**entry, "type": "file", "size": path.stat().st_size}
            )
        self._send(200, entries)

    def _send(self, code: int, content: object, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def serve(base: Path) -> Iterator[dict[str, str]]:
    """Serve the folder `base` of `owner/name` repositories, and give the environment that leads there."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"base": base}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        yield {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    finally:
        server.shutdown()
        server.server_close()
