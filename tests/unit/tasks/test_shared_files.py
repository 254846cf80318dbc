import os
from pathlib import Path

import pytest

from moco.config.tasks import TaskEntry
from moco.tasks.prepare import prepare, read_questions, read_references
from moco.tasks.sources import load

FOLDER = os.environ.get("MOCO_SHARED")
pytestmark = pytest.mark.skipif(not FOLDER, reason="MOCO_SHARED names no folder with files in MoCo's JSON format")

FILES = {
    "agieval_tiny": ("multiple_choice", 40, 40),
    "arc_challenge": ("multiple_choice", 299, 1172),
    "bbh": ("exact_match", 1000, 1000),
    "blend": ("multiple_choice", 1000, 1000),
    "coconot": ("noncompliance", 1000, 1000),
    "culturebench": ("exact_match", 2454, 2454),
    "gpqa_diamond": ("multiple_choice", 99, 99),
    "gsm8k": ("exact_match", 200, 1000),
    "human_interest_tiny": ("reward_model", 58, 112),
    "humaneval": ("coding", 50, 114),
    "infinite_chat_diversity": ("generation_diversity", 26, 25),
    "kaleidoscope": ("multiple_choice", 1000, 1000),
    "math": ("exact_match", 956, 956),
    "mbpp": ("coding", 487, 487),
    "popqa": ("f1_match", 1000, 1000),
    "tablemwp_free_text": ("exact_match", 375, 376),
    "tablemwp_multiple_choice": ("multiple_choice", 124, 125),
    "theoremqa": ("exact_match", 400, 400),
    "truthfulqa": ("multiple_choice", 200, 617),
    "wikidyk": ("f1_match", 1000, 765),
}
INVALID = {"math": (7, 5), "mbpp": (0, 2)}


def entry(name, **changes):
    path = f"$MOCO_SHARED/{name}.json.gz"
    return TaskEntry(source={"kind": "moco", "path": path}, type=FILES[name][0], **changes)


@pytest.mark.parametrize("name", FILES)
def test_every_file_loads(name):
    found = load(entry(name))
    counts = tuple(len(found[split]) for split in ("dev", "test"))
    invalid = tuple(sum(not item.valid for item in found[split]) for split in ("dev", "test"))
    options = {item.options is not None for items in found.values() for item in items}
    assert counts == FILES[name][1:]
    assert invalid == INVALID.get(name, (0, 0))
    assert options == {FILES[name][0] == "multiple_choice"}


def kinds(name):
    return {item.gold_kind for items in load(entry(name)).values() for item in items}


def test_kinds_of_gold():
    assert kinds("gsm8k") == kinds("tablemwp_free_text") == {"number"}
    assert kinds("culturebench") == {"boolean"}
    assert kinds("theoremqa") == {"number", "boolean", "list", "option"}
    assert kinds("bbh") == {"option", "text", "number", "brackets", "boolean", "words"}
    assert kinds("popqa") == {"aliases"}
    assert "latex" in kinds("math")


def test_culturebench_groups():
    items = load(entry("culturebench"))["test"]
    groups = {item.group for item in items}
    assert None not in groups
    assert abs(len(items) - 4 * len(groups)) < 4  # one question has statements in dev too


@pytest.mark.parametrize("name", ["bbh", "popqa", "wikidyk", "culturebench"])
def test_prepared_files_agree(name, tmp_path):
    facts = prepare(name, entry(name, distill=0.25, limit={"dev": 80, "test": 50}), tmp_path, None)
    for split, found in facts["splits"].items():
        questions, references = read_questions(tmp_path, split), read_references(tmp_path, split)
        assert len(questions) == len(references) == found["items"] > 0
        assert [question.uid for question in questions] == list(references)
    together = facts["splits"]["dev"]["items"] + facts["splits"]["distill"]["items"]
    assert 76 <= together <= 80
    assert facts["files"].keys() == {f"$MOCO_SHARED/{name}.json.gz"}
    assert str(Path(FOLDER).resolve()) not in (tmp_path / "task.json").read_text(encoding="utf-8")
