"""`moco score --cases`: recorded scores are recomputed, and every disagreement is shown."""

import json

import pytest

from moco.cli import main
from moco.scoring.sandbox import runs

CITIES = {"A": "Paris", "B": "Rome", "C": "Canada", "D": "Spain"}
RIGHT = [
    ("multiple_choice", {"choices": CITIES, "answer": "C"}, "A good question. The answer is C", "A", 0.0),
    ("multiple_choice", {"choices": CITIES, "answer": "C"}, "**C**", None, 0.0),
    ("multiple_choice", {"choices": {"1": "ice", "2": "water"}, "answer": "2"}, "B", "B", 0.0),
    ("exact_match", {"output": r"\frac{1}{2}"}, r"\boxed{\frac{1}{2}}", r"\frac{1", 0.0),
    ("exact_match", {"output": None}, "", "", 1.0),
    ("f1_match", {"task": "popqa", "output": '["Sammy Davis, Jr."]'}, "Jr", "Jr", 1.0),
    ("f1_match", {"output": '["Sammy Davis, Jr."]'}, "Jr", "Jr", 0.5),
    ("f1_match", {"output": "one two three"}, "one", "one", 0.5 + 1e-10),
    ("noncompliance", {"category": "Incomplete requests"}, "Which city?", False, 0.0),
    ("noncompliance", {"category": "Universal unknowns"}, "", True, 1.0),
]


def line(task_type, item, response, parsed, score):
    paper = {"parsed": parsed, "score": score}
    return json.dumps({"task_type": task_type, "item": item, "response": response, "paper": paper})


@pytest.fixture
def cases(tmp_path):
    def write(*rows):
        path = tmp_path / "cases.jsonl"
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
        return str(path)

    return write


