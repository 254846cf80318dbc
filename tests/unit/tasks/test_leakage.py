import json
import os
from collections import Counter

import pytest

from moco.config.tasks import TaskEntry
from moco.errors import RequestError
from moco.records import DROPPED, read_rows
from moco.tasks.leakage import contradictions, find_drops
from moco.tasks.outline import asked, folded, outline
from moco.tasks.prepare import prepare, read_questions, read_references
from moco.tasks.raw import RawItem
from moco.tasks.selection import select
from moco.tasks.sources import open_source


def item(row, question, gold="1", group=None, options=None, kind="text"):
    return outline(RawItem(row, question, gold, kind, group=group, options=options))


def found(**splits):
    """Return (split, row, reason, other place) of every item left out."""
    return [(drop.split, drop.item.row, drop.reason, drop.other) for drop in find_drops(splits)]


def test_folding_keeps_what_carries_meaning():
    assert folded("  Ａ  Straße\n\u00a0x ") == "a strasse x"
    assert folded("( ] }") != folded("( [ }")
    assert folded("x + 1") != folded("x - 1")
    assert asked("Why?", None) == asked(" WHY? ", None) != asked("Why", None)


def test_options_are_part_of_the_question_in_any_order():
    assert asked("Which?", ["red", "Blue"]) == asked("which?", ["blue", "red"])
    assert asked("Which?", ["red", "blue"]) != asked("Which?", ["red", "green"])
    assert asked("Which?", ["red", "blue"]) != asked("Which?", None)


def test_the_gold_of_a_choice_is_its_text():
    one = item(0, "Q", {"index": 0, "key": "A"}, options=("red", "blue"), kind="option")
    same = item(1, "q", {"index": 1, "key": "B"}, options=("blue", "red"), kind="option")
    other = item(2, "q", {"index": 0, "key": "A"}, options=("blue", "red"), kind="option")
    assert found(dev=[one, same, other]) == [("dev", 1, "repeat", ("dev", 0)), ("dev", 2, "conflict", ("dev", 0))]


def test_of_repeats_the_first_stays_and_test_loses_what_others_have():
    drops = found(
        train=[item(0, "a"), item(1, "t")],
        dev=[item(0, "a"), item(1, "b"), item(2, "B ")],
        test=[item(0, "c"), item(1, "b", "2"), item(2, "c"), item(3, "t"), item(4, "c", "9"), item(5, "b")],
    )
    assert drops == [
        ("dev", 2, "repeat", ("dev", 1)),  # what train has stays in dev
        ("test", 1, "seen_conflict", ("dev", 1)),
        ("test", 2, "repeat", ("test", 0)),
        ("test", 3, "seen", ("train", 1)),
        ("test", 4, "conflict", ("test", 0)),
        ("test", 5, "seen", ("dev", 1)),
    ]


def test_groups_stay_whole():
    dev = [item(0, "a", group="g"), item(1, "x")]
    test = [item(0, "b", group="g"), item(1, "x", group="h"), item(2, "y", group="h"), item(3, "z", group="i")]
    assert found(dev=dev, test=test) == [
        ("test", 0, "seen_group", ("dev", 0)),
        ("test", 1, "seen", ("dev", 1)),
        ("test", 2, "seen_group", ("dev", 1)),
    ]
    # A group that repeats some items of another stays, and one that repeats all of them goes.
    first = [item(0, "a", group="g"), item(1, "b", group="g")]
    assert found(dev=[*first, item(2, "a", group="h"), item(3, "c", group="h")]) == []
    again = found(dev=[*first, item(2, "a", group="h"), item(3, "b", group="h")])
    assert [(row, reason) for _, row, reason, _ in again] == [(2, "repeat"), (3, "repeat")]
    assert [row for _, row, *_ in found(dev=[*first, item(2, "a", group="g")])] == [2]


def test_only_closed_questions_contradict_each_other():
    assert contradictions([item(0, "q", "Yes"), item(1, "q", "No"), item(2, "q", "yes"), item(3, "r", "no")]) == {0, 1}
    assert (
        contradictions([item(0, "Who wrote Pilot?", ["A"], kind="aliases"), item(1, "who wrote pilot?", ["B"])])
        == set()
    )


def entry(path, **changes):
    return TaskEntry(source={"kind": "moco", "path": str(path)}, type="exact_match", **changes)


@pytest.fixture
def leaky(tmp_path):
    def rows(*pairs):
        return [{"id": f"id{question}", "input": question, "output": gold} for question, gold in pairs]

    dev = rows(("Is it a?", "Yes"), ("Is it a?", "No"), ("Passage 1: who?", "x"), ("b", "2"), ("c", "3"), ("d", "4"))
    test = rows(("B", "2"), ("e", "5"), ("Passage 1: when?", "y"), ("E", "5"), ("f", None), ("Passage 2: who?", "z"))
    path = tmp_path / "leaky.json"
    path.write_text(json.dumps({"dev": dev, "test": test}), encoding="utf-8")
    return path


