"""Every kind of malformed data is one clear line and exit code 2, for `moco prepare` and for its check."""

import gzip
import json
import os
import re
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.study_files import use_study

from moco.cli import main

GOOD = {"question": "One and two?", "answer": "three"}
CHOICE = {"question": "Which?", "options": ["red", "blue"], "answer": "A"}
OPEN = {"question": "question", "gold": "answer"}
CHOOSE = {**OPEN, "options": "options"}


def jsonl(*rows):
    return b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows)


def parquet(rows):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


def bundle(**splits):
    return json.dumps(splits).encode()


ITEM = {"input": "One?", "output": "1"}
PICK = {"question": "Which?", "choices": {"A": "red", "B": "blue"}, "answer": "A"}

# Name of the file, its content, what the line says. A row that names its type holds multiple choice.
MALFORMED = {
    "missing column": ("t.jsonl", jsonl({"question": "x"}), r"row 0 \(line 1\): column 'answer' is missing"),
    "misspelt column": ("t.jsonl", jsonl({"question": "x", "anwser": 1}), "'answer' is missing; did you mean anwser"),
    "invalid JSON": ("t.jsonl", jsonl(GOOD, b'{"question": \n'), r"row 1 \(line 2\): is not JSON"),
    "two objects in a line": ("t.jsonl", jsonl(b'{"question": "x"} {"answer": "y"}\n'), "row 0 .*Extra data"),
    "array instead of object": ("t.jsonl", jsonl(GOOD, [1, 2]), "row 1 .*row is a list, not an object"),
    "JSON list as JSONL": ("t.jsonl", json.dumps([GOOD, GOOD]).encode(), "row 0 .*row is a list"),
    "pretty-printed JSON": ("t.jsonl", json.dumps(GOOD, indent=1).encode(), r"row 0 \(line 1\): is not JSON"),
    "NaN": ("t.jsonl", jsonl(b'{"question": "x", "answer": NaN}\n'), "row 0 .*NaN is not a JSON number"),
    "infinity": ("t.jsonl", jsonl(b'{"question": "x", "answer": 1e999}\n'), "row 0 .*cannot be stored"),
    "repeated key": ("t.jsonl", jsonl(b'{"question": "x", "question": "y", "answer": 1}\n'), "occurs twice"),
    "half surrogate": ("t.jsonl", jsonl({"question": "\ud83d", "answer": "x"}), "row 0 .*half of a surrogate pair"),
    "empty question": ("t.jsonl", jsonl({**GOOD, "question": " "}), "row 0 .*question is empty"),
    "null question": ("t.jsonl", jsonl({**GOOD, "question": None}), "row 0 .*question is null, not a text"),
    "nested question": ("t.jsonl", jsonl({**GOOD, "question": {"a": 1}}), "row 0 .*question is an object"),
    "nested gold": ("t.jsonl", jsonl({**GOOD, "answer": {"a": 1}}), "row 0 .*gold is an object"),
    "deep nesting": ("t.jsonl", b"[" * 200_000 + b"\n", "row 0 .*(nested too deeply|is not JSON)"),
    "empty file": ("t.jsonl", b"", "split is empty"),
    "blank lines only": ("t.jsonl", b"\n\n \n", "split is empty"),
    "latin-1": ("t.jsonl", jsonl(GOOD, '{"question": "é", "answer": "x"}\n'.encode("latin-1")), "row 1 .*is not UTF-8"),
    "UTF-16": ("t.jsonl", jsonl(GOOD).decode().encode("utf-16"), "is UTF-16, not UTF-8; convert the file"),
    "gzip without .gz": ("t.jsonl", gzip.compress(jsonl(GOOD)), "is compressed with gzip"),
    "zip archive": ("t.jsonl", b"PK\x03\x04 and more", "is a zip archive; unpack it"),
    "truncated gzip": ("t.jsonl.gz", gzip.compress(jsonl(*[GOOD] * 999))[:-20], "compressed data end too early"),
    "no gzip": ("t.jsonl.gz", jsonl(GOOD), "cannot be read .*check the file"),
    "damaged gzip": ("t.jsonl.gz", gzip.compress(jsonl(GOOD))[:12] + b"\0" * 40, "cannot be read|end too early"),
    "gzip of a Parquet file": ("t.jsonl.gz", gzip.compress(parquet([GOOD])), "is a Parquet file"),
    "wrong extension": ("t.txt", jsonl(GOOD), "unknown file format; use .jsonl, .csv or .parquet"),
    "zip extension": ("t.zip", b"PK", "unknown file format"),
    "no extension": ("t", jsonl(GOOD), "unknown file format"),
    "ragged CSV": ("t.csv", b"question,answer\nx,1\ny\n", r"row 1 \(line 3\): row has 1 cells, the header 2"),
    "unclosed quote": ("t.csv", b'question,answer\nx,1\n"y,2\n', "row 1 .*is not CSV"),
    "repeated header": ("t.csv", b"question,answer,answer\nx,1,2\n", "column 'answer' occurs twice"),
    "CSV without header": ("t.csv", b"x,1\ny,2\n", "column 'question' is missing"),
    "CSV with bars": ("t.csv", b"question|answer\nx|1\n", "column 'question' is missing"),
    "CSV in latin-1": ("t.csv", "question,answer\né,1\n".encode("latin-1"), r"row 0 \(line 2\): is not UTF-8"),
    "CSV with a header only": ("t.csv", b"question,answer\n", "split is empty"),
    "CSV with a huge field": ("t.csv", b"question,answer\n" + b"x" * 200_000 + b",1\n", "row 0 .*field limit"),
    "not a Parquet file": ("t.parquet", b"no parquet", "is not a sound Parquet file"),
    "truncated Parquet file": ("t.parquet", parquet([GOOD])[:-9], "is not a sound Parquet file"),
    "Parquet without a column": ("t.parquet", parquet([{"question": "x"}]), "column 'answer' is missing"),
    "Parquet with nested gold": ("t.parquet", parquet([{"question": "x", "answer": {"a": 1}}]), "gold is an object"),
    "gold outside options": ("t.jsonl", jsonl(CHOICE, {**CHOICE, "answer": "C"}), "row 1 .*one of the 2 options"),
    "null gold": ("t.jsonl", jsonl({**CHOICE, "answer": None}), r"row 0 .*gold \(null\) is not the letter"),
    "options null": ("t.jsonl", jsonl({**CHOICE, "options": None}), "column 'options' holds null, not a list"),
    "one option null": ("t.jsonl", jsonl({**CHOICE, "options": ["red", None]}), "option '1' is null"),
    "one option": ("t.jsonl", jsonl({**CHOICE, "options": ["red"]}), "has 1 options, not 2 to 26"),
    "too many options": ("t.jsonl", jsonl({**CHOICE, "options": [f"o{n}" for n in range(27)]}), "has 27 options"),
    "empty option": ("t.jsonl", jsonl({**CHOICE, "options": ["red", ""]}), "option '1' is empty"),
    "list as split": ("t.json", json.dumps([ITEM]).encode(), "is a list, not an object with dev and test"),
    "missing split": ("t.json", bundle(dev=[ITEM]), "test: split is missing"),
    "empty split": ("t.json", bundle(dev=[ITEM], test=[]), "test: split is empty"),
    "item is no object": ("t.json", bundle(dev=[ITEM], test=[1]), "test row 0: item is a number"),
    "missing field": ("t.json", bundle(dev=[ITEM], test=[{"input": "q"}]), "test row 0: field 'output' is missing"),
    "id is a list": ("t.json", bundle(dev=[{**ITEM, "id": [1]}], test=[ITEM]), "dev row 0: id is a list"),
    "answer is no key": ("t.json", bundle(dev=[PICK], test=[{**PICK, "answer": "C"}]), "test row 0: answer is 'C'"),
    "choices are a list": ("t.json", bundle(dev=[{**PICK, "choices": ["a"]}], test=[PICK]), "dev row 0: choices is a"),
    "truncated MoCo JSON": ("t.json", bundle(dev=[ITEM], test=[ITEM])[:-3], "is not JSON"),
}


