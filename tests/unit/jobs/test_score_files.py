"""Score files: one row per reply, with everything that a scorer reports."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from moco import paths
from moco.errors import WorkError
from moco.jobs import score as score_files
from moco.records import ANSWERS, GENERATIONS, QUESTIONS, REFERENCES, SCORES, Provenance, read_rows, write_rows
from moco.scoring import Verdict

SOURCE = paths.generation("m", "b", "test", 1, "s0")
SPEC = {"scorer": "strict", "type": "exact_match", "tasks": ["t"]}


def word_count(_question, _reference, reply):
    """Score a tenth of the number of words, and report it by name for replies of more than one word."""
    words = len(reply.split())
    return Verdict(words / 10, reply, "whole_reply", details={"words": words, "kind": "é"} if words > 1 else {})


def empty(schema, **values):
    return {**dict.fromkeys(schema.columns.names), **values}


def write_task(
    results: Path, replies: dict[str, str], groups: dict[str, str | None] | None = None, task: str = "t"
) -> list[dict[str, Any]]:
    """Write a task of one question per reply, and the replies; return their rows."""
    folder = results / paths.task_folder(task) / "test"
    uids = [f"{task}/test/{row}" for row in range(len(replies))]
    asked = {"task": task, "split": "test", "type": "exact_match", "domain": "", "question": "q", "prompt": "q"}
    questions = [empty(QUESTIONS, uid=uid, **asked) for uid in uids]
    kept = {"src_id": "", "gold_json": '"gold"', "gold_kind": "text", "valid": True, "meta_json": "{}"}
    references = [empty(REFERENCES, uid=uid, group=(groups or {}).get(uid), **kept) for uid in uids]
    made = [
        empty(
            GENERATIONS,
            task=task,
            uid=uid,
            sample=0,
            status="failed" if text == "failed" else "ok",
            reason="x",
            text=text,
        )
        for uid, text in zip(uids, replies.values(), strict=True)
    ]
    write_rows(folder / "questions.parquet", QUESTIONS, questions, Provenance("prepare"))
    write_rows(folder / "references.parquet", REFERENCES, references, Provenance("prepare"))
    write_rows(results / SOURCE, GENERATIONS, made, Provenance("generate"))
    return made


def scored(results: Path, spec: dict[str, Any], source: str = SOURCE) -> list[dict[str, Any]]:
    """Score a file of replies and return its rows."""
    score_files.ScoreJob(results, spec, source.removesuffix(".parquet"), "test").run()
    return read_rows(results / paths.scores("strict", source), SCORES)


@pytest.fixture
def lengths(monkeypatch):
    monkeypatch.setattr(score_files, "scorer_for", lambda _type, _rules: SimpleNamespace(score=word_count))


@pytest.mark.usefixtures("lengths")
def test_details_of_a_verdict_are_kept_and_absent_ones_are_null(tmp_path):
    write_task(tmp_path, {"a": "two words", "b": "one", "c": "failed"})
    rows = scored(tmp_path, SPEC)
    assert [row["score"] for row in rows] == [0.2, 0.1, None]
    assert json.loads(rows[0]["details_json"]) == {"words": 2, "kind": "é"}
    assert [row["details_json"] for row in rows[1:]] == [None, None]


@pytest.mark.parametrize("grouped", [False, True])
def test_items_of_a_group_score_as_one_where_the_task_says_so(tmp_path, grouped):
    replies = {"a": "gold", "b": "gold", "c": "gold", "d": "silver", "e": "gold", "f": "failed", "g": "silver"}
    groups = {f"t/test/{row}": group for row, group in enumerate(["1", "1", "2", "2", "3", "3", None])}
    write_task(tmp_path, replies, groups)
    rows = scored(tmp_path, {**SPEC, **({"groups": {"t": "hash"}} if grouped else {})})
    assert [row["score"] for row in rows] == ([1, 1, 0, 0, None, None, 0] if grouped else [1, 1, 1, 0, 1, None, 0])
    assert [row["status"] for row in rows[4:6]] == (["failed", "failed"] if grouped else ["ok", "failed"])
    assert rows[4]["reason"] == ("another item of its group has no reply" if grouped else None)
    assert rows[5]["reason"] == "x"


def test_a_file_holds_all_samples_of_all_tasks(tmp_path):
    """Each sample of a task is scored for itself, groups included; rows keep the order of the replies."""
    first = write_task(tmp_path, {"a": "gold", "b": "gold"}, {"t/test/0": "1", "t/test/1": "1"})
    other = write_task(tmp_path, {"a": "silver"}, task="u")
    block = paths.generation("m", "b", "test", 1, "s1-4")
    rows = [{**row, "sample": sample} for sample in (1, 2, 3, 4) for row in (*first, *other)]
    rows[4]["text"] = "silver"  # of the second item of `t` in sample 2
    write_rows(tmp_path / block, GENERATIONS, rows, Provenance("generate"))
    found = scored(tmp_path, {**SPEC, "tasks": ["t", "u"], "groups": {"t": "hash"}}, block)
    assert [(row["task"], row["uid"], row["sample"], row["score"]) for row in found] == [
        ("t", "t/test/0", 1, 1),
        ("t", "t/test/1", 1, 1),
        ("t", "t/test/0", 2, 0),
        ("t", "t/test/1", 2, 0),
        *(("t", f"t/test/{item}", sample, 1) for sample in (3, 4) for item in (0, 1)),
        *(("u", "u/test/0", sample, 0) for sample in (1, 2, 3, 4)),
    ]


def test_a_reply_that_is_missing_from_one_sample_is_an_error(tmp_path):
    rows = write_task(tmp_path, {"a": "gold", "b": "gold"})
    block = paths.generation("m", "b", "test", 1, "s1-4")
    whole = [{**row, "sample": sample} for sample in (1, 2, 3, 4) for row in rows]
    write_rows(tmp_path / block, GENERATIONS, whole, Provenance("generate"))
    assert len(scored(tmp_path, SPEC, block)) == 8
    for broken in (
        whole[:-1],
        whole[:-2],
        [],
        [*whole, {**rows[0], "uid": "t/test/7", "sample": 1}],
        [*whole, whole[0]],
    ):
        write_rows(tmp_path / block, GENERATIONS, broken, Provenance("generate"))
        with pytest.raises(WorkError, match="items differ from those of t/test"):
            scored(tmp_path, SPEC, block)


def test_answers_are_scored_one_by_one(tmp_path):
    write_task(tmp_path, {"a": "", "b": ""})
    where = paths.answers("p", "b", "vote", 1, "test")
    given = [("t/test/0", 0, "gold"), ("t/test/0", 1, "silver"), ("t/test/1", 0, "gold"), ("t/test/1", 1, None)]
    rows = [
        empty(ANSWERS, task="t", uid=uid, answer=number, status="ok" if text else "failed", text=text, reason="late")
        for uid, number, text in given
    ]
    write_rows(tmp_path / where, ANSWERS, rows, Provenance("answer"))
    found = scored(tmp_path, SPEC, where)
    assert [(row["uid"], row["answer"], row["sample"], row["score"]) for row in found] == [
        ("t/test/0", 0, None, 1),
        ("t/test/0", 1, None, 0),
        ("t/test/1", 0, None, 1),
        ("t/test/1", 1, None, None),
    ]
    assert found[3]["reason"] == "late"


def test_the_score_of_an_answer_off_the_regular_path_says_why(tmp_path):
    write_task(tmp_path, {"a": "", "b": ""})
    where = paths.answers("p", "b", "vote", 1, "test")
    rows = [
        empty(ANSWERS, task="t", uid=f"t/test/{number}", answer=0, status="ok", text="gold", fallback=reason)
        for number, reason in enumerate((None, "no readable vote"))
    ]
    write_rows(tmp_path / where, ANSWERS, rows, Provenance("answer"))
    found = [(row["status"], row["score"], row["reason"]) for row in scored(tmp_path, SPEC, where)]
    assert found == [("ok", 1, None), ("ok", 1, "no readable vote")]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_an_error(tmp_path, monkeypatch, value):
    write_task(tmp_path, {"a": ""})
    where = paths.answers("p", "b", "vote", 1, "test")
    row = empty(ANSWERS, task="t", uid="t/test/0", answer=0, status="ok", text="gold")
    write_rows(tmp_path / where, ANSWERS, [row], Provenance("answer"))
    verdicts = [Verdict(value, None, "x")]
    monkeypatch.setattr(score_files, "score_cases", lambda *_: verdicts)
    with pytest.raises(WorkError, match="of a reply to t/test/0 is not finite; correct the scorer"):
        scored(tmp_path, SPEC, where)


def test_replies_that_are_scored_together_come_from_as_many_blocks(tmp_path, monkeypatch):
    """Set c of three replies rests on samples 3c .. 3c+2, wherever these lie."""
    asked = []

    def judge(cases, _scorer=None, _tools=None):
        asked.append([(case.text, *case.further) for case in cases])
        return [Verdict(1.0, "", "x") for _ in cases]

    monkeypatch.setattr(score_files, "score_cases", lambda _scorer, cases, _tools: judge(cases))
    [row] = write_task(tmp_path, {"a": "0"})
    blocks = {"s0": [0], "s1-4": [1, 2, 3, 4], "s5-7": [5, 6, 7], "s8-15": range(8, 16)}
    for block, samples in blocks.items():
        path = tmp_path / paths.generation("m", "b", "test", 1, block)
        made = [{**row, "status": "ok", "sample": sample, "text": str(sample)} for sample in samples]
        write_rows(path, GENERATIONS, made, Provenance("generate"))
    spec = {**SPEC, "type": "generation_diversity", "answers": 3}
    assert [row["sample"] for row in scored(tmp_path, spec)] == [0]
    found = scored(tmp_path, spec, paths.generation("m", "b", "test", 1, "s1-4"))
    assert [row["sample"] for row in found] == [1, 2, 3, 4]
    sets = [given for call in asked for given in call]
    assert sets == [tuple(str(3 * number + place) for place in range(3)) for number in range(5)]


def test_a_failed_file_has_every_item_of_every_sample(tmp_path):
    write_task(tmp_path, {"a": "gold", "b": "gold"})
    block = paths.generation("m", "b", "test", 1, "s1-4").removesuffix(".parquet")
    score_files.ScoreJob(tmp_path, SPEC, block, "test").write_failed("judge: gone")
    rows = read_rows(tmp_path / paths.scores("strict", f"{block}.parquet"), SCORES)
    assert [(row["uid"], row["sample"]) for row in rows] == [
        (f"t/test/{item}", sample) for sample in (1, 2, 3, 4) for item in (0, 1)
    ]
    assert {(row["task"], row["status"], row["reason"], row["score"]) for row in rows} == {
        ("t", "failed", "judge: gone", None)
    }
