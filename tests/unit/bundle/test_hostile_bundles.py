"""Bundles come from strangers: what is damaged or made to do harm is refused with one line, and nothing is written."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.bundles import entry, pack, sound

from moco.bundle import archive
from moco.bundle.verify import bundle_problems
from moco.cli import main
from moco.errors import WorkError

Entries = list[tuple[tarfile.TarInfo, bytes]]


def with_entry(name: str, data: bytes = b"", **changes: Any) -> Entries:
    return [*sound(), entry(name, data, **changes)]


def without(name: str) -> Entries:
    return [each for each in sound() if each[0].name != name]


def with_manifest(data: bytes) -> Entries:
    return [entry("manifest.json", data), *sound()[1:]]


def listed(name: str, **about: Any) -> Entries:
    """Return a sound bundle whose manifest lists one more file."""

    def change(manifest: dict[str, Any]) -> None:
        manifest["entries"][name] = {"sha256": "0" * 64, "size": 0, **about}

    return sound(change)


def changed(**fields: Any) -> Entries:
    return sound(lambda manifest: manifest.update(fields))


def other_content() -> Entries:
    entries = sound()
    about, data = entries[2]
    entries[2] = (about, data.replace(b"{}", b"[]"))
    return entries


def other_size() -> Entries:
    return [*sound()[:-1], entry("results/tasks/t/task.json", b"[1]\n")]


def cut_off(name: str) -> tuple[tarfile.TarInfo, bytes]:
    """Return a header that promises more than the archive holds."""
    return entry(name, size=4096)[0], b""


HOSTILE: dict[str, tuple[Callable[[], Entries], str]] = {
    "absolute path": (lambda: with_entry("/tmp/escaped.json"), "'/tmp/escaped.json' is an absolute path"),
    "drive": (lambda: with_entry("C:/escaped.json"), "'C:/escaped.json' is an absolute path"),
    "parent": (lambda: with_entry("results/../../escaped.json"), "leads out of its folder"),
    "backslashes": (lambda: with_entry("results\\..\\escaped.json"), "is no plain file name"),
    "hidden file": (lambda: with_entry("results/.snakemake/x.json"), "is no plain file name"),
    "symbolic link": (
        lambda: with_entry("results/models/b", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        "'results/models/b' is a symbolic link",
    ),
    "hard link": (
        lambda: with_entry("results/models/b", type=tarfile.LNKTYPE, linkname="study.yaml"),
        "is a hard link",
    ),
    "device": (lambda: with_entry("results/models/b", type=tarfile.CHRTYPE, devmajor=1), "is a device"),
    "pipe": (lambda: with_entry("results/models/b", type=tarfile.FIFOTYPE), "is a pipe"),
    "folder": (lambda: with_entry("results/models/b", type=tarfile.DIRTYPE), "is a folder"),
    "extended header": (lambda: with_entry("results/models/b", b"30 path=/x\n", type=tarfile.XHDTYPE), "no plain file"),
    "long name": (lambda: with_entry("././@LongLink", b"/tmp/x\0", type=tarfile.GNUTYPE_LONGNAME), "no plain file"),
    "sparse file": (lambda: with_entry("results/models/b", type=tarfile.GNUTYPE_SPARSE), "no plain file"),
    "size below zero": (lambda: [*sound(), (entry("results/models/b", size=-512)[0], b"")], "claims a size of"),
    "checksum": (other_content, "'results/models/a/model.json' does not have its checksum"),
    "size": (other_size, "has 4 bytes instead of 3"),
    "missing entry": (lambda: without("results/models/a/model.json"), "'results/models/a/model.json' is missing"),
    "extra entry": (lambda: with_entry("results/models/b/model.json", b"{}"), "is not in manifest.json"),
    "twice": (lambda: [*sound(), sound()[2]], "'results/models/a/model.json' is there twice"),
    "second manifest": (lambda: [*sound(), sound()[0]], "'manifest.json' is there twice"),
    "huge size": (lambda: [*sound(), (entry("results/models/b", size=1 << 32)[0], b"")], "claims a size of"),
    "cut off": (lambda: [*listed("results/b.json", size=4096), cut_off("results/b.json")], "unexpected end of data"),
    "no manifest": (lambda: sound()[1:], "manifest.json is not the first entry"),
    "late manifest": (lambda: [*sound()[1:], sound()[0]], "manifest.json is not the first entry"),
    "manifest is a link": (
        lambda: [entry("manifest.json", type=tarfile.SYMTYPE, linkname="x"), *sound()[1:]],
        "manifest.json is not the first entry",
    ),
    "manifest is no JSON": (lambda: with_manifest(b"{"), "manifest.json: is not JSON"),
    "manifest is deep": (lambda: with_manifest(b"[" * 100_000), "manifest.json: is not JSON"),
    "manifest is a list": (lambda: with_manifest(b"[]"), "is not the manifest of a bundle"),
    "manifest without fields": (lambda: with_manifest(b'{"format": 1}'), "study is missing or of the wrong kind"),
    "study is a path": (lambda: changed(study="../elsewhere"), "study '../elsewhere' is no name"),
    "other format": (lambda: changed(format=2), "format 2 is not 1"),
    "no configuration": (lambda: changed(entries={}), "does not list study.yaml"),
    "lists an absolute path": (lambda: listed("/results/x.json"), "'/results/x.json' is an absolute path"),
    "lists a pickle": (lambda: listed("results/fits/state.pkl"), "is no kind of file that bundles hold"),
    "lists the workflow": (lambda: listed("Snakefile"), "is no kind of file that bundles hold"),
    "negative size": (lambda: listed("results/x.json", size=-1), "has no valid checksum and size"),
    "no checksum": (lambda: listed("results/x.json", sha256="../x"), "has no valid checksum and size"),
    "lists too much": (lambda: listed("results/x.json", size=1 << 60), "more than the"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_bundle_is_refused_and_leaves_nothing(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    entries, expected = HOSTILE[case]
    bundle = pack(tmp_path / "b.tar.zst", entries())
    assert main(["bundle", "verify", str(bundle)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(expected in line for line in lines), lines
    assert len(lines) == 1, lines
    assert main(["bundle", "extract", str(bundle), "--output", str(tmp_path / "out")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"b.tar.zst"}


def test_every_problem_is_a_line(tmp_path: Path):
    entries = [*other_content(), entry("/x.json"), entry("results/y.json")]
    assert len(bundle_problems(pack(tmp_path / "b", entries))) == 3


def test_the_bundle_that_the_hostile_ones_are_made_of_is_in_order(tmp_path: Path):
    bundle = pack(tmp_path / "b.tar.zst", sound())
    assert bundle_problems(bundle) == []
    assert main(["bundle", "extract", str(bundle), "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/results/models/a/model.json").read_bytes() == b"{}\n"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_bundle_is_refused(share: float, tmp_path: Path):
    bundle = pack(tmp_path / "b.tar.zst", sound())
    data = bundle.read_bytes()
    bundle.write_bytes(data[: int(share * len(data))])
    assert len(bundle_problems(bundle)) == 1


@pytest.mark.parametrize("place", [0.3, 0.6, 0.95])
def test_a_flipped_byte_is_found(place: float, tmp_path: Path):
    bundle = pack(tmp_path / "b.tar.zst", sound())
    data = bytearray(bundle.read_bytes())
    data[int(place * len(data))] ^= 0xFF
    bundle.write_bytes(data)
    assert bundle_problems(bundle)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no archive", gzip.compress(b"no tar" * 200, mtime=0)])
def test_other_files_are_no_bundles(data: bytes, tmp_path: Path):
    path = tmp_path / "b.tar.zst"
    path.write_bytes(data)
    assert len(bundle_problems(path)) == 1


def test_an_archive_that_other_tools_packed_is_read(tmp_path: Path):
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as packed:
        for about, data in sound():
            packed.addfile(about, io.BytesIO(data))
    assert bundle_problems(tmp_path / "b.tar.gz") == []


def test_a_file_that_shrinks_while_it_is_packed_is_named(tmp_path: Path):
    file: Any = SimpleNamespace(stat=lambda: SimpleNamespace(st_size=10), open=lambda _mode: io.BytesIO(b"short"))
    with pytest.raises(WorkError, match=r"^results/x\.json: became shorter"):
        archive.write_archive(tmp_path / "b", [("results/x.json", file)])


@pytest.mark.parametrize(("tail", "expected"), [(b"", "ends"), (bytes(1024) + b"x", "goes on after its end")])
def test_the_end_is_where_it_should_be(tail: bytes, expected: str, tmp_path: Path):
    (problem,) = bundle_problems(pack(tmp_path / "b", sound(), tail=tail))
    assert expected in problem


def test_a_small_file_cannot_unpack_to_a_large_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archive, "SMALLEST_LIMIT", 1 << 20)
    bomb = pack(
        tmp_path / "b", with_entry("results/models/b", bytes(1 << 19)) + with_entry("results/c", bytes(1 << 19))
    )
    problems = bundle_problems(bomb)
    assert "unpacks to more than" in problems[-1]


def test_a_missing_file_is_a_wrong_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["bundle", "verify", str(tmp_path / "none")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_extracting_leaves_other_files_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bundle, out = pack(tmp_path / "b", sound()), tmp_path / "out"
    other = out / "results/models/a/model.json"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    assert main(["bundle", "extract", str(bundle), "--output", str(out)]) == 2
    assert "differs from the file in the bundle" in capsys.readouterr().err
    assert other.read_text() == "mine"
    assert [path for path in out.rglob("*") if path.is_file()] == [other]


def test_extracting_follows_no_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bundle, out, elsewhere = pack(tmp_path / "b", sound()), tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "results").symlink_to(elsewhere)
    assert main(["bundle", "extract", str(bundle), "--output", str(out)]) == 2
    assert "is a link" in capsys.readouterr().err
    assert not list(elsewhere.iterdir())


def test_extracting_twice_writes_nothing_the_second_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bundle = pack(tmp_path / "b", sound())
    main(["bundle", "extract", str(bundle), "--results", str(tmp_path / "results")])
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"models", "tasks"}
    main(["bundle", "extract", str(bundle), "--results", str(tmp_path / "results")])
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 files written")
