import json
import re

import pytest
import yaml

from moco.cli import main

ROWS = [
    {"question": "One?", "answer": "1", "id": 7},
    {"question": "Two?"},
    {"question": "", "answer": "3", "id": 8},
    {"question": "one?", "answer": "1", "id": 7},
    {"question": "x" * 20_000, "answer": "4", "id": 9},
    {"question": "Five?", "answer": "", "id": 10},
]


@pytest.fixture
def data(tmp_path):
    for split, rows in (("dev", ROWS), ("test", [*ROWS[2:4], {"question": "Six?", "answer": "6", "id": 11}])):
        text = "\n".join(map(json.dumps, rows)) + "\n"
        (tmp_path / f"{split}.jsonl").write_text(text, encoding="utf-8")
    paths = {split: str(tmp_path / f"{split}.jsonl") for split in ("dev", "test")}
    columns = {"question": "question", "gold": "answer", "src_id": "id"}
    return {"source": {"kind": "table", "paths": paths, "columns": columns}, "type": "exact_match"}


def check(capsys, *arguments):
    code = main(["prepare", "--check", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err.splitlines()


def write(path, content):
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_every_bad_row_is_named_and_the_rest_is_judged(data, tmp_path, capsys):
    code, out, err = check(capsys, write(tmp_path / "mine.yaml", data))
    dev, test = data["source"]["paths"].values()
    assert code == 2
    assert err[1:] == [
        f"{dev}: dev row 2 (line 3): question is empty",
        f"{test}: test row 0 (line 1): question is empty",
    ]
    assert err[0].startswith(f"{dev}: dev row 1 (line 2): column 'answer' is missing; ")
    text = "\n".join(out)
    assert "mine dev: 6 rows, 4 good, 2 bad" in out
    assert "mine test: 3 rows, 2 good, 1 bad" in out
    assert (
        "mine dev: warning: id that occurs several times (allowed, since nothing is keyed by it): 2 rows (0, 3)" in text
    )
    assert "warning: prompt of more than 16,000 characters, of which models may see only the end: 1 row (4)" in text
    assert "mine dev: warning: cannot be scored (no gold), and so kept as invalid: 1 row (5)" in text
    assert "dev: asks what an earlier item of the split asks, with the same answer; left out: 1 row (3)" in text
    assert "test: asks what an item of dev or train asks, with the same answer; left out: 1 row (1)" in text
    assert out[-1].endswith("mine.yaml: 3 mistakes")


def test_good_data_with_warnings_are_ready(data, tmp_path, capsys):
    for split, keep in (("dev", (0, 3, 5)), ("test", (2,))):
        path = tmp_path / f"{split}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[row] for row in keep), encoding="utf-8")
    path = write(tmp_path / "mine.yaml", {**data, "splits": "upstream"})
    code, out, err = check(capsys, path)
    assert (code, err, out[-1]) == (0, [], f"{path}: ready")
    assert any("kept, as splits: upstream asks:" in line for line in out)


def test_a_study_with_one_task_or_all(data, tmp_path, capsys):
    study = {
        "study": "s",
        "models": {"base": {"kind": "zoo"}},
        "pools": {"one": ["base"]},
        "tasks": {
            "mine": data,
            "again": {"source": "mine", "distill": 0.5},
            "made": {"source": {"kind": "synthetic", "skills": ["add"]}},
        },
    }
    path = write(tmp_path / "study.yaml", study)
    code, out, _ = check(capsys, path, "--task", "made")
    assert (code, out[0]) == (0, "made train: 200 rows, 200 good, 0 bad")
    code, out, err = check(capsys, path)
    assert (code, len(err), out[-1]) == (2, 6, f"{path}: 6 mistakes")
    assert any(line.startswith("again dev: 6 rows") for line in out)
    code, _, err = check(capsys, path, "--task", "mien")
    assert (code, err[0].endswith("has no task 'mien'; did you mean mine?")) == (2, True)


@pytest.mark.usefixtures("data")
def test_a_data_file_needs_only_its_type(tmp_path, capsys):
    code, out, err = check(capsys, tmp_path / "dev.jsonl", "--type", "exact_match")
    assert (code, len(err), out[0]) == (2, 2, "dev test: 6 rows, 4 good, 2 bad")
    code, _, err = check(capsys, tmp_path / "dev.jsonl")
    assert (code, "a data file needs a task type; add --type" in err[0]) == (2, True)
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"dev": [{"input": "q", "output": "1"}], "test": [{"input": "r", "output": "2"}]}))
    assert check(capsys, path, "--type", "exact_match")[0] == 0


def test_mistakes_of_the_entry_are_one_line(data, tmp_path, capsys):
    for change, message in (
        ({"splits": "dirty"}, "splits: "),
        ({"splitz": "clean"}, "unknown key 'splitz'; did you mean splits"),
        ({"group_pattern": "("}, "group_pattern: .*no regular expression"),
        ({"source": {"kind": "tabel"}}, "source.kind: is missing or unknown"),
    ):
        code, _, err = check(capsys, write(tmp_path / "mine.yaml", {**data, **change}))
        assert (code, len(err)) == (2, 1), err
        assert re.search(message, err[0]), err


def test_limits_that_leave_nothing_are_found(data, tmp_path, capsys):
    (tmp_path / "dev.jsonl").write_text(json.dumps(ROWS[0]) + "\n", encoding="utf-8")
    (tmp_path / "test.jsonl").write_text(json.dumps(ROWS[3]) + "\n", encoding="utf-8")
    code, _, err = check(capsys, write(tmp_path / "mine.yaml", data))
    assert (code, len(err)) == (2, 1)
    assert "clean splits leave no test item of 1" in err[0]
