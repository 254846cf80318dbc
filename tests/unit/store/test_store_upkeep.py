"""The verb `moco store`: what is there, whether it is whole, and what may leave."""

import json
import os
import shutil
import time

import pytest
from filelock import FileLock
from support.shards import DAMAGES, reply, shard_files

from moco.cli import main
from moco.models.fingerprint import checkpoint_digest
from moco.records import CALLS, Provenance, write_json, write_rows
from moco.store.artifacts import ArtifactStore
from moco.store.generations import GenerationStore, Measured, Stored

ADD, OTHER, JUDGE, JOINT = "a" * 64, "0123456789" + "b" * 54, "c" * 64, "d" * 64
pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.fixture
def project(tmp_path):
    """A results folder, and a store with more than it refers to."""
    store = GenerationStore(tmp_path / ".moco/store")
    store.partition(ADD).write([reply("a1", tokens=3), reply("a2", tokens=5)])
    store.partition(ADD).write([reply("a3", tokens=7)])
    store.partition(OTHER).write([reply("o1")])
    store.partition(JOINT).write([reply("j1"), reply("j2")])
    store.measures(JUDGE).write([Measured("m1", [0.5], 11, 0.1)])
    artifacts = ArtifactStore(store.root, tmp_path / ".moco/work")
    for digit in "12":
        artifacts.make("fits", digit * 64, lambda output, _, d=digit: write_json(output / "fit.json", {"data": d}))
        artifacts.make("merges", digit * 64, lambda output, _, d=digit: write_json(output / "config.json", {"w": d}))
    results = tmp_path / "results"
    merged = checkpoint_digest(store.root / "merges/11" / ("1" * 32))
    for name, fingerprint in {"add": ADD, "judge": JUDGE, "p--t--m--s1--best": merged}.items():
        write_json(results / f"models/{name}/model.json", {"name": name, "fingerprint": fingerprint, "base": None})
    write_json(results / "models/broken/model.json", {"failed": "no weights"})
    write_json(results / "fits/p/t/m/seed1/fit.json", {"data": "1"})
    row = {**dict.fromkeys(CALLS.columns.names), "uid": "u", "key": "j2"}
    write_rows(results / "answers/p/t/m/seed1/test_calls.parquet", CALLS, [row], Provenance("answer"))
    return tmp_path


def moco(project, *arguments) -> int:
    return main(["store", *map(str, arguments), "--results", str(project / "results")])


def names(project) -> list[str]:
    """Return what is in the store, by kind and first digit."""
    return sorted(
        f"{kind} {path.name[0]}"
        for kind in ("generations", "measures", "fits", "merges")
        for path in (project / ".moco/store" / kind).glob("??/*")
        if path.is_dir()
    )


EVERYTHING = [
    *("fits 1", "fits 2", "generations 0", "generations a", "generations d", "measures c", "merges 1", "merges 2"),
]