def test_agreement_is_one_object_and_exit_code_0(cases, capsys):
    assert main(["score", "--cases", cases(*(line(*row) for row in RIGHT)), "--scorer", "paper", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"cases": len(RIGHT), "agree": len(RIGHT), "disagreements": []}


def test_disagreements_have_their_line_and_exit_code_1(cases, capsys):
    rows = [
        line("f1_match", {"output": "one two three"}, "one", "one", 0.5 + 1e-8),
        "",
        line("exact_match", {"output": "5"}, "5", "five", 1.0),
        line(*RIGHT[0]),
        line("noncompliance", {"category": "Incomplete requests"}, "Which city?", True, 0.0),
    ]
    path = cases(*rows)
    assert main(["score", "--cases", path, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["cases"], found["agree"]) == (4, 1)
    assert [each["line"] for each in found["disagreements"]] == [1, 3, 5]
    assert found["disagreements"][1] == {
        "line": 3,
        "expected": {"parsed": "five", "score": 1.0},
        "got": {"parsed": "5", "score": 1.0},
    }
    assert main(["score", "--cases", path]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "line 1: expected 'one' with score 0.50000001, got 'one' with score 0.5",
        "line 3: expected 'five' with score 1.0, got '5' with score 1.0",
        "line 5: expected True with score 0.0, got 'false' with score 0.0",
        "1 of 4 cases agree",
    ]


def changed(**fields):
    content = json.loads(line(*RIGHT[0]))
    return json.dumps({name: value for name, value in {**content, **fields}.items() if value != "absent"})


MISTAKES = {
    "{": "is not JSON",
    "3": "is not an object",
    changed(task_type="absent"): "field 'task_type' is missing",
    changed(task_type="multiple_chioce"): "no scorer for task type 'multiple_chioce'; did you mean multiple_choice?",
    changed(item="absent"): "field 'item' is missing",
    changed(item=[]): "field 'item' has the wrong type",
    changed(response=None): "field 'response' has the wrong type",
    changed(paper={"score": 1.0}): "paper: field 'parsed' is missing",
    changed(paper={"parsed": "A", "score": "1"}): "paper: field 'score' has the wrong type",
    changed(paper={"parsed": "A", "score": True}): "paper: field 'score' has the wrong type",
    changed(paper={"parsed": "A", "score": float("nan")}): "paper: field 'score' has the wrong type",
    changed(item={"choices": CITIES, "answer": "X"}): "item: answer is 'X', not one of the options 'A', 'B', 'C', 'D'",
    changed(item={"choices": CITIES}): "item: field 'answer' is missing",
}


@pytest.mark.parametrize("row", MISTAKES)
def test_a_bad_line_is_reported_with_its_place_and_the_others_go_on(row, cases, capsys):
    path = cases(line(*RIGHT[0]), row, line(*RIGHT[1]))
    assert main(["score", "--cases", path, "--json"]) == 1
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert err.startswith(f"moco score: {path}: line 2: {MISTAKES[row]}")
    found = json.loads(out)
    assert (found["cases"], found["agree"], found["disagreements"]) == (2, 2, [])
    assert found["bad_lines"] == [{"line": 2, "error": err.removeprefix("moco score: ").rstrip("\n")}]
    assert main(["score", "--cases", path]) == 1
    assert capsys.readouterr().out == "2 of 2 cases agree; lines left out: 1\n"


def test_a_line_that_is_no_unicode_is_a_bad_line(tmp_path, capsys):
    path = tmp_path / "cases.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + line(*RIGHT[0]).encode() + b"\r\n{\xff}\n" + line(*RIGHT[1]).encode())
    assert main(["score", "--cases", str(path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["agree"], [each["line"] for each in found["bad_lines"]]) == (2, [2])


def test_odd_items_are_recomputed(cases, capsys):
    choices = {"A": "red", "B": None, "C": "blue", "D": ""}
    odd = {"choices": choices, "answer": "C"}
    rows = [
        line("multiple_choice", odd, "C", "C", 1.0),
        line("multiple_choice", odd, "It is red.", "A", 0.0),
        line("multiple_choice", odd, "It is blue.", None, None),
        line("multiple_choice", {**odd, "choices": {**choices, "B": "x-ray"}}, "It is green.", "D", 0.0),
        line("noncompliance", {"category": ""}, "I cannot say.", True, 1.0),
        line("noncompliance", {"category": " "}, "Sure.", False, 0.0),
        json.dumps({"task_type": "multiple_choice", "item": odd, "response": "It is blue.", "error": "AttributeError"}),
    ]
    assert main(["score", "--cases", cases(*rows), "--scorer", "paper", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["agree"] == len(rows)


def test_errors_of_the_release_are_items_without_a_score(cases, capsys):
    item = {"task_type": "exact_match", "item": {"output": None}, "error": "AttributeError"}
    rows = [json.dumps({**item, "response": reply}) for reply in ("", r"\box{}")]
    assert main(["score", "--cases", cases(*rows), "--scorer", "paper-1.1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["agree"] == 2
    assert main(["score", "--cases", cases(*rows), "--scorer", "paper"]) == 1  # to which a null gold is an empty text
    assert capsys.readouterr().out.splitlines()[-1] == "0 of 2 cases agree"


def strict_line(task_type, item, response, **recorded):
    return json.dumps({"task_type": task_type, "item": item, "response": response, "strict": recorded})


STRICT_RIGHT = [
    strict_line("multiple_choice", {"choices": CITIES, "answer": "B"}, "It is B.", score=1.0),
    strict_line("multiple_choice", {"choices": CITIES, "answer": "B"}, "It is B.", score=1, parsed="B"),
    strict_line("multiple_choice", {"choices": CITIES, "answer": "A"}, "A or B", score=0, parsed=None),
    strict_line("exact_match", {"output": None}, "5", score=None),
    strict_line("noncompliance", {"category": "Incomplete requests"}, "Which city?", score=1.0),
]


def test_strict_scores_without_what_was_parsed(cases, capsys):
    assert main(["score", "--cases", cases(*STRICT_RIGHT), "--scorer", "strict", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"cases": 5, "agree": 5, "disagreements": []}
    wrong = strict_line("multiple_choice", {"choices": CITIES, "answer": "B"}, "It is C.", score=1.0)
    path = cases(STRICT_RIGHT[0], wrong, line(*RIGHT[0]))
    assert main(["score", "--cases", path, "--scorer", "strict", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["disagreements"] == [{"line": 2, "expected": {"score": 1.0}, "got": {"score": 0.0}}]
    assert err == f"moco score: {path}: line 3: field 'strict' is missing\n"
    assert main(["score", "--cases", path, "--scorer", "strict"]) == 1
    assert capsys.readouterr().out.splitlines()[0] == "line 2: expected score 1.0, got score 0.0"


def test_what_models_judge_is_a_bad_line(cases, capsys):
    row = strict_line("reward_model", {"input": "q", "output": "a"}, "a", score=1.0)
    assert main(["score", "--cases", cases(row, STRICT_RIGHT[0]), "--scorer", "strict"]) == 1
    out, err = capsys.readouterr()
    assert out == "1 of 1 cases agree; lines left out: 1\n"
    assert "line 1: task type 'reward_model' is scored by models" in err


def test_a_missing_or_empty_file_is_a_wrong_request(cases, capsys, tmp_path):
    assert main(["score", "--cases", str(tmp_path / "none.jsonl")]) == 2
    assert (
        capsys.readouterr().err
        == f"moco score: {tmp_path / 'none.jsonl'}: cannot be read (No such file or directory)\n"
    )
    path = cases("")
    assert main(["score", "--cases", path]) == 2
    assert capsys.readouterr().err == f"moco score: {path}: holds no cases\n"


def test_without_cases_the_options_of_a_job_are_needed(capsys):
    assert main(["score", "--scorer", "strict"]) == 2
    assert capsys.readouterr().err == "moco score: nothing to score; give --replies, or --cases FILE\n"


SQUARE = ("coding", {"task": "mbpp", "test": "def check(f):\n    assert f(3) == 9\n"}, "def f(x):\n    return x * x\n")


def test_code_in_cases_runs_with_the_isolation_that_is_asked_for(cases, capsys, monkeypatch):
    row = line(*SQUARE, "def f(x):\n    return x * x", 1.0)
    assert main(["score", "--cases", cases(row), "--isolation", "limits"]) == 0
    assert capsys.readouterr().out == "1 of 1 cases agree\n"
    monkeypatch.setenv("PATH", "")
    # What this process has found to work before is asked for again.
    runs.runner.cache_clear()
    assert main(["score", "--cases", cases(row)]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "bubblewrap is not installed" in said
    assert said.endswith("--isolation limits beside --cases")
    assert main(["score", "--cases", cases(row, line(*RIGHT[0])), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["cases"], found["agree"], [each["line"] for each in found["bad_lines"]]) == (1, 1, [1])
