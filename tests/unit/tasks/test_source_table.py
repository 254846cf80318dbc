import csv
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.items import load

from moco.config.tasks import TaskEntry
from moco.errors import RequestError
from moco.tasks.raw import RawItem

ROWS = [
    {"q": "One, or\ntwo?", "a": "2", "key": 11, "topic": "x", "extra": "unused"},
    {"q": 'A "quoted" ü', "a": "yes", "key": 12, "topic": "y", "extra": "unused"},
]
COLUMNS = {"question": "q", "gold": "a", "src_id": "key", "domain": "topic"}
CHOICES = {"question": "q", "gold": "a", "options": "o"}


def from_file(path, task_type="exact_match", columns=COLUMNS, **source):
    source = {"kind": "table", "paths": {"dev": str(path)}, "columns": columns, **source}
    return load(TaskEntry(source=source, type=task_type))["dev"]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def as_csv(path, rows):
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def packed(path):
    target = path.with_name(path.name + ".gz")
    target.write_bytes(gzip.compress(path.read_bytes()))
    return target


def test_every_format_gives_the_same_items(tmp_path):
    paths = [jsonl(tmp_path / "t.jsonl", ROWS), as_csv(tmp_path / "t.csv", ROWS)]
    paths += [packed(path) for path in paths]
    paths.append(parquet(tmp_path / "t.parquet", ROWS))
    for path in paths:
        assert from_file(path) == [
            RawItem(0, "One, or\ntwo?", "2", "number", src_id="11", domain="x"),
            RawItem(1, 'A "quoted" ü', "yes", "text", src_id="12", domain="y"),
        ]


