"""Score files: one row per reply, with everything that a scorer reports."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from moco import paths
from moco.records import GENERATIONS, QUESTIONS, REFERENCES, SCORES, Provenance, read_rows, write_rows
from moco.scoring import Verdict
from moco.scoring import files as score_files

SOURCE = "responses/m.parquet"


def word_count(_question, _reference, reply):
    """Score a tenth of the number of words, and report it by name for replies of more than one word."""
    words = len(reply.split())
    return Verdict(words / 10, reply, "whole_reply", details={"words": words, "kind": "é"} if words > 1 else {})


def empty(schema, **values):
    return {**dict.fromkeys(schema.columns.names), **values}


def write_task(results: Path, replies: dict[str, str], groups: dict[str, str | None] | None = None) -> None:
    folder = results / paths.task_folder("t") / "test"
    uids = [f"t/test/{row}" for row in range(len(replies))]
    asked = {"task": "t", "split": "test", "type": "exact_match", "domain": "", "question": "q", "prompt": "q"}
    questions = [empty(QUESTIONS, uid=uid, **asked) for uid in uids]
    kept = {"src_id": "", "gold_json": '"gold"', "gold_kind": "text", "valid": True, "meta_json": "{}"}
    references = [empty(REFERENCES, uid=uid, group=(groups or {}).get(uid), **kept) for uid in uids]
    made = [
        empty(GENERATIONS, uid=uid, sample=0, status="failed" if text == "failed" else "ok", reason="x", text=text)
        for uid, text in zip(uids, replies.values(), strict=True)
    ]
    write_rows(folder / "questions.parquet", QUESTIONS, questions, Provenance("prepare"))
    write_rows(folder / "references.parquet", REFERENCES, references, Provenance("prepare"))
    write_rows(results / SOURCE, GENERATIONS, made, Provenance("generate"))


@pytest.fixture
def lengths(monkeypatch):
    monkeypatch.setattr(score_files, "scorer_for", lambda _type, _rules: SimpleNamespace(score=word_count))


@pytest.mark.usefixtures("lengths")
def test_details_of_a_verdict_are_kept_and_absent_ones_are_null(tmp_path):
    write_task(tmp_path, {"a": "two words", "b": "one", "c": "failed"})
    score_files.score_plain(tmp_path, "t", "test", SOURCE, {"scorer": "strict", "type": "exact_match"})
    rows = read_rows(tmp_path / paths.scores("strict", SOURCE), SCORES)
    assert [row["score"] for row in rows] == [0.2, 0.1, None]
    assert json.loads(rows[0]["details_json"]) == {"words": 2, "kind": "é"}
    assert [row["details_json"] for row in rows[1:]] == [None, None]
