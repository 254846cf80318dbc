"""Record files: whole or absent, typed, with provenance, and refused when they are something else."""

import dataclasses
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moco import records
from moco.errors import WorkError
from moco.records import (
    ANSWERS,
    OPTION_LOGITS,
    SCORES,
    Provenance,
    Schema,
    read_by_task,
    read_frame,
    read_json,
    read_provenance,
    read_rows,
    read_table,
    write_json,
    write_rows,
    write_table,
)
from moco.records.failures import forget_failures
from moco.records.files import replace_file

ROWS = [
    {
        "task": "t",
        "uid": "t/test/0",
        "sample": 0,
        "answer": 0,
        "status": "ok",
        "reason": None,
        "score": 1.0,
        "parsed": 'é\n"x"',
        "rule": "r",
        "details_json": '{"exact":1.0}',
    },
    {
        "task": "t",
        "uid": "t/test/1",
        "sample": None,
        "answer": 0,
        "status": "invalid",
        "reason": "no gold",
        "score": None,
        "parsed": None,
        "rule": "",
        "details_json": None,
    },
]


def test_rows_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "a/b/scores.parquet"
    write_rows(path, SCORES, iter(ROWS), Provenance("score", {"scorer": "strict"}, {"questions": "abc"}))
    assert read_rows(path, SCORES) == ROWS
    assert read_rows(path, SCORES, ["uid", "score"]) == [{"uid": r["uid"], "score": r["score"]} for r in ROWS]
    frame = read_frame(path, SCORES)
    assert list(frame.columns) == SCORES.columns.names
    assert frame["parsed"][0] == ROWS[0]["parsed"]


def test_nested_columns_come_back(tmp_path):
    row = {"task": "t", "uid": "u", "answer": 1, "status": "ok", "reason": None, "text": "", "extracted": None}
    row |= {"has_extracted": True, "models": ["a", "b", "a"], "fallback": None, "record_json": "{}"}
    write_rows(tmp_path / "x.parquet", ANSWERS, [row], Provenance("answer"))
    assert read_rows(tmp_path / "x.parquet", ANSWERS) == [row]


def test_a_file_without_rows_keeps_its_schema(tmp_path):
    write_rows(tmp_path / "x.parquet", SCORES, [], Provenance("score"))
    assert read_rows(tmp_path / "x.parquet", SCORES) == []
    assert pq.read_schema(tmp_path / "x.parquet").names == SCORES.columns.names


def test_columns_of_the_path_are_not_read_as_partitions(tmp_path):
    write_rows(tmp_path / "seed=1/x.parquet", SCORES, ROWS, Provenance("score"))
    assert list(read_rows(tmp_path / "seed=1/x.parquet", SCORES)[0]) == SCORES.columns.names


def test_a_file_says_what_it_was_made_from(tmp_path):
    write_rows(tmp_path / "x.parquet", SCORES, ROWS, Provenance("score", {"b": 1, "a": [2]}, {"in": "digest"}))
    found = read_provenance(tmp_path / "x.parquet")
    assert {key: found[key] for key in ("schema", "schema_version", "verb", "spec", "inputs")} == {
        "schema": "scores",
        "schema_version": SCORES.version,
        "verb": "score",
        "spec": {"b": 1, "a": [2]},
        "inputs": {"in": "digest"},
    }
    assert {"python", "moco", "pyarrow"} <= set(found["versions"])


def test_a_row_that_lacks_a_column_or_has_a_wrong_type_writes_nothing(tmp_path):
    with pytest.raises(KeyError):
        write_rows(tmp_path / "x.parquet", SCORES, [{"uid": "u"}], Provenance("score"))
    with pytest.raises(pa.ArrowInvalid):
        write_rows(tmp_path / "x.parquet", SCORES, [{**ROWS[0], "score": "high"}], Provenance("score"))
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")

    def write(temporary):
        temporary.write_text("half of the n")
        assert path.read_text() == "old"
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        replace_file(path, write)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.txt"]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    seen = []

    def write(temporary):
        temporary.write_text("new")
        seen.append((path.read_text(), temporary.parent == path.parent, temporary.name.startswith(".")))

    replace_file(path, write)
    assert seen == [("old", True, True)]
    assert path.read_text() == "new"


def test_another_schema_and_another_version_are_refused(tmp_path):
    path = tmp_path / "x.parquet"
    write_rows(path, SCORES, ROWS, Provenance("score"))
    with pytest.raises(WorkError, match="holds scores version 3, not answers version 2; delete it and run again"):
        read_rows(path, ANSWERS)
    newer = dataclasses.replace(SCORES, version=4)
    with pytest.raises(WorkError, match="holds scores version 3, not scores version 4"):
        read_frame(path, newer)
    pq.write_table(pa.table({"uid": ["a"]}), path)
    with pytest.raises(WorkError, match="holds None version None"):
        read_rows(path, SCORES)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "flipped"])
