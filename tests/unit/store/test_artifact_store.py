"""Finished folders: built once, published whole, handed out as copies, checked before they are taken."""

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moco.digest import file_digest
from moco.store.artifacts import ArtifactStore
from moco.store.checksums import copy_tree, damage_of, sums_of


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "store", tmp_path / "work")


def build(output: Path, scratch: Path) -> None:
    (scratch / "notes").write_text("n")
    (output / "sub").mkdir()
    (output / "sub/x").write_text("x")


def test_a_folder_is_built_once(store):
    calls = []

    def counted(output, scratch):
        calls.append(output)
        build(output, scratch)

    folder, cached = store.make("fits", "k" * 64, counted)
    assert not cached
    assert (folder / "sub/x").read_text() == "x"
    assert folder.is_relative_to(store.root / "fits")
    assert store.make("fits", "k" * 64, counted) == (folder, True)
    assert len(calls) == 1
    assert not list(store.work.rglob("notes"))


def test_kinds_and_keys_are_apart(store):
    folders = {store.make(kind, key, build)[0] for kind in ("fits", "merges") for key in ("a" * 32, "b" * 32)}
    assert len(folders) == 4


def test_a_failing_build_publishes_nothing_and_keeps_its_scratch(store):
    def fail(output, scratch):
        (output / "half").write_text("h")
        (scratch / "progress").write_text("90 %")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        store.make("fits", "k" * 64, fail)
    assert not [path for path in store.root.rglob("*") if path.is_dir() and path.name == "k" * 32]

    def resume(output, scratch):
        assert list(output.iterdir()) == []
        assert (scratch / "progress").read_text() == "90 %"
        (output / "done").write_text("d")

    folder, cached = store.make("fits", "k" * 64, resume)
    assert [path.name for path in folder.iterdir()] == ["done"]
    assert not cached


def test_a_build_may_make_its_output_folder_itself(store):
    def build_anew(output, _scratch):
        output.rmdir()
        output.mkdir()
        (output / "x").write_text("x")

    assert (store.make("merges", "k" * 64, build_anew)[0] / "x").exists()


def test_a_store_on_another_file_system_gets_the_folder_too(store, monkeypatch):
    rename = os.rename

    def rename_within_one_system(source, target, **options):
        if str(source).startswith(str(store.work)) != str(target).startswith(str(store.work)):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(source, target, **options)

    monkeypatch.setattr(os, "rename", rename_within_one_system)
    folder, _ = store.make("fits", "k" * 64, build)
    assert (folder / "sub/x").read_text() == "x"
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name]


_BUILDER = """
import sys, time
from pathlib import Path
from moco.store.artifacts import ArtifactStore

root = Path(sys.argv[1])

def build(output, scratch):
    (root / f"built-{sys.argv[2]}").write_text("")
    time.sleep(0.5)
    (output / "x").write_text(sys.argv[2])

folder, cached = ArtifactStore(root / "store", root / "work").make("fits", "k" * 64, build)
print((folder / "x").read_text(), cached)
"""


def test_two_processes_build_once(tmp_path):
    builders = [
        subprocess.Popen([sys.executable, "-c", _BUILDER, str(tmp_path), name], stdout=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    said = [builder.communicate()[0].split() for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0]
    assert len(list(tmp_path.glob("built-*"))) == 1
    assert said[0][0] == said[1][0]
    assert sorted(cached for _, cached in said) == ["False", "True"]


def damaged(path: Path) -> None:
    """Change one byte in place, as root may, and keep size and time of modification."""
    about = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.write(b"y")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def test_what_was_handed_out_is_apart_from_the_store(store, tmp_path):
    folder, _ = store.make("fits", "k" * 64, build)
    copy_tree(folder, tmp_path / "first")
    copy_tree(folder, tmp_path / "second")
    damaged(tmp_path / "first/sub/x")
    assert (tmp_path / "first/sub/x").read_text() == "y"
    assert (tmp_path / "second/sub/x").read_text() == (folder / "sub/x").read_text() == "x"
    assert store.make("fits", "k" * 64, build) == (folder, True)
    shutil.rmtree(tmp_path / "first")
    assert (folder / "sub/x").read_text() == "x"


def test_published_files_and_their_copies_are_read_only(store, tmp_path):
    folder, _ = store.make("fits", "k" * 64, build)
    copy_tree(folder, tmp_path / "target")
    for path in (folder / "sub/x", tmp_path / "target/sub/x"):
        assert path.stat().st_mode & 0o222 == 0
    copy_tree(folder, tmp_path / "target")
    assert (tmp_path / "target/sub/x").read_text() == "x"


def longer(path):
    path.chmod(0o644)
    path.write_text("xx")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (damaged, "the content of sub/x has changed"),
        (longer, "sub/x has 2 bytes instead of 1"),
        (Path.unlink, "sub/x is missing"),
        (lambda path: path.with_name("z").write_text("z"), "sub/z was added"),
    ],
)
def test_a_damaged_folder_is_set_aside_and_made_again(store, caplog, change, said):
    folder, _ = store.make("fits", "k" * 64, build)
    change(folder / "sub/x")
    assert store.make("fits", "k" * 64, build) == (folder, False)
    assert [path.name for path in folder.rglob("*")] == ["sub", "x"]
    assert (folder / "sub/x").read_text() == "x"
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [f"{folder} is damaged ({said}): set aside, it is made again"]
    assert folder.with_name(folder.name + ".damaged").is_dir()
    assert store.make("fits", "k" * 64, build) == (folder, True)


