"""`moco tasks` tells what is registered; `moco pin` writes commits into a study."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.hub_server import commit_of, serve

from moco.cli import main
from moco.config.datasets import dataset, dataset_names
from moco.config.load import load_study
from moco.tasks import reference

pytestmark = pytest.mark.usefixtures("clean_environment")

HUB_SOURCES = [dataset(name).hub for name in dataset_names() if dataset(name).hub]
ROOT = Path(__file__).parents[3]


def test_the_list_names_every_dataset(capsys):
    assert main(["tasks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == dataset_names()
    assert len(dataset_names()) == 47
    assert "1172" in next(line for line in lines if line.startswith("arc_challenge"))


def test_one_dataset_with_its_pitfalls(capsys):
    assert main(["tasks", "gpqa_main"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for text in (*dataset("gpqa_main").pitfalls, "gated", "overlaps: gpqa_diamond", "family gpqa"):
        assert text in out


def test_json_holds_everything(capsys):
    assert main(["tasks", "--json"]) == 0
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert sorted(found) == dataset_names()
    assert found["human_interest_tiny"]["available"] is False
    assert found["sciencemeter"]["available"] is True
    assert found["culturebench"]["group_score"] is True
    assert found["theoremqa"]["broken"][0]["ids"]["dev"][0] == "97"
    assert all(entry["hub"] is None or entry["hub"]["revision"] is None for entry in found.values())


def test_an_unknown_dataset(capsys):
    assert main(["tasks", "gsm9k"]) == 2
    assert "unknown dataset 'gsm9k'; did you mean gsm8k?" in capsys.readouterr().err


def test_the_document_is_current():
    text = (ROOT / "docs/tasks.md").read_text(encoding="utf-8")
    assert text.partition(reference.MARK)[0].startswith("# Tasks")
    assert reference.MARK + text.partition(reference.MARK)[2] == reference.reference()


def test_overlaps_are_told_on_both_sides():
    for name in dataset_names():
        for overlap in dataset(name).overlaps:
            assert name in [back.dataset for back in dataset(overlap.dataset).overlaps], (name, overlap.dataset)


STUDY = """\
study: s
models:
  add: {kind: zoo}
  big: {kind: hub, repo: o/big, revision: null}   # to be pinned
  other:
    kind: hub
    repo: o/other
pools: {p: [add, big]}
tasks:
  gsm8k: {from: hub}   # sums
  medqa: {from: hub}
  kept: {dataset: bbh, source: {revision: KEPT}}
  block:
    dataset: popqa
    from: hub
    limit: {test: 3}
  nested:
    dataset: truthfulqa
    source:
      items: {dev: 3, test: 3}
  named: {source: coconot, from: hub}
  named-block:
    source: medmcqa
    from: hub
    limit: {test: 3}
  agieval_tiny: {from: hub}
  evo: {source: gsm8k, distill: 0.5}
"""


@pytest.fixture
def hub(tmp_path):
    repositories = ["o/big", "o/other", *{known.repository for known in HUB_SOURCES}]
    repositories += [f"hails/agieval-{config}" for config in dataset("agieval").hub.configs]
    for repository in repositories:
        (tmp_path / "hub" / repository).mkdir(parents=True, exist_ok=True)
    with serve(tmp_path / "hub") as environment:
        yield environment


def pin(path: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "moco", "pin", "--config", str(path), *options]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)


KEPT = "c" * 40


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace("KEPT", KEPT), encoding="utf-8")
    return path


@pytest.mark.slow
def test_commits_are_written_and_everything_else_stays(study, hub):
    before = load_study(study)
    done = pin(study, **hub)
    assert done.returncode == 0, done.stderr
    after = load_study(study)
    for name, task in after.tasks.items():
        if name == "evo":
            assert task == before.tasks[name]
            continue
        repo = task.source.repository
        want = KEPT if name == "kept" else commit_of(repo)
        if "{config}" in repo:
            want = {config: commit_of(repo.replace("{config}", config)) for config in task.source.configs}
        assert task.source.revision == want
        unpinned = task.source.model_copy(update={"revision": before.tasks[name].source.revision})
        assert task.model_copy(update={"source": unpinned}) == before.tasks[name]
    assert after.models["big"].revision == commit_of("o/big")
    assert after.models["other"].revision == commit_of("o/other")
    changed = study.read_text(encoding="utf-8")
    assert "# to be pinned" in changed
    assert "  # sums" in changed
    again = pin(study, **hub)
    assert "nothing to pin" in again.stdout
    assert study.read_text(encoding="utf-8") == changed


@pytest.mark.slow
def test_lines_can_be_printed_instead(study, hub):
    text = study.read_text(encoding="utf-8")
    done = pin(study, "--print", **hub)
    lines = yaml.safe_load(done.stdout)
    assert lines["tasks"]["gsm8k"] == {"source": {"revision": commit_of("openai/gsm8k")}}
    assert lines["models"]["big"] == {"revision": commit_of("o/big")}
    assert study.read_text(encoding="utf-8") == text


@pytest.mark.slow
def test_offline_and_unknown_are_one_line(study, hub):
    done = pin(study, HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert done.stderr.startswith("moco pin: the hub cannot be asked for the commit of dataset openai/gsm8k (Offline")
    assert len(done.stderr.splitlines()) == 1
    study.write_text(study.read_text(encoding="utf-8").replace("o/other", "o/missing"), encoding="utf-8")
    done = pin(study, **hub)
    assert done.returncode == 2
    assert done.stderr.startswith("moco pin: model o/missing does not exist, or access is not granted")