def test_a_damaged_file_is_one_line(tmp_path, damage):
    path = tmp_path / "x.parquet"
    write_rows(path, SCORES, ROWS * 500, Provenance("score"))
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        for place in range(4, 400):
            data[place] ^= 0xFF
    path.write_bytes({"truncated": data[: len(data) // 2], "empty": b"", "text": b"hello", "flipped": data}[damage])
    with pytest.raises(WorkError) as caught:
        read_rows(path, SCORES)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: file is damaged (")
    assert str(caught.value).endswith("; delete it and run again")


def test_a_missing_file_names_the_remedy(tmp_path):
    with pytest.raises(WorkError, match=r"x\.parquet: file is missing; run the rule that makes it"):
        read_rows(tmp_path / "x.parquet", SCORES)
    with pytest.raises(WorkError, match=r"x\.json: file is missing"):
        read_json(tmp_path / "x.json")


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
def test_damaged_json_is_one_line(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(WorkError, match=r"x\.json: is not JSON \("):
        read_json(tmp_path / "x.json")


def test_json_is_readable_sorted_and_refuses_nan(tmp_path):
    write_json(tmp_path / "x.json", {"b": "é", "a": [1.5, None]})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == json.dumps(
        {"a": [1.5, None], "b": "é"}, indent=2, ensure_ascii=False
    ) + "\n"
    assert read_json(tmp_path / "x.json") == {"b": "é", "a": [1.5, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", float("nan"))
    assert read_json(tmp_path / "x.json") == {"b": "é", "a": [1.5, None]}


def test_all_schemas_have_distinct_names_and_columns():
    schemas = [value for value in vars(records).values() if isinstance(value, Schema)]
    assert len(schemas) == len({schema.name for schema in schemas}) == 22
    for schema in schemas:
        assert len(set(schema.columns.names)) == len(schema.columns.names)


def test_tables_are_written_one_after_the_other_as_rows_are(tmp_path):
    write_rows(tmp_path / "rows.parquet", SCORES, ROWS * 6000, Provenance("score"))
    table = read_table(tmp_path / "rows.parquet", SCORES)
    parts = [table[:1], table[1:1], table[1:9000], table[9000:]]
    write_table(tmp_path / "tables.parquet", SCORES, parts, Provenance("score"))
    assert read_table(tmp_path / "tables.parquet", SCORES) == table
    assert read_provenance(tmp_path / "tables.parquet") == read_provenance(tmp_path / "rows.parquet")
    with pytest.raises(pa.ArrowInvalid):
        write_table(tmp_path / "x.parquet", SCORES, [pa.table({"task": ["t"]})], Provenance("score"))
    assert not (tmp_path / "x.parquet").exists()


def test_rows_of_a_batch_come_back_by_task(tmp_path):
    rows = [ROWS[0], {**ROWS[0], "task": "u"}, ROWS[1]]
    write_rows(tmp_path / "x.parquet", SCORES, rows, Provenance("score"))
    assert read_by_task(tmp_path / "x.parquet", SCORES) == {"t": ROWS, "u": [rows[1]]}


def test_recorded_failures_are_forgotten_and_nothing_else(tmp_path):
    failed = {**ROWS[0], "status": "failed", "reason": "killed", "score": None}
    write_rows(tmp_path / "scores/strict/bad.parquet", SCORES, [ROWS[0], failed], Provenance("score"))
    write_rows(tmp_path / "scores/strict/good.parquet", SCORES, ROWS, Provenance("score"))
    write_json(tmp_path / "fits/p/t/m/seed1/failed.json", {"reason": "x"})
    write_json(tmp_path / "fits/p/t/n/seed1/fit.json", {})
    write_json(tmp_path / "models/a/model.json", {"failed": "x"})
    write_json(tmp_path / "models/b/model.json", {"name": "b"})
    lost = {**dict.fromkeys(OPTION_LOGITS.columns.names), "uid": "a", "status": "failed", "reason": "killed"}
    write_rows(tmp_path / "logits/m/t/test/options.parquet", OPTION_LOGITS, [lost], Provenance("logits"))
    outputs = ("tables/x.csv", "figures/x.pdf", "report.html")
    for name in outputs:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("made of failures")
    removed = {str(path.relative_to(tmp_path)) for path in forget_failures(tmp_path)}
    assert removed == {
        "scores/strict/bad.parquet",
        "logits/m/t/test/options.parquet",
        "fits/p/t/m/seed1",
        "models/a/model.json",
    }
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"scores/strict/good.parquet", "fits/p/t/n/seed1/fit.json", "models/b/model.json"}
    for name in outputs:
        (tmp_path / name).write_text("made of what is left")
    assert forget_failures(tmp_path) == []
    assert all((tmp_path / name).exists() for name in outputs)
