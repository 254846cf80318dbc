"""Stories of items, read from the files of a made-up study of two models, two methods and four items."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from moco import paths
from moco.analysis.stories import Stories
from moco.analysis.story_text import story_text
from moco.cli import main
from moco.records import (
    ANSWERS,
    CALLS,
    GENERATIONS,
    QUESTIONS,
    REFERENCES,
    SCORES,
    Provenance,
    Schema,
    write_json,
    write_rows,
)

BATCH = "zoo-sums-abc123"
GOLD = ["10", "11", "12", "13"]
# Right (1) or wrong (0) by item: b is the best single model. vote differs from b on items 2 and 3, debate on none;
# the two methods differ on 2 and 3; nobody but a is right on 1.
SINGLES = {"a": [0, 1, 0, 0], "b": [1, 0, 1, 0]}
METHODS = {"vote": [1, 0, 0, 1], "debate": [1, 0, 1, 0]}


def uid(number: int) -> str:
    return f"sums/test/{number}"


def write(path: Path, schema: Schema, rows: list[dict[str, Any]], spec: Any = None) -> None:
    blank = dict.fromkeys(schema.columns.names)
    rows = [{**blank, "task": "sums", "status": "ok", **row} for row in rows]
    write_rows(path, schema, [{name: row[name] for name in blank} for row in rows], Provenance("x", spec))


def score(results: Path, replies: str, marks: list[int], number: str, rules: str = "strict") -> None:
    rows = [
        {"uid": uid(item), number: 0, "score": float(mark), "parsed": f"{mark}!", "rule": "last_number"}
        for item, mark in enumerate(marks)
    ]
    write(results / paths.scores(rules, replies), SCORES, rows)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    results = folder / "results/made"
    write_json(results / paths.task_json("sums"), {})
    about = {"split": "test", "type": "exact_match", "domain": "zoo"}
    asked = [{"uid": uid(i), **about, "question": f"Q{i}", "prompt": f"Prompt {i}\nof two lines"} for i in range(4)]
    write(results / paths.questions("sums", "test"), QUESTIONS, asked)
    golds = [{"uid": uid(i), "gold_json": json.dumps(gold), "valid": i != 3} for i, gold in enumerate(GOLD)]
    write(results / paths.references("sums", "test"), REFERENCES, golds)
    for model, marks in SINGLES.items():
        path = paths.generation(model, BATCH, "test", 1, "s0")
        rows = [{"uid": uid(i), "sample": 0, "text": f"{model} says {i}", "finish": "length"} for i in range(4)]
        write(results / path, GENERATIONS, rows)
        write(results / paths.perf(path), GENERATIONS, [])
        score(results, path, marks, "sample")
    for method, marks in METHODS.items():
        where = ("pair", BATCH, method, 1, "test")
        spec = {"pool": ["a", "b"], "scorer": "strict"}
        rows = [{"uid": uid(i), "answer": 0, "text": f"{method} answers {i}", "models": ["b"]} for i in range(4)]
        write(results / paths.answers(*where), ANSWERS, rows, spec)
        write(results / paths.calls(*where), CALLS, calls(method))
        score(results, paths.answers(*where), marks, "answer")
        score(results, paths.answers(*where), [1 - mark for mark in marks], "answer", "paper")
    return results


def calls(method: str) -> list[dict[str, Any]]:
    """Return calls of item 0: vote reads both replies, debate asks b, and then both in one joint reply."""
    plain = {"uid": uid(0), "kind": "plain", "round": -1, "purpose": "plain", "sample": 0}
    shared = [{**plain, "call": place, "model": model, "text": f"{model} says 0"} for place, model in enumerate("ab")]
    own = {"uid": uid(0), "round": 0, "purpose": "revise", "sample": 0, "call": 2, "kind": "own", "model": "b"}
    joint = {**own, "round": 1, "kind": "joint", "purpose": "fuse", "key": "k", "text": "2 + 8", "prompt": "Fuse!"}
    spans = json.dumps([["a", 0, 2, -0.1], ["a", 2, 4, -0.1], ["b", 4, 5, -0.2]])
    if method == "vote":
        return shared
    return [
        *shared,
        {**own, "prompt": "Revise!", "text": "I \x1b[2J say 10"},
        {**joint, "call": 3, "model": "a", "segments_json": spans},
        {**joint, "call": 4, "model": "b", "segments_json": spans},
    ]


def numbers(uids: list[str]) -> list[int]:
    return sorted(int(each.rpartition("/")[2]) for each in uids)


def test_a_story_has_prompt_replies_calls_and_what_every_rule_set_says(results: Path):
    (story,) = Stories(results).tell([uid(0)])
    assert (story["prompt"], story["reference"]["gold"]) == ("Prompt 0\nof two lines", "10")
    assert [(each["model"], each["text"]) for each in story["replies"]] == [("a", "a says 0"), ("b", "b says 0")]
    assert [each["scores"]["strict"]["score"] for each in story["replies"]] == [0.0, 1.0]
    debate, vote = story["methods"]
    assert (debate["method"], vote["method"]) == ("debate", "vote")
    assert [(call["round"], call["kind"], call["model"]) for call in debate["calls"]] == [
        *((-1, "plain", "a"), (-1, "plain", "b")),
        *((0, "own", "b"), (1, "joint", "a"), (1, "joint", "b")),
    ]
    (answer,) = debate["answers"]
    assert answer["text"] == "debate answers 0"
    assert {rules: each["score"] for rules, each in answer["scores"].items()} == {"strict": 1.0, "paper": 0.0}
    assert answer["scores"]["strict"]["rule"] == "last_number"


def test_of_batches_that_a_study_left_behind_the_newest_counts(results: Path, tmp_path: Path):
    shutil.copytree(results, tmp_path / "made")
    for kind in ("generations/a", "answers/pair"):
        former = tmp_path / "made" / kind / "zoo-sums-000000"
        shutil.copytree(tmp_path / "made" / kind / BATCH, former)
        for path in former.rglob("*.parquet"):
            os.utime(path, (1, 1))
    told, again = (list(Stories(folder).tell([uid(0)])) for folder in (results, tmp_path / "made"))
    assert told == again
    for path in (tmp_path / "made/answers/pair" / BATCH).rglob("*.parquet"):
        os.utime(path, (0, 0))
    (story,) = Stories(tmp_path / "made").tell([uid(0)])
    assert [method["answers"][0]["scores"] for method in story["methods"]] == [{}, {}]  # those of the other batch


def test_stories_come_in_the_order_in_which_they_are_named(results: Path):
    assert [story["uid"] for story in Stories(results).tell([uid(2), uid(0), uid(1)])] == [uid(2), uid(0), uid(1)]


@pytest.mark.parametrize(
    ("methods", "choice", "found"),
    [
        ([], {"wrong": True}, [1]),
        (["vote"], {"wrong": True}, [1, 2]),
        (["debate"], {"wrong": True}, [1, 3]),
        ([], {"disagree": True}, [2, 3]),
        (["vote"], {"disagree": True}, [2, 3]),  # with b, the best single model
        (["debate"], {"disagree": True}, []),
        (["vote"], {"disagree": True, "wrong": True}, [2]),
        ([], {}, [0, 1, 2, 3]),
    ],
)
def test_a_sample_is_of_the_items_that_are_asked_for(results: Path, methods: list[str], choice: dict, found: list[int]):
    assert numbers(Stories(results, methods=methods).pick(["sums"], 9, **choice)) == found


def test_what_is_wrong_follows_the_rule_set(results: Path):
    # Under these rules every mark is the other one.
    assert numbers(Stories(results, scorer="paper").pick(["sums"], 9, wrong=True)) == [0]


def test_a_larger_sample_holds_the_smaller(results: Path):
    stories = Stories(results)
    assert stories.pick(["sums"], 4)[:2] == stories.pick(["sums"], 2)


def test_scores_that_are_no_accuracies_are_never_wrong(tmp_path: Path):
    write_json(tmp_path / paths.task_json("chat"), {})
    asked = [{"uid": "chat/test/0", "task": "chat", "type": "reward_model", "prompt": "p"}]
    write(tmp_path / paths.questions("chat", "test"), QUESTIONS, asked)
    assert Stories(tmp_path).pick(["chat"], 1) == ["chat/test/0"]
    assert Stories(tmp_path).pick(["chat"], 1, wrong=True) == []


def test_the_text_says_who_wrote_what_and_what_it_was_worth(results: Path):
    (story,) = Stories(results, methods=["debate"]).tell([uid(0)])
    assert story_text(story) == "\n".join(
        [
            "sums/test/0: exact_match, zoo",
            "  | Prompt 0",
            "  | of two lines",
            "reference: 10",
            "",
            "model a, seed 1, sample 0 (cut at the token limit)",
            "  | a says 0",
            "    score 0 by strict, read '0!', rule last_number",
            "",
            "model b, seed 1, sample 0 (cut at the token limit)",
            "  | b says 0",
            "    score 1 by strict, read '1!', rule last_number",
            "",
            "method debate on pool pair, seed 1",
            "  reads a plain 0, b plain 0",
            "  round 0, own call 2, revise: b",
            "    | Revise!",
            r"    > I \x1b[2J say 10",
            "  round 1, joint call 3, fuse: a + b",
            "    | Fuse!",
            "    > 2 + 8",
            "    written by a '2 + ', b '8'",
            "  answer, in the words of b",
            "    > debate answers 0",
            "    score 0 by paper, read '0!', rule last_number",
            "    score 1 by strict, read '1!', rule last_number",
            "",
        ]
    )
    (broken,) = Stories(results).tell([uid(3)])
    assert "reference is broken at the source" in story_text(broken)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["show", *arguments, "--json"]) == 0
    return [story["uid"] for story in json.loads(capsys.readouterr().out)]


def test_items_are_named_by_uid_or_by_task_and_number(results: Path, monkeypatch, capsys):
    monkeypatch.chdir(results.parents[1])
    assert shown(capsys, "sums/test/2") == shown(capsys, "sums", "2") == ["sums/test/2"]
    assert shown(capsys, "sums/test/2", "sums/test/0") == ["sums/test/2", "sums/test/0"]
    assert len(shown(capsys)) == 3
    assert numbers(shown(capsys, "sums", "--method", "vote", "--wrong", "-n", "8")) == [1, 2]
    assert main(["show", "sums", "1", "--method", "vote"]) == 0
    out = capsys.readouterr().out
    assert "method vote on pool pair" in out
    assert "debate" not in out
    assert main(["show", "--method", "debate", "--disagree"]) == 0
    assert capsys.readouterr().out == "no such item\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sums", "9"], "the results have no item 'sums/test/9'"),
        (["sum"], "the results have no task 'sum'; did you mean sums?"),
        (["sums/test/1", "sums"], "cannot tell what 'sums/test/1 sums' asks for"),
        (["--method", "votes"], "the results have no method 'votes'; did you mean vote?"),
        (["--pool", "trio"], "the results have no pool 'trio'; known: pair"),
        (["--scorer", "loose"], "the results have no scorer 'loose'"),
        (["sums", "1", "--wrong"], "--wrong and --disagree choose items, and some are named"),
    ],
)
def test_mistakes_are_one_line(results: Path, monkeypatch, capsys, arguments: list[str], said: str):
    monkeypatch.chdir(results.parents[1])
    assert main(["show", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_without_results_one_line_says_so(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["show"]) == 2
    assert capsys.readouterr().err == (
        "moco show: results: has no results of a study; name their folder with --results\n"
    )
