"""Finished folders: built once, published whole, handed out as links."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from moco.store.artifacts import ArtifactStore, link_tree


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


def test_links_share_bytes_and_deleting_them_keeps_the_store(tmp_path):
    source = tmp_path / "store"
    source.mkdir()
    build(source, tmp_path)
    (source / "empty").mkdir()
    (tmp_path / "target/sub").mkdir(parents=True)
    (tmp_path / "target/sub/x").write_text("old")
    link_tree(source, tmp_path / "target")
    linked = tmp_path / "target/sub/x"
    assert linked.samefile(source / "sub/x")
    assert (tmp_path / "target/empty").is_dir()
    linked.unlink()
    assert (source / "sub/x").read_text() == "x"


def test_when_snakemake_made_the_source_says_nothing_of_the_target(tmp_path):
    (tmp_path / "source").mkdir()
    for name in (".snakemake_timestamp", "model.safetensors"):
        (tmp_path / "source" / name).write_text("")
    link_tree(tmp_path / "source", tmp_path / "target")
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["model.safetensors"]


def test_links_of_a_snapshot_lead_to_the_files_themselves(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs/abc").write_text("w")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot/model.safetensors").symlink_to("../blobs/abc")
    link_tree(tmp_path / "snapshot", tmp_path / "target")
    target = tmp_path / "target/model.safetensors"
    assert not target.is_symlink()
    assert target.samefile(tmp_path / "blobs/abc")


def test_where_links_are_impossible_files_are_copied(tmp_path, monkeypatch):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/x").write_text("x")

    def refuse(*_arguments, **_options):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    link_tree(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target/x").read_text() == "x"
    assert not (tmp_path / "target/x").samefile(tmp_path / "source/x")
