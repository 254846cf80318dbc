import hashlib
import io
import json
import tarfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from moco.cli import main
from moco.config.release import FILES, FOLDER, remedy_for
from moco.errors import WorkError
from moco.fetching import index, moco_data

NAME = "modelco-1.1.2.tar.gz"
ROOT = "modelco-1.1.2/model_collaboration/data"


def archive(members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as written:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                written.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = tarfile.SYMTYPE, content
                written.addfile(info)
    return stream.getvalue()


def whole(extra=()):
    data = [(f"{ROOT}/{name}.json", json.dumps({"name": name}).encode()) for name in FILES]
    return archive([("modelco-1.1.2/setup.py", b"raise SystemExit"), *data, *extra])


@contextmanager
def package_index(content, *, stops_after=None, form="html", resumes=True):
    """Serve one file as a package index does; optionally break off the first answer."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/simple/modelco/":
                return self._page()
            asked.append(self.headers.get("Range"))
            start = int(asked[-1][6:-1]) if asked[-1] and resumes else 0
            body = content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if stops_after is None or len(asked) > 1 else body[:stops_after])

        def _page(self):
            link = f"../../files/{NAME}#sha256=0"
            page = f'<a href="/files/other.tar.gz">o</a><a href="{link}">{NAME}</a>'
            kind = "text/html"
            if form == "json":
                page = json.dumps({"files": [{"url": link}]})
                kind = "application/vnd.pypi.simple.v1+json"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MOCO_CACHE", str(tmp_path))
    monkeypatch.setattr(moco_data, "_ROOM", 0)
    return tmp_path


def pinned(monkeypatch, content):
    file = index.IndexedFile("modelco", NAME, hashlib.sha256(content).hexdigest(), len(content))
    monkeypatch.setattr(moco_data, "ARCHIVE", file)


def fetch(monkeypatch, capsys, content, **how):
    """Run the command against an index; return its exit code, its last line, and what the index was asked."""
    with package_index(content, **how) as (address, asked):
        monkeypatch.setenv("PIP_INDEX_URL", address)
        code = main(["fetch", "moco-data"])
    return code, (capsys.readouterr().err.splitlines() or [""])[-1], asked


@pytest.mark.parametrize("form", ["html", "json"])
def test_only_the_data_files_are_unpacked(cache, monkeypatch, capsys, form):
    content = whole([(f"{ROOT}/stranger.json", b"{}"), (f"{ROOT}/../../../evil.json", b"{}")])
    pinned(monkeypatch, content)
    code, _, asked = fetch(monkeypatch, capsys, content, form=form)
    assert (code, asked) == (0, [None])
    assert sorted(path.name for path in (cache / FOLDER).iterdir()) == sorted(f"{name}.json" for name in FILES)
    assert sorted(path.name for path in cache.rglob("*") if path.is_file() and "lock" not in path.name) == sorted(
        f"{name}.json" for name in FILES
    )
    assert fetch(monkeypatch, capsys, content)[2] == []  # it is there


@pytest.mark.parametrize("resumes", [True, False])
def test_a_broken_download_is_one_line_and_goes_on(cache, monkeypatch, capsys, resumes):
    content = whole()
    pinned(monkeypatch, content)
    code, line, _ = fetch(monkeypatch, capsys, content, stops_after=100)
    assert code == 1
    assert line.startswith(f"moco fetch: {NAME}: ")
    assert not (cache / FOLDER).exists()
    code, _, asked = fetch(monkeypatch, capsys, content, resumes=resumes)
    assert (code, asked) == (0, ["bytes=100-"])
    assert json.loads((cache / FOLDER / "bbh.json").read_text()) == {"name": "bbh"}


@pytest.mark.parametrize("other", [whole([("a", b"1")]), b"x" * 10])
def test_another_file_is_refused_and_not_kept(cache, monkeypatch, capsys, other):
    content = whole()
    pinned(monkeypatch, content)
    code, line, _ = fetch(monkeypatch, capsys, other)
    assert code == 1
    assert "SHA-256 is" in line or "stopped at" in line
    assert not (cache / FOLDER).exists()


def test_no_network_is_one_line(cache, monkeypatch, capsys):
    pinned(monkeypatch, whole())
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    assert main(["fetch", "moco-data"]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"moco fetch: {NAME}: the package index cannot be reached (")
    assert "Traceback" not in line
    assert not (cache / FOLDER).exists()


@pytest.mark.usefixtures("cache")
def test_too_small_a_disk_is_told_before(monkeypatch, capsys):
    content = whole()
    pinned(monkeypatch, content)
    monkeypatch.setattr(moco_data, "_ROOM", 1 << 60)
    code, line, asked = fetch(monkeypatch, capsys, content)
    assert (code, asked) == (1, [])
    assert "are free; free space" in line


def test_a_disk_that_fills_up_leaves_no_folder_behind(cache, monkeypatch, capsys):
    content = whole()
    pinned(monkeypatch, content)

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(moco_data.shutil, "copyfileobj", full)
        code, line, _ = fetch(patch, capsys, content)
    assert code == 1
    assert "cannot be written (No space left on device)" in line
    assert [path.name for path in cache.iterdir()] == ["downloads"]
    assert fetch(monkeypatch, capsys, content)[0::2] == (0, [])  # what was downloaded is used


@pytest.mark.parametrize(
    "extra", [(f"{ROOT}/bbh.json", b"{}"), (f"{ROOT}/bbh.json", "/etc/passwd")], ids=["twice", "link"]
)
def test_members_that_are_no_data_files_are_refused(tmp_path, extra):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(whole([extra]))
    with pytest.raises(WorkError, match="is no data file"):
        moco_data.unpack(path, tmp_path / "data")
    assert [each.name for each in tmp_path.iterdir()] == ["a.tar.gz"]


def test_an_incomplete_archive_is_refused(tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(archive([(f"{ROOT}/bbh.json", b"{}")]))
    with pytest.raises(WorkError, match="are not in it"):
        moco_data.unpack(path, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_missing_path_names_the_command_that_fetches_it():
    assert remedy_for(f"$MOCO_CACHE/{FOLDER}/bbh.json") == "run `moco fetch moco-data`"
    assert remedy_for("$MOCO_CACHE/smollm2-135m-instruct") == "run `moco fetch smollm2-135m`"
    assert remedy_for("$MOCO_CACHE/other") == remedy_for("/x") == "correct the path"
