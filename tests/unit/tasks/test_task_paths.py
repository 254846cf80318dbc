from pathlib import Path

import pytest

from moco.config.expand import expand
from moco.config.tasks import TaskEntry
from moco.errors import RequestError
from moco.tasks.paths import source_files


def test_variables_and_home(monkeypatch):
    monkeypatch.setenv("DATA_ROOT", "/data")
    monkeypatch.setenv("HOME", "/home/me")
    assert expand("$DATA_ROOT/a.json") == Path("/data/a.json")
    assert expand("${DATA_ROOT}x/a.json") == Path("/datax/a.json")
    assert expand("~/a.json") == Path("/home/me/a.json")
    assert expand("a/b.json") == Path("a/b.json")


def test_undefined_variable_is_named(monkeypatch):
    monkeypatch.delenv("DATA_ROOT", raising=False)
    with pytest.raises(RequestError, match="environment variable DATA_ROOT is not set"):
        expand("${DATA_ROOT}/a.json")


def test_home_of_an_unknown_user_is_named():
    with pytest.raises(RequestError, match="no home folder for ~nobody_of_this_name"):
        expand("~nobody_of_this_name/a.json")


def test_source_files(monkeypatch):
    monkeypatch.setenv("DATA_ROOT", "/data")
    paths = {"dev": "$DATA_ROOT/d.csv", "test": "t.csv"}
    assert source_files(TaskEntry(source={"kind": "table", "paths": paths})) == {
        "$DATA_ROOT/d.csv": Path("/data/d.csv"),
        "t.csv": Path("t.csv"),
    }
    assert source_files(TaskEntry(source={"kind": "synthetic", "skills": ("add",)})) == {}
