"""The release's own data: what `moco fetch moco-data` brings."""

import os
from collections import Counter
from pathlib import Path

import pytest
from support.items import load

from moco.config.datasets import dataset, dataset_names
from moco.config.expand import expand
from moco.config.load import study_from
from moco.config.release import FILES, release_path
from moco.tasks.prepare import prepare

fetched = pytest.mark.skipif(
    not expand(release_path("bbh")).is_file(), reason="the release is not fetched (moco fetch moco-data)"
)
SHARED = os.environ.get("MOCO_SHARED")
BOTH = sorted(path.name.split(".")[0] for path in Path(SHARED or "none").glob("*.json.gz"))
STUDY = {"study": "s", "models": {"add": {"kind": "zoo"}}, "pools": {"one": ["add"]}}
NAMES = [name for name in dataset_names() if dataset(name).in_release]

LEFT_OUT = {
    "bixbench": {"seen_group": 81},
    "communitybench": {"seen_group": 99},
    "lab_bench": {"seen": 3, "seen_group": 86},
    "mixeval": {"seen": 129, "repeat": 53},
    "scitarc": {"seen": 1, "seen_group": 76},
    "smdd": {"seen_group": 23},
    "chembench": {},
    "mmluprox": {},
}
"""What clean splits take out of test, as the data's description counts what dev and test share."""


def task(name, **changes):
    return study_from({**STUDY, "tasks": {name: {"limit": {}, **changes}}}, "s.yaml").tasks[name]


def test_every_file_of_the_release_is_a_known_dataset():
    assert set(FILES) <= set(dataset_names())
    assert [name for name in dataset_names() if not dataset(name).in_release] == ["assaybench", "human_interest_tiny"]


def test_the_release_is_where_a_registered_dataset_comes_from():
    assert task("gsm8k").source.path == release_path("gsm8k")
    assert task("mine", dataset="gsm8k").source.path == release_path("gsm8k")
    assert task("mine", source="gsm8k").source.path == release_path("gsm8k")
    assert task("gsm8k", **{"from": "hub"}).source.kind == "hub"
    assert task("gsm8k", source={"revision": "0" * 40}).source.kind == "hub"
    assert task("wildchat").bad_rows == "drop"
    assert task("wildchat", **{"from": "hub"}).bad_rows == "stop"


@fetched
@pytest.mark.parametrize("name", NAMES)
def test_every_dataset_prepares_with_as_many_items_as_are_known(name, tmp_path):
    facts = prepare(name, task(name), tmp_path, None)
    assert facts["type"] == dataset(name).type
    assert {
        split: about["items"] + sum(about["dropped"].values()) for split, about in facts["splits"].items()
    } == dataset(name).sizes
    if name in LEFT_OUT:
        assert facts["splits"]["test"]["dropped"] == LEFT_OUT[name]
    if name == "wildchat":
        assert [about["dropped"]["bad_row"] for about in facts["splits"].values()] == [2, 6]
    if name == "mixeval":
        assert sum(about["items"] for about in facts["splits"].values()) == 246


@fetched
def test_a_file_that_is_sorted_by_topic_is_cut_anew():
    found = load(task("value_drifts"))
    topics = Counter(item.domain for item in found["test"])
    assert len(topics) == 11
    assert set(topics.values()) == {25}
    assert Counter(item.domain for item in found["dev"]) == topics
    assert len({item.src_id for items in found.values() for item in items}) == 550
    assert len({item.domain for item in load(task("value_drifts", splits="upstream"))["test"]}) == 6


@fetched
@pytest.mark.parametrize("name", BOTH)
def test_the_release_has_the_items_of_the_files_that_tests_read(name):
    if name not in FILES:
        pytest.skip("the release does not have it")
    ours = task(name, source={"kind": "moco", "path": f"$MOCO_SHARED/{name}.json.gz"})
    assert load(task(name)) == load(ours)