def entry(path, content):
    choice = b'"options"' in content or b'"choices"' in content
    kind = "multiple_choice" if choice else "exact_match"
    if path.name.endswith(".json"):
        return {"source": {"kind": "moco", "path": str(path)}, "type": kind}
    source = {"kind": "table", "paths": {"test": str(path)}, "columns": CHOOSE if choice else OPEN}
    return {"source": {**source, "gold": "letter"} if choice else source, "type": kind}


def prepare(spec, folder, capsys):
    with pytest.MonkeyPatch.context() as environment:
        use_study(environment, folder, tasks={"t": spec})
        code = main(["prepare", "--task", "t", "--results", str(folder / "results")])
    return code, capsys.readouterr().err


def check(spec, folder, capsys):
    path = folder / "task.yaml"
    path.write_text(json.dumps(spec), encoding="utf-8")
    code = main(["prepare", "--check", str(path)])
    return code, capsys.readouterr().err


@pytest.mark.parametrize("verb", [prepare, check])
@pytest.mark.parametrize(("name", "content", "message"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_data(tmp_path, capsys, verb, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    code, lines = verb(entry(path, content), tmp_path, capsys)
    assert code == 2
    assert not (tmp_path / "results").exists()
    first = lines.splitlines()[0]
    assert re.search(message, first), lines
    assert str(path) in first
    assert verb is check or lines.count("\n") == 1


@pytest.mark.parametrize("verb", [prepare, check])
def test_places_that_are_no_files(tmp_path, capsys, monkeypatch, verb):
    monkeypatch.delenv("NOWHERE", raising=False)
    for path, message in (
        ("$NOWHERE/t.jsonl", "environment variable NOWHERE is not set"),
        (str(tmp_path / "absent.jsonl"), "file is missing; check the path"),
        (str(tmp_path / "absent.json"), "file is missing; check the path"),
    ):
        code, lines = verb(entry(tmp_path / path, b""), tmp_path, capsys)
        assert (code, message in lines, lines.count("\n")) == (2, True, 1), lines
    (tmp_path / "folder.jsonl").mkdir()
    code, lines = verb(entry(tmp_path / "folder.jsonl", b""), tmp_path, capsys)
    assert (code, "cannot be read (Is a directory)" in lines) == (2, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every file")
def test_unreadable_file(tmp_path, capsys):
    path = tmp_path / "t.jsonl"
    path.write_bytes(jsonl(GOOD))
    path.chmod(0)
    code, lines = prepare(entry(path, b""), tmp_path, capsys)
    assert (code, "cannot be read (Permission denied)" in lines) == (2, True)


def test_byte_order_mark_is_accepted(tmp_path, capsys):
    for name, content in (("t.jsonl", jsonl(GOOD)), ("t.csv", b"question,answer\nx,1\n")):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + content)
        assert prepare(entry(tmp_path / name, content), tmp_path, capsys)[0] == 0


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz", "t.csv"])
def test_a_line_of_100_mb_takes_little_memory(tmp_path, name):
    path = tmp_path / name
    start = b"question,answer\n" if name == "t.csv" else jsonl(GOOD)
    with gzip.open(path, "wb", 1) if name.endswith(".gz") else path.open("wb") as stream:
        stream.write(start)
        for _ in range(100):
            stream.write(b"x" * 1_000_000)
        stream.write(b"\n" + (b"y,1\n" if name == "t.csv" else jsonl(GOOD)))
    code = (
        "import resource, sys; from moco.cli import main; import moco.tasks.prepare; "
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; code = main(sys.argv[1:]); "
        "print('KiB', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before); sys.exit(code)"
    )
    (tmp_path / "task.yaml").write_text(json.dumps(entry(path, b"")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", code, "prepare", "--check", str(tmp_path / "task.yaml")], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "line is longer than 16 MiB" in done.stderr
    assert int(done.stdout.split("KiB ")[1]) < 100 * 1024
    if name != "t.csv":
        assert "3 rows, 2 good, 1 bad" in done.stdout


MILLION = """
import re, sys, time
from pathlib import Path
from moco.config.tasks import TaskEntry
from moco.tasks.prepare import prepare
folder = Path(sys.argv[1])
paths = {"train": str(folder / "train.jsonl"), "test": str(folder / "test.jsonl")}
entry = TaskEntry(
    source={"kind": "table", "paths": paths}, type="exact_match", limit={"train": int(sys.argv[2])}
)
facts = prepare("t", entry, folder / "t", None)
# A new program inherits the highest use that getrusage tells from the process that started it.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(facts["splits"]["train"]["items"], peak, time.process_time())
"""


@pytest.mark.slow
def test_a_million_rows_need_at_most_1_gb(tmp_path):
    limit = 1_000_000
    with (tmp_path / "train.jsonl").open("w", encoding="utf-8") as stream:
        for number in range(1_000_000):
            stream.write(
                json.dumps({"question": f"What is {number} plus {number % 977}?", "answer": f"{number}"}) + "\n"
            )
    (tmp_path / "test.jsonl").write_bytes(jsonl(GOOD))
    done = subprocess.run(
        [sys.executable, "-c", MILLION, str(tmp_path), str(limit)], capture_output=True, text=True, check=True
    )
    items, peak, seconds = map(float, done.stdout.split())
    print(f"{peak / 1024:.0f} MiB, {seconds:.0f} s of processor time")
    assert items == limit
    assert peak <= 1e9 / 1024