@pytest.mark.parametrize("make", [jsonl, as_csv])
def test_byte_order_mark_and_blank_lines(tmp_path, make):
    path = make(tmp_path / ("t.jsonl" if make is jsonl else "t.csv"), ROWS)
    plain = from_file(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\n\n")
    assert from_file(path) == plain


@pytest.mark.parametrize(
    ("form", "value", "position"),
    [
        ("letter", "B", 1),
        ("letter", " c ", 2),
        ("index", 0, 0),
        ("index", "2", 2),
        ("index", 1.0, 1),
        ("option_text", "blue", 1),
        ("option_text", "blue ", 1),
    ],
)
def test_forms_of_gold(tmp_path, form, value, position):
    row = {"q": "Pick.", "o": ["red", "blue", "green"], "a": value}
    expected = {"index": position, "key": "ABC"[position]}
    paths = [jsonl(tmp_path / "t.jsonl", [row]), parquet(tmp_path / "t.parquet", [row])]
    paths.append(as_csv(tmp_path / "t.csv", [{**row, "o": json.dumps(row["o"])}]))
    if value != 1.0:
        for path in paths:
            found = from_file(path, "multiple_choice", CHOICES, gold=form)[0]
            assert (found.gold, found.gold_kind, found.options) == (expected, "option", ("red", "blue", "green"))
    else:
        assert from_file(paths[1], "multiple_choice", CHOICES, gold=form)[0].gold == expected


def test_one_column_per_option(tmp_path):
    path = as_csv(tmp_path / "t.csv", [{"q": "Pick.", "o1": "red", "o2": "blue", "a": "B"}])
    columns = {"question": "q", "gold": "a", "options": ["o1", "o2"]}
    assert from_file(path, "multiple_choice", columns, gold="letter")[0].options == ("red", "blue")


def test_missing_numbers_of_data_frames(tmp_path):
    path = parquet(tmp_path / "t.parquet", [{"q": "a", "a": 1.5, "g": 3.0}, {"q": "b", "a": float("nan"), "g": None}])
    found = from_file(path, columns={"question": "q", "gold": "a", "group": "g"})
    assert [(item.gold, item.valid, item.group) for item in found] == [(1.5, True, "3"), (None, False, None)]


def test_large_file_is_read_once(tmp_path):
    rows = [{"q": f"question {row}", "a": row} for row in range(5000)]
    found = from_file(parquet(tmp_path / "t.parquet", rows), columns={"question": "q", "gold": "a"})
    assert [item.row for item in found] == list(range(5000))
    assert found[4321].gold == 4321


def test_gold_may_be_left_out_where_nothing_is_compared(tmp_path):
    path = jsonl(tmp_path / "t.jsonl", [{"q": "Hi."}])
    assert from_file(path, "reward_model", {"question": "q"})[0].gold is None


GOOD = {"q": "Pick.", "o": ["red", "blue"], "a": "B"}


@pytest.mark.parametrize(
    ("changes", "form", "message"),
    [
        ({"a": "C"}, "letter", r"gold \('C'\) is not the letter of one of the 2 options"),
        ({"a": "AB"}, "letter", "is not the letter"),
        ({"a": None}, "letter", r"gold \(null\)"),
        ({"a": 2}, "index", r"gold \(2\) is not the index"),
        ({"a": -1}, "index", "is not the index"),
        ({"a": True}, "index", "is not the index"),
        ({"a": "x"}, "index", "is not the index"),
        ({"a": "secret text"}, "option_text", r"gold \(a text\) is not the option_text"),
        ({"o": ["red", None]}, "letter", "option '1' is null"),
        ({"o": ["red", 3]}, "letter", "option '1' is a number"),
        ({"o": ["red", " "]}, "letter", "option '1' is empty"),
        ({"o": ["red"]}, "letter", "has 1 options"),
        ({"o": "red, blue"}, "letter", "is not JSON"),
        ({"o": {"A": "red"}}, "letter", "has 1 options"),
        ({"o": 3}, "letter", "column 'o' holds a number, not a list or an object of options"),
        ({"q": ""}, "letter", "question is empty"),
        ({"q": None}, "letter", "question is null"),
        ({"q": "\ud800"}, "letter", "surrogate"),
    ],
)
def test_malformed_row_is_one_line_with_file_split_and_row(tmp_path, changes, form, message):
    good = {**GOOD, "a": {"letter": "B", "index": 1, "option_text": "blue"}[form]}
    path = jsonl(tmp_path / "t.jsonl", [good, {**good, **changes}])
    with pytest.raises(RequestError, match=message) as caught:
        from_file(path, "multiple_choice", CHOICES, gold=form)
    assert str(caught.value).startswith(f"{path}: dev row 1 (line 2)")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.jsonl", b'{"q": "x", "a": "1"}\n\n{"q": "x"}\n', r"dev row 1 \(line 3\): column 'a' is missing"),
        ("t.jsonl", b'{"q": "x", "a": "1"}\n{"q": ', r"dev row 1 \(line 2\): is not JSON"),
        ("t.jsonl", b'{"q": "x", "a": "1"}\n[1]\n', "dev row 1 .*row is a list"),
        ("t.jsonl", b'{"q": "x", "a": "1"}\n{"q": "\xfc", "a": "1"}\n', r"dev row 1 \(line .\): is not UTF-8"),
        ("t.jsonl", b"", "dev: split is empty"),
        ("t.csv", b"", "dev: column 'q' is missing"),
        ("t.csv", b"q,a\n", "dev: split is empty"),
        ("t.csv", b"qu,a\nx,1\n", "dev: column 'q' is missing; did you mean qu"),
        ("t.csv", b"q,a,a\nx,1,1\n", "dev: column 'a' occurs twice"),
        ("t.csv", b"q,a\nx,1\ny\n", r"dev row 1 \(line 3\): row has 1 cells, the header 2"),
        ("t.csv", b'q,a\nx,1\n"y,1\n', r"dev row 1 \(line 3\): is not CSV"),
        ("t.csv", b"q,a\nx,1\n\xfc,1\n", r"dev row 1 \(line .\): is not UTF-8"),
        ("t.parquet", b"no parquet", "dev"),
        ("t.parquet", b"", "dev"),
        ("t.parquet.gz", b"", "dev: unknown file format"),
        ("t.txt", b"", "dev: unknown file format"),
        ("t.jsonl.gz", b"no gzip", "dev: cannot be read"),
        ("t.csv.gz", gzip.compress(b"q,a\n" + b"x,1\n" * 999, mtime=0)[:-12], "dev: compressed data end too early"),
    ],
)
def test_malformed_file_is_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RequestError, match=message) as caught:
        from_file(path, columns={"question": "q", "gold": "a"})
    assert str(caught.value).startswith(f"{path}: dev")
    assert "\n" not in str(caught.value)


def test_missing_file_and_column(tmp_path):
    with pytest.raises(RequestError, match=r"absent\.csv: dev: file is missing"):
        from_file(tmp_path / "absent.csv")
    with pytest.raises(RequestError, match=r"dev: column 'topic' is missing; did you mean topics\?"):
        from_file(parquet(tmp_path / "t.parquet", [{"q": "x", "a": "1", "key": "k", "topics": "t"}]))


@pytest.mark.parametrize(
    ("task_type", "columns", "gold", "message"),
    [
        ("exact_match", {"gold": "a"}, "text", r"columns\.question is missing"),
        ("exact_match", {"question": "q"}, "text", r"columns\.gold is missing"),
        ("exact_match", {"question": ["q", "p"], "gold": "a"}, "text", r"columns\.question is a list"),
        ("exact_match", {"question": "q", "gold": "a"}, "letter", "gold is 'letter'; this task needs text"),
        ("exact_match", {"question": "q", "gold": "a", "options": "o"}, "letter", "exact_match has no options"),
        ("multiple_choice", {"question": "q", "gold": "a"}, "letter", r"columns\.options is missing"),
        (
            "multiple_choice",
            {"question": "q", "gold": "a", "options": "o"},
            "text",
            "needs letter, index or option_text",
        ),
    ],
)
def test_columns_that_do_not_suit_the_task(task_type, columns, gold, message):
    with pytest.raises(RequestError, match=message):
        from_file("never_opened.csv", task_type, columns, gold=gold)
