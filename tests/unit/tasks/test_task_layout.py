import subprocess
import sys

import pytest
from pydantic import ValidationError

from moco.config.tasks import TaskEntry
from moco.errors import RequestError
from moco.prompts.blocks import answer_format
from moco.tasks.layout import split_layout, task_type
from moco.tasks.prepare import prepare, read_questions, read_references


def synthetic(**changes):
    return {"kind": "synthetic", "skills": ("add",), **changes}


MOCO = {"kind": "moco", "path": "x.json"}


@pytest.mark.parametrize(
    ("source", "distill", "expected"),
    [
        (synthetic(), 0, ("train", "dev", "test")),
        (synthetic(items={"test": 3, "dev": 0, "train": 2}), 0, ("train", "test")),
        (synthetic(items={"test": 3, "dev": 5}), 0.2, ("dev", "distill", "test")),
        (MOCO, 0, ("dev", "test")),
        (MOCO, 0.5, ("dev", "distill", "test")),
        ({"kind": "table", "paths": {"test": "t.csv", "train": "r.csv"}}, 0, ("train", "test")),
    ],
)
def test_split_layout(source, distill, expected):
    assert split_layout(TaskEntry(source=source, distill=distill)) == expected


def test_train_is_cut_off_dev_where_the_source_has_none():
    assert split_layout(TaskEntry(source=MOCO, train=0.4)) == ("train", "dev", "test")
    assert split_layout(TaskEntry(source=MOCO, train=0.4, distill=0.4)) == ("train", "dev", "distill", "test")
    with pytest.raises(RequestError, match="the source has a train split"):
        split_layout(TaskEntry(source=synthetic(), train=0.4))
    with pytest.raises(RequestError, match="no dev split"):
        split_layout(TaskEntry(source=synthetic(items={"test": 4}), train=0.1))
    with pytest.raises(ValidationError, match="leave nothing of dev"):
        TaskEntry(source=MOCO, train=0.5, distill=0.5)


@pytest.mark.parametrize(
    ("source", "distill", "message"),
    [
        ("gsm8k", 0, "source is the task 'gsm8k'"),
        (synthetic(items={"dev": 0}), 0, "no split has items"),
        (synthetic(items={"test": 4}), 0.1, "no dev split"),
        ({"kind": "table", "paths": {"test": "t.csv"}}, 0.1, "no dev split"),
    ],
)
def test_layout_errors(source, distill, message):
    with pytest.raises(RequestError, match=message):
        split_layout(TaskEntry(source=source, distill=distill))


@pytest.mark.parametrize(
    ("source", "declared", "expected"),
    [
        (synthetic(), None, "exact_match"),
        (synthetic(form="choice"), None, "multiple_choice"),
        (synthetic(), "general_verifier", "general_verifier"),
        (MOCO, "coding", "coding"),
    ],
)
def test_task_type(source, declared, expected):
    assert task_type(TaskEntry(source=source, type=declared), "tasks.t") == expected


def test_task_type_is_missing():
    with pytest.raises(RequestError, match=r"^tasks\.t: type is missing"):
        task_type(TaskEntry(source=MOCO), "tasks.t")


def test_task_type_contradicts_the_form():
    with pytest.raises(RequestError, match="items of form 'choice' are multiple_choice"):
        task_type(TaskEntry(source=synthetic(form="choice"), type="exact_match"), "tasks.t")


def test_planning_imports_no_data_libraries():
    code = "import sys, moco.tasks.layout, moco.tasks.paths; print({'pandas', 'pyarrow'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


@pytest.mark.parametrize("form", ["exact", "choice"])
@pytest.mark.parametrize("type", ["general_verifier", "reward_model", "text_generation", "generation_diversity"])
def test_synthetic_items_may_be_judged_by_models(tmp_path, type, form):
    entry = TaskEntry(source=synthetic(form=form, items={"test": 3}), type=type)
    prepare("t", entry, tmp_path, {})
    bare = TaskEntry(source=synthetic(form=form, items={"test": 3}))
    prepare("t", bare, tmp_path / "bare", {})
    assert task_type(entry, "") == type
    for judged, usual in zip(read_questions(tmp_path, "test"), read_questions(tmp_path / "bare", "test"), strict=True):
        assert judged.type == type
        assert judged.prompt == usual.prompt.removesuffix(answer_format(usual.type)).rstrip()
        assert judged.prompt != usual.prompt
    assert [item.gold for item in read_references(tmp_path, "test").values()] == [
        item.gold for item in read_references(tmp_path / "bare", "test").values()
    ]


def test_synthetic_short_answers_may_be_scored_by_overlap_but_options_may_not(tmp_path):
    entry = TaskEntry(source=synthetic(items={"test": 3}), type="f1_match")
    prepare("t", entry, tmp_path, {})
    assert all(item.prompt.endswith(answer_format("exact_match")) for item in read_questions(tmp_path, "test"))
    with pytest.raises(RequestError, match="are multiple_choice"):
        task_type(TaskEntry(source=synthetic(form="choice"), type="f1_match"), "")