def test_clean_files_keep_uids_and_say_what_is_left_out(leaky, tmp_path):
    facts = prepare("t", entry(leaky, group_pattern=r"^(Passage \d+):"), tmp_path / "t", None)
    assert [question.uid for question in read_questions(tmp_path / "t", "test")] == ["t/test/1", "t/test/4", "t/test/5"]
    assert [question.uid for question in read_questions(tmp_path / "t", "dev")] == [
        f"t/dev/{row}" for row in (0, 2, 3, 4, 5)
    ]
    assert read_rows(tmp_path / "t" / "dropped.parquet", DROPPED) == [
        {"split": "dev", "row": 1, "src_id": "idIs it a?", "reason": "conflict", "other": "t/dev/0"},
        {"split": "test", "row": 0, "src_id": "idB", "reason": "seen", "other": "t/dev/3"},
        {"split": "test", "row": 2, "src_id": "idPassage 1: when?", "reason": "seen_group", "other": "t/dev/2"},
        {"split": "test", "row": 3, "src_id": "idE", "reason": "repeat", "other": "t/test/1"},
    ]
    dev, test = facts["splits"]["dev"], facts["splits"]["test"]
    assert (dev["dropped"], dev["broken"], dev["valid"]) == ({"conflict": 1}, {"contradicted": 1}, 4)
    assert test["dropped"] == {"seen": 1, "seen_group": 1, "repeat": 1}
    assert (test["items"], test["valid"], test["broken"]) == (3, 2, {"no gold": 1})
    references = read_references(tmp_path / "t", "dev")
    assert [reference.valid for reference in references.values()] == [False, True, True, True, True]
    assert references["t/dev/2"].group == "Passage 1"


def test_upstream_keeps_everything_but_marks_what_cannot_be_scored(leaky, tmp_path):
    facts = prepare("t", entry(leaky, splits="upstream"), tmp_path / "t", None)
    assert [facts["splits"][split]["items"] for split in ("dev", "test")] == [6, 6]
    assert [facts["splits"][split]["dropped"] for split in ("dev", "test")] == [{}, {}]
    assert facts["splits"]["dev"]["broken"] == {"contradicted": 2}
    assert read_rows(tmp_path / "t" / "dropped.parquet", DROPPED) == []


def test_what_is_left_out_depends_on_no_limit_and_names_the_distilled_twin(leaky, tmp_path):
    prepare("t", entry(leaky, distill=0.4, limit={"test": 1}), tmp_path / "t", None)
    rows = read_rows(tmp_path / "t" / "dropped.parquet", DROPPED)
    assert [(row["split"], row["row"]) for row in rows] == [("dev", 1), ("test", 0), ("test", 3)]
    uids = {question.uid for split in ("dev", "distill") for question in read_questions(tmp_path / "t", split)}
    assert {row["other"] for row in rows if "/test/" not in row["other"]} <= uids


def test_a_test_split_without_own_items_is_refused(leaky):
    data = json.loads(leaky.read_text(encoding="utf-8"))
    leaky.write_text(json.dumps({**data, "test": data["dev"]}), encoding="utf-8")
    with pytest.raises(RequestError, match=r"clean splits leave no test item of 6.* set splits: upstream"):
        select(entry(leaky), open_source(entry(leaky)).rows, "tasks.t")


def test_a_source_that_changes_while_it_is_read_is_noticed(leaky, tmp_path, monkeypatch):
    from moco.tasks import prepare as module

    def changed(task, rows, where):
        selection = select(task, rows, where)
        selection.sizes["test"] += 1
        return selection

    monkeypatch.setattr(module, "select", changed)
    with pytest.raises(RequestError, match="test changed while it was read"):
        prepare("t", entry(leaky), tmp_path / "t", None)
    assert not list((tmp_path / "t").rglob("*.parquet"))


SHARED = os.environ.get("MOCO_SHARED")
STEM = r"^(.*?)\s*Without any explanation"
SITUATION = r"Situation:\s*(.*)$"
TABLE = r"(?s)^Table:(.*?)\nQuestion:"


@pytest.mark.skipif(not SHARED, reason="MOCO_SHARED names no folder with files in MoCo's JSON format")
@pytest.mark.parametrize(
    ("name", "kind", "pattern", "dev", "test"),
    [
        ("popqa", "f1_match", None, 11, {"seen": 9, "seen_conflict": 14, "repeat": 1, "conflict": 3}),
        ("culturebench", "exact_match", None, 1, {"seen": 4, "seen_group": 2}),
        ("theoremqa", "exact_match", None, 0, {"seen_conflict": 1}),
        ("bbh", "exact_match", None, 1, {"repeat": 1}),
        ("kaleidoscope", "multiple_choice", None, 0, {"repeat": 1}),
        ("kaleidoscope", "multiple_choice", SITUATION, 0, {"seen_group": 253, "repeat": 1}),
        ("blend", "multiple_choice", None, 0, {}),
        ("blend", "multiple_choice", STEM, 0, {"seen_group": 427}),
        ("tablemwp_multiple_choice", "multiple_choice", TABLE, 0, {"seen_group": 6}),
        ("arc_challenge", "multiple_choice", None, 0, {}),
        ("math", "exact_match", None, 0, {}),
        ("gsm8k", "exact_match", None, 0, {}),
        ("truthfulqa", "multiple_choice", None, 0, {}),
        ("wikidyk", "f1_match", None, 0, {}),
    ],
)
def test_known_overlaps_of_the_shared_files(name, kind, pattern, dev, test):
    task = TaskEntry(
        source={"kind": "moco", "path": f"$MOCO_SHARED/{name}.json.gz"}, type=kind, limit={}, group_pattern=pattern
    )
    selection = select(task, open_source(task).rows)
    counts = {
        split: Counter(drop.reason for drop in selection.drops if drop.split == split) for split in ("dev", "test")
    }
    assert counts["dev"].total() == dev
    assert counts["test"] == test
    assert {split: len(rows) for split, rows in selection.contradicted.items()} == {
        "dev": 2 if name == "bbh" else 0,
        "test": 0,
    }