def test_a_damaged_list_of_checksums_is_damage(store):
    folder, _ = store.make("fits", "k" * 64, build)
    for text in ("", "[]", '{"sub/x": 1}', '{"sub/x": [1,'):
        sums_of(folder).write_text(text)
        assert damage_of(folder) == "its list of checksums is damaged"


def test_checksums_are_computed_only_in_doubt(store, monkeypatch):
    folder, _ = store.make("fits", "k" * 64, build)
    read = []

    def counted(path):
        read.append(path.name)
        return file_digest(path)

    monkeypatch.setattr("moco.store.checksums.file_digest", counted)
    time.sleep(0.02)  # the clock of the file system has coarse ticks
    assert damage_of(folder) is None
    read.clear()
    assert damage_of(folder) is None
    assert read == []
    os.utime(folder / "sub/x")
    assert damage_of(folder) is None
    assert read == ["x"]
    assert damage_of(folder) is None
    assert read == ["x"]
    assert damage_of(folder, thorough=True) is None
    assert read == ["x", "x"]


def test_files_of_the_system_are_no_damage(store):
    folder, _ = store.make("fits", "k" * 64, build)
    for name in (".DS_Store", "sub/._x", ".snakemake_timestamp"):
        (folder / name).write_text("")
    assert damage_of(folder) is None


def test_a_folder_without_checksums_is_made_again(store):
    folder, _ = store.make("fits", "k" * 64, build)
    sums_of(folder).unlink()
    assert damage_of(folder) == "its list of checksums is missing"
    assert store.make("fits", "k" * 64, build) == (folder, False)
    assert store.make("fits", "k" * 64, build) == (folder, True)


def test_a_folder_that_was_copied_elsewhere_is_whole(store, tmp_path):
    store.make("fits", "k" * 64, build)
    for moved, how in ((tmp_path / "one", shutil.copy), (tmp_path / "two", shutil.copy2)):
        shutil.copytree(store.root, moved, copy_function=how)
        assert ArtifactStore(moved, tmp_path / "work").make("fits", "k" * 64, build)[1]


def test_when_snakemake_made_the_source_says_nothing_of_the_target(tmp_path):
    (tmp_path / "source").mkdir()
    for name in (".snakemake_timestamp", "model.safetensors"):
        (tmp_path / "source" / name).write_text("")
    copy_tree(tmp_path / "source", tmp_path / "target")
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["model.safetensors"]


def test_copies_of_a_snapshot_are_files_of_their_own(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs/abc").write_text("w")
    (tmp_path / "snapshot/empty").mkdir(parents=True)
    (tmp_path / "snapshot/model.safetensors").symlink_to("../blobs/abc")
    copy_tree(tmp_path / "snapshot", tmp_path / "target")
    target = tmp_path / "target/model.safetensors"
    assert not target.is_symlink()
    assert target.read_text() == "w"
    assert not target.samefile(tmp_path / "blobs/abc")
    assert (tmp_path / "target/empty").is_dir()


@pytest.mark.parametrize(
    "fault", [OSError(errno.EXDEV, "Invalid cross-device link"), AttributeError("no such function")]
)
def test_where_the_system_cannot_copy_in_the_kernel_files_are_read_and_written(tmp_path, monkeypatch, fault):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/x").write_text("x" * 100_000)

    def refuse(*_arguments, **_options):
        raise fault

    monkeypatch.setattr(os, "copy_file_range", refuse)
    copy_tree(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target/x").read_text() == "x" * 100_000
