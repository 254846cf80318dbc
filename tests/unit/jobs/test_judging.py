"""Rewards and vectors through the store, for scorers and methods alike."""

from types import SimpleNamespace

import pytest
from support.checkpoints import judge_checkpoints

from moco.config.engine import EngineSettings
from moco.config.models import LocalModel
from moco.errors import RequestError
from moco.jobs.judging import job_tools
from moco.models.resolve import resolve

CONTEXT = 96
TEXTS = ["red green", "two + 3 Reverse FISH.", "\u00e9 red", "green\ngreen", "red", "FISH two green red + 3"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Random checkpoints: a classifier with one logit, and an encoder."""
    return judge_checkpoints(tmp_path_factory.mktemp("judges"), CONTEXT)


@pytest.fixture
def project(folders, tmp_path, monkeypatch):
    """A results folder that knows both models."""
    monkeypatch.setenv("MOCO_STORE", str(tmp_path / "store"))
    for purpose, folder in folders.items():
        entry = LocalModel(kind="local", path=str(folder), purpose=purpose)
        info = resolve(purpose, entry, EngineSettings(), tmp_path)
        info.write(tmp_path / f"results/models/{purpose}/model.json")
    return SimpleNamespace(results=tmp_path / "results")


def test_what_was_measured_is_stored_and_loads_no_model_again(project):
    scoring = {"reward": "reward", "encoder": "embed"}
    pairs = [(text, text[::-1]) for text in TEXTS]
    first = job_tools(project.results, {"scoring": scoring}).models
    rewards, vectors = first.reward("reward", pairs, 64), first.embed(TEXTS, "mask")
    assert first.inference.resident.loads == 2
    again = job_tools(project.results, {"scoring": scoring}).models
    assert (again.reward("reward", pairs[::-1], 64), again.embed(TEXTS, "mask")) == (rewards[::-1], vectors)
    assert again.inference.resident.loads == 0
    padded = again.embed(TEXTS, "padded")
    assert again.inference.resident.loads == 1
    assert padded != vectors
    assert rewards[0].tokens > 0


def test_a_shorter_limit_is_another_request(project):
    models = job_tools(project.results, {"scoring": {"reward": "reward"}}).models
    pair = ("word " * 40, "reply")
    assert models.reward("reward", [pair], 90) != models.reward("reward", [pair], 30)


def test_a_model_measures_only_what_it_was_declared_for(project):
    inference = job_tools(project.results, {"scoring": {"reward": "reward", "encoder": "embed"}}).models.inference
    with pytest.raises(RequestError, match=r"models\.embed: does not rate replies; name a model of purpose: reward"):
        inference.reward("embed", [("prompt", "reply")])
    with pytest.raises(RequestError, match=r"models\.reward: does not map texts to vectors"):
        inference.embed("reward", ["text"])
    assert inference.resident.loads == 0


def test_scorers_and_methods_share_what_a_model_measured(project):
    """A context asks the same requests as a scorer, so neither pays for what the other has."""
    models = job_tools(project.results, {"scoring": {"reward": "reward", "encoder": "embed"}}).models
    pairs = [(text, text[::-1]) for text in TEXTS]
    rewards, vectors = models.reward("reward", pairs, None), models.embed(TEXTS, "mask")
    other = job_tools(project.results, {"scoring": {"reward": "reward", "encoder": "embed"}}).models.inference
    assert other.reward("reward", pairs[::-1]) == rewards[::-1]
    assert other.embed("embed", TEXTS) == vectors
    assert other.resident.loads == 0