def test_statistics_count_by_model(project, capsys):
    assert moco(project, "stats", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    parts = {(part["kind"], part["fingerprint"][:1]): part for part in said["parts"]}
    add = parts["generations", "a"]
    assert (add["models"], add["responses"], add["shards"], add["tokens"]) == (["add"], 3, 2, 15)
    assert add["bytes"] == sum(path.stat().st_size for path in shard_files(project / ".moco/store/generations/aa"))
    assert parts["generations", "0"]["models"] == []
    judge = parts["measures", "c"]
    assert (judge["models"], judge["responses"], judge["tokens"]) == (["judge"], 1, 11)
    assert parts["fits", ""]["responses"] == 2
    assert said["total"]["tokens"] == 15 + 4 + 8 + 11
    assert said["total"]["bytes"] == sum(part["bytes"] for part in said["parts"])


def test_statistics_as_text_name_models_and_count_what_is_damaged(project, capsys):
    path = shard_files(project / ".moco/store/generations/aa")[1]
    path.write_bytes(DAMAGES["truncated in the footer"](path.read_bytes()))
    GenerationStore(project / ".moco/store").partition(ADD).refresh()
    assert moco(project, "stats") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    (line,) = [line for line in lines if line[:2] == ["generations", "add"]]
    assert line[2:4] == ["2", "1"]
    assert line[-2:] == ["8", "1"]
    assert any(line[:2] == ["generations", OTHER[:16]] for line in lines)


def test_statistics_name_the_models_of_every_study_below_results(project, capsys):
    for study in ("one", "other"):
        shutil.copytree(project / "results/models", project / "results" / study / "models")
    shutil.rmtree(project / "results/models")
    moco(project, "stats", "--json")
    assert ["add"] in [part["models"] for part in json.loads(capsys.readouterr().out)["parts"]]


def test_a_request_that_is_stored_twice_is_one_response(project, capsys):
    source = shard_files(project / ".moco/store/generations/aa")[0]
    (source.parent / f"9{source.name[1:]}").write_bytes(source.read_bytes())
    moco(project, "stats", "--json")
    part = next(part for part in json.loads(capsys.readouterr().out)["parts"] if part["models"] == ["add"])
    assert (part["responses"], part["tokens"], part["shards"]) == (3, 15, 3)


def test_an_empty_store_is_whole(tmp_path, capsys):
    for action in (["stats"], ["verify"], ["compact"], ["prune", "--leftovers"]):
        assert moco(tmp_path, *action) == 0
    assert not (tmp_path / ".moco").exists()
    assert "everything is whole" in capsys.readouterr().out


def test_verify_finds_all_damage_and_changes_nothing(project, capsys):
    assert moco(project, "verify") == 0
    paths = shard_files(project / ".moco/store/generations")[:2]
    for path in paths:
        path.write_bytes(DAMAGES["one bit in the middle of the data"](path.read_bytes()))
    fit = project / ".moco/store/fits/22" / ("2" * 32)
    (fit / "fit.json").write_text("{")
    capsys.readouterr()
    for _ in range(2):
        assert moco(project, "verify") == 1
        out = capsys.readouterr().out
        assert all(f"{path}: damaged" in out for path in [*paths, fit])
        assert out.splitlines()[-1] == "3 damaged"


def test_verify_repairs_by_setting_aside(project):
    path = shard_files(project / ".moco/store/measures")[0]
    path.write_bytes(b"")
    fit = project / ".moco/store/fits/22" / ("2" * 32)
    (fit / "fit.json").write_text("{")
    assert moco(project, "verify", "--repair") == 1
    assert path.with_name(f"{path.name}.damaged").exists()
    assert fit.with_name(f"{fit.name}.damaged").exists()
    assert not fit.exists()
    assert moco(project, "verify") == 0
    assert GenerationStore(project / ".moco/store").measures(JUDGE).find(["m1"]) == {}
    assert moco(project, "prune", "--leftovers", "--delete") == 0
    assert not list((project / ".moco").rglob("*.damaged"))


def test_prune_keeps_what_results_refer_to(project, capsys):
    arguments = ("prune", "--unused-by", project / "results")
    assert moco(project, *arguments) == 0
    out = capsys.readouterr().out
    assert names(project) == EVERYTHING
    assert out.count("no results refer to it") == 3
    assert "give --delete" in out
    assert moco(project, *arguments, "--delete") == 0
    assert names(project) == ["fits 1", "generations a", "generations d", "measures c", "merges 1"]
    assert moco(project, *arguments, "--delete") == 0
    assert "removed 0 B" in capsys.readouterr().out


def test_prune_says_how_many_bytes(project, capsys):
    size = shard_files(project / ".moco/store/generations/01")[0].stat().st_size
    moco(project, "prune", "--models", OTHER[:8])
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{size / 1000:.3g} kB may leave")


def test_several_results_folders_are_kept_together(project):
    second = project / "second"
    write_json(
        second / "models/other/model.json", {"name": "other", "fingerprint": "e" * 64, "base": {"fingerprint": OTHER}}
    )
    moco(project, "prune", "--unused-by", project / "results", second, "--delete")
    assert "generations 0" in names(project)
    assert "fits 2" not in names(project)


def test_a_folder_without_models_prunes_nothing(project, capsys):
    assert moco(project, "prune", "--unused-by", project / "elsewhere", "--delete") == 2
    assert "describes no model" in capsys.readouterr().err
    assert names(project) == EVERYTHING


def test_prune_by_model(project):
    moco(project, "prune", "--models", "add", OTHER[:10], "--delete")
    assert names(project) == [name for name in EVERYTHING if name not in ("generations a", "generations 0")]


@pytest.mark.parametrize("model", ["ad", "0123", "", "addition"])
def test_prune_of_an_unknown_model_is_refused(project, model, capsys):
    assert moco(project, "prune", "--models", model, "--delete") == 2
    assert "is no known model" in capsys.readouterr().err
    assert names(project) == EVERYTHING


def test_prune_without_a_choice_is_refused(project, capsys):
    assert moco(project, "prune", "--delete") == 2
    assert "--unused-by" in capsys.readouterr().err


def test_leftovers_are_what_no_job_works_on(project):
    partition = GenerationStore(project / ".moco/store").partition(ADD).folder
    old, young = partition / ".1.parquet.7.tmp", partition / ".2.parquet.8.tmp"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    idle, busy = (project / ".moco" / "work" / "fits" / (digit * 32) for digit in "34")
    for folder in (idle, busy):
        (folder / "scratch").mkdir(parents=True)
    lock = project / ".moco/store/fits/44" / f"{'4' * 32}.lock"
    lock.parent.mkdir()
    before = names(project)
    with FileLock(lock):
        moco(project, "prune", "--leftovers", "--delete")
    assert [path.exists() for path in (old, young, idle, busy)] == [False, True, False, True]
    assert names(project) == before


def test_compact_by_the_verb(project, capsys):
    assert moco(project, "compact") == 0
    assert len(shard_files(project / ".moco/store/generations/aa")) == 1
    assert "2 shards" in capsys.readouterr().out
    found = GenerationStore(project / ".moco/store").partition(ADD).find(["a1", "a2", "a3"], Stored)
    assert found == {"a1": reply("a1", tokens=3), "a2": reply("a2", tokens=5), "a3": reply("a3", tokens=7)}
