"""A list of texts names accepted answers, wherever it stands; any other list is one answer."""

import json

import pytest
from support.items import load

from moco.config.tasks import TaskEntry
from moco.scoring.catalogue import scorer_for
from moco.tasks.item import Question, Reference

CAPITAL, SQUARES = ["Paris", "City of Paris"], [1, 4, 9]


def jsonl(folder):
    rows = [{"question": "Capital?", "answer": CAPITAL}, {"question": "Squares?", "answer": SQUARES}]
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return {"kind": "table", "paths": {"test": str(folder / "test.jsonl")}}


def csv(folder):
    text = 'question,answer\nCapital?,"[""Paris"", ""City of Paris""]"\nSquares?,"[1, 4, 9]"\n'
    (folder / "test.csv").write_text(text, encoding="utf-8")
    return {"kind": "table", "paths": {"test": str(folder / "test.csv")}}


def moco_json(folder):
    items = [{"id": "1", "input": "Capital?", "output": CAPITAL}, {"id": "2", "input": "Squares?", "output": SQUARES}]
    data = {"name": "x", "task_type": "exact_match", "dev": items, "test": items}
    (folder / "x.json").write_text(json.dumps(data), encoding="utf-8")
    return {"kind": "moco", "path": str(folder / "x.json")}


@pytest.mark.parametrize("write", [jsonl, csv, moco_json])
def test_aliases_and_lists(write, tmp_path):
    capital, squares = load(TaskEntry(source=write(tmp_path), type="exact_match"))["test"]
    assert (capital.gold, capital.gold_kind) == (CAPITAL, "aliases")
    assert (squares.gold, squares.gold_kind) == ("[1, 4, 9]", "list")
    for item, reply, right in (
        (capital, "Paris", 1),
        (capital, "the city of paris", 1),
        (capital, "Rome", 0),
        (squares, "[1, 4, 9]", 1),
        (squares, "4", 0),
    ):
        question = Question("u", "t", "test", "exact_match", item.question, "")
        reference = Reference("u", item.gold, item.gold_kind, meta=item.meta)
        assert scorer_for("exact_match", "strict").score(question, reference, reply).score == right
