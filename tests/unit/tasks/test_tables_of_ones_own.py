"""Tables as people have them: other separators and encodings, options as an object, blanks in a header, bad rows."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from support.items import load

from moco.cli import main
from moco.config.load import study_from, task_from
from moco.config.tasks import TaskEntry
from moco.errors import RequestError
from moco.records import DROPPED, read_rows
from moco.tasks.layout import task_type
from moco.tasks.prepare import prepare, read_questions, read_references

OPEN = {"question": "question", "gold": "answer"}
CHOOSE = {**OPEN, "options": "choices"}


def items(path, kind="exact_match", columns=OPEN, **source):
    entry = {"source": {"kind": "table", "paths": {"test": str(path)}, "columns": columns, **source}, "type": kind}
    return load(TaskEntry.model_validate(entry))["test"]


def written(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


ROWS = [("What is 1, or 2; then\t3?", "7"), ('A "word"\nof two', "x, y; z")]


def separated(separator):
    out = io.StringIO()
    csv.writer(out, delimiter=separator).writerows([("question", "answer"), *ROWS])
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "separator"), [("t.csv", ","), ("t.csv", ";"), ("t.csv", "\t"), ("t.tsv", "\t"), ("t.tsv", ",")]
)
def test_the_header_tells_the_separator(name, separator, tmp_path):
    found = items(written(tmp_path / name, separated(separator)))
    assert [(item.question, item.gold) for item in found] == ROWS


def test_a_separator_inside_a_name_is_no_separator(tmp_path):
    path = written(tmp_path / "t.csv", 'question,"answer; short",answer\nx?,no,yes\n')
    assert items(path)[0].gold == "yes"
    path = written(tmp_path / "t.csv", "question;answer, short;answer\nx?;no;yes\n")
    assert items(path)[0].gold == "yes"


@pytest.mark.parametrize("header", ["question , answer", " question,answer ", "\ufeffquestion, answer"])
def test_blanks_around_names_of_a_header_do_not_count(header, tmp_path):
    (item,) = items(written(tmp_path / "t.csv", f"{header}\nx?,7\n"))
    assert (item.question, item.gold) == ("x?", "7")


def test_blanks_after_separators_are_left_out_where_the_header_has_them(tmp_path):
    path = written(tmp_path / "t.csv", 'question, answer\nx?, "a, b"\n')
    assert items(path)[0].gold == "a, b"
    path = written(tmp_path / "t.csv", "question,answer\nx?, b\n")
    assert items(path)[0].gold == " b"


def test_a_name_that_only_looks_alike_is_shown_so_that_it_can_be_told(tmp_path):
    path = written(tmp_path / "t.jsonl", json.dumps({"question": "x?", "answer ": "7"}) + "\n")
    with pytest.raises(RequestError, match=r"column 'answer' is missing; did you mean 'answer '\?"):
        items(path)


OPTIONS = {"A": "red", "B": "blue", "C": "green"}


@pytest.mark.parametrize(
    ("choices", "form", "answer", "position"),
    [
        (OPTIONS, "letter", "B", 1),
        (OPTIONS, "letter", " b ", 1),
        (OPTIONS, "index", 1, 1),
        (OPTIONS, "option_text", "blue", 1),
        ({"C": "green", "A": "red", "B": "blue"}, "letter", "B", 2),
        ({"1": "red", "2": "blue", "3": "green"}, "letter", "2", 1),
        ({"1": "red", "2": "blue", "3": "green"}, "letter", 2, 1),
        ({"x": "red", "y": "blue"}, "letter", "B", 1),
        ({"text": ["red", "blue"], "label": ["A", "B"]}, "letter", "B", 1),
        ({"text": ["red", "blue"], "label": ["1", "2"]}, "letter", "2", 1),
        (["red", "blue"], "letter", "B", 1),
    ],
)
def test_options_may_be_an_object(choices, form, answer, position, tmp_path):
    row = {"question": "Pick.", "choices": choices, "answer": answer}
    paths = [written(tmp_path / "t.jsonl", json.dumps(row) + "\n"), tmp_path / "t.parquet", tmp_path / "t.csv"]
    pq.write_table(pa.Table.from_pylist([row]), paths[1])
    with paths[2].open("w", newline="") as stream:
        csv.writer(stream).writerows([list(row), ["Pick.", json.dumps(choices), answer]])
    for path in paths:
        (item,) = items(path, "multiple_choice", CHOOSE, gold=form)
        assert item.gold["index"] == position
        assert item.options[position] == "blue"


def test_keys_that_only_other_rows_have_are_no_options_in_parquet(tmp_path):
    rows = [
        {"question": f"{n}?", "choices": OPTIONS if n else {"A": "red", "B": "blue"}, "answer": "B"} for n in (0, 1)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    found = items(tmp_path / "t.parquet", "multiple_choice", CHOOSE, gold="letter")
    assert [len(item.options) for item in found] == [2, 3]


@pytest.mark.parametrize("answer", ["D", "", None, True])
def test_a_gold_that_is_no_key_of_the_options_is_a_mistake(answer, tmp_path):
    row = {"question": "Pick.", "choices": OPTIONS, "answer": answer}
    with pytest.raises(RequestError, match="is not the letter of one of the 3 options"):
        items(written(tmp_path / "t.jsonl", json.dumps(row) + "\n"), "multiple_choice", CHOOSE, gold="letter")


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_another_encoding_is_read_when_it_is_declared(name, tmp_path):
    text = "question,answer\nÜber “x”?,é\n" if name == "t.csv" else '{"question": "Über “x”?", "answer": "é"}\n'
    path = written(tmp_path / name, text.encode("cp1252"))
    assert [(item.question, item.gold) for item in items(path, encoding="cp1252")] == [("Über “x”?", "é")]
    with pytest.raises(
        RequestError, match=r"is not UTF-8; name its encoding in source \(encoding: latin-1, or cp1252\)"
    ):
        items(path)


def test_a_file_in_mocos_format_may_have_another_encoding(tmp_path):
    content = {"dev": [{"input": "é?", "output": "1"}], "test": [{"input": "ü?", "output": "2"}]}
    path = written(tmp_path / "t.json", json.dumps(content, ensure_ascii=False).encode("latin-1"))
    entry = {"source": {"kind": "moco", "path": str(path), "encoding": "latin-1"}, "type": "exact_match"}
    assert load(TaskEntry.model_validate(entry))["test"][0].question == "ü?"


@pytest.mark.parametrize("place", ["first", "last"])
def test_a_file_in_mocos_format_says_its_type(place, tmp_path):
    rows = {"dev": [{"question": "p?", "choices": OPTIONS, "answer": "A"}]}
    rows["test"] = [{"question": "q?", "choices": OPTIONS, "answer": "B", "task_type": "coding"}]
    stated = {"name": "mine", "size": 3, "task_type": "multiple_choice"}
    path = written(tmp_path / "t.json", json.dumps({**stated, **rows} if place == "first" else {**rows, **stated}))
    entry = task_from({"source": {"kind": "moco", "path": str(path)}}, "t")
    assert task_type(entry, "tasks.t") == "multiple_choice"
    assert load(entry)["test"][0].gold == {"index": 1, "key": "B"}
    assert main(["prepare", "--check", str(path)]) == 0
    path.write_text(json.dumps(rows))
    with pytest.raises(RequestError, match=r"tasks\.t: type is missing, and .*t\.json says none; set type"):
        task_type(entry, "tasks.t")


def rows_of(*answers):
    return "".join(
        json.dumps({"question": f"{n}?", **({"answer": a} if a else {})}) + "\n" for n, a in enumerate(answers)
    )


def entry_of(folder, **more):
    paths = {split: str(folder / f"{split}.jsonl") for split in ("dev", "test") if (folder / f"{split}.jsonl").exists()}
    return {"source": {"kind": "table", "paths": paths, "columns": OPEN}, "type": "exact_match", **more}


def test_bad_rows_are_dropped_where_the_task_says_so(tmp_path):
    written(tmp_path / "test.jsonl", rows_of("a", None, "c", None, "e"))
    written(tmp_path / "dev.jsonl", rows_of(None).replace("0", "x") + rows_of("v").replace("0", "y"))
    with pytest.raises(
        RequestError, match=r"row 0 \(line 1\): column 'answer' is missing; .*; correct the row, or set"
    ):
        prepare("t", task_from(entry_of(tmp_path), "t"), tmp_path / "out", {})
    facts = prepare("t", task_from(entry_of(tmp_path, bad_rows="drop"), "t"), tmp_path / "out", {})
    assert [item.uid for item in read_questions(tmp_path / "out", "test")] == ["t/test/0", "t/test/2", "t/test/4"]
    assert [each.gold for each in read_references(tmp_path / "out", "test").values()] == ["a", "c", "e"]
    assert facts["splits"]["test"]["dropped"] == {"bad_row": 2}
    dropped = list(read_rows(tmp_path / "out/dropped.parquet", DROPPED))
    assert [(row["split"], row["row"], row["reason"]) for row in dropped if row["split"] == "test"] == [
        ("test", 1, "bad_row"),
        ("test", 3, "bad_row"),
    ]


def test_a_file_of_bad_rows_alone_is_a_mistake_whatever_the_task_says(tmp_path):
    written(tmp_path / "test.jsonl", rows_of(None, None))
    with pytest.raises(RequestError, match=r"all 2 rows are bad, the first: column 'answer' is missing"):
        prepare("t", task_from(entry_of(tmp_path, bad_rows="drop"), "t"), tmp_path / "out", {})


def test_a_task_over_another_drops_what_that_one_drops(tmp_path):
    from moco.workflow.matrix import concrete_entry

    written(tmp_path / "test.jsonl", rows_of("a", None))
    study = {"study": "s", "models": {"add": {"kind": "zoo"}}, "pools": {"p": ["add"]}}
    study["tasks"] = {"t": entry_of(tmp_path, bad_rows="drop"), "u": {"source": "t"}}
    assert concrete_entry(study_from(study, "s"), "u").bad_rows == "drop"


def check(capsys, *arguments):
    code = main(["prepare", "--check", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err.splitlines()


@pytest.mark.parametrize("count", [2, 4, 40])
def test_a_wrong_column_is_one_line_however_many_rows_there_are(count, tmp_path, capsys):
    path = written(
        tmp_path / "t.jsonl", "".join(json.dumps({"question": f"{n}?", "gold": "x"}) + "\n" for n in range(count))
    )
    code, out, err = check(capsys, path, "--type", "exact_match")
    assert code == 2
    (line,) = err
    assert line.startswith(f"{path}: test: {count} rows (0, 1")
    assert ": column 'answer' is missing; known: gold, question" in line
    assert out == [f"t test: {count} rows, 0 good, {count} bad", f"{path}: 1 mistake"]


def test_faults_that_are_alike_are_one_line_and_others_stay_apart(tmp_path, capsys):
    rows = [{"question": f"{n}?", "options": ["a", "b"], "answer": str(n % 3)} for n in range(9)]
    rows[4] = {"question": "", "options": ["a", "b"], "answer": "A"}
    path = written(tmp_path / "t.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    _, _, err = check(capsys, path, "--type", "multiple_choice")
    assert [line.partition(": test")[2] for line in err] == [
        ": 8 rows (0, 1, 2, 3, 5, ...): gold ('0') is not the letter of one of the 2 options",
        " row 4 (line 5): question is empty",
    ]


def test_a_latin_1_file_is_one_line(tmp_path, capsys):
    path = written(tmp_path / "t.csv", ("question,answer\n" + "é?,1\n" * 30 + "e?,2\n").encode("latin-1"))
    _, _, err = check(capsys, path, "--type", "exact_match")
    (line,) = err
    assert "30 rows (0, 1, 2, 3, 4, ...): is not UTF-8; name its encoding in source" in line


def test_dropped_rows_and_limits_are_told_by_every_check(tmp_path, capsys):
    written(tmp_path / "test.jsonl", rows_of("a", None, "c", "d", "e"))
    entry = entry_of(tmp_path, bad_rows="drop", limit={"test": 3})
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(entry))
    code, out, err = check(capsys, path)
    assert code == 0
    assert len(err) == 1
    assert out[1:] == [
        "mine: warning: limit leaves out 1 of 4 test items",
        "mine: warning: 1 of 5 test rows are no items, and dropped as bad_rows asks",
        f"{path}: ready",
    ]
    study = {"study": "s", "models": {"add": {"kind": "zoo"}}, "pools": {"p": ["add"]}, "tasks": {"mine": entry}}
    path.write_text(yaml.safe_dump(study))
    assert main(["check", str(path), "--results", str(tmp_path / "results")]) == 0
    said = capsys.readouterr()
    assert f"warning: {path}: tasks.mine: limit leaves out 1 of 4 test items; see table data_quality" in said.err
    assert "1 of 5 test rows are no items" in said.err
    facts = prepare("mine", task_from(entry, "t"), tmp_path / "out", {})
    assert facts["splits"]["test"]["beyond_limit"] == 1
    assert facts["splits"]["test"]["items"] == 3


def test_the_default_limit_is_told_too(tmp_path, capsys):
    written(tmp_path / "test.jsonl", rows_of(*map(str, range(1, 1235))))
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(entry_of(tmp_path)))
    assert "mine: warning: limit leaves out 234 of 1,234 test items" in check(capsys, path)[1]
