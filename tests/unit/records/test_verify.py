"""`moco verify`: content counts; times, places, logs and library versions do not."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moco.cli import main
from moco.records import PERF, SCORES, Provenance, write_json, write_rows
from moco.records.compare import differences

ROWS = [
    {
        **dict.fromkeys(SCORES.columns.names),
        "uid": f"t/test/{n}",
        "answer": 0,
        "status": "ok",
        "score": n / 7,
        "rule": "r",
    }
    for n in range(5)
]


def fill(folder: Path) -> Path:
    write_rows(folder / "scores/strict/a.parquet", SCORES, ROWS, Provenance("score", {"x": 1}))
    for name in ("scores/strict/a_perf", "analysis/benchmark/jobs_perf", "fits/p/b/m/seed1_job_perf"):
        write_rows(folder / f"{name}.parquet", PERF, [], Provenance("score"))
    write_json(folder / "models/m/model.json", {"name": "m", "location": "a", "base": {"location": "b", "name": "n"}})
    for name in ("tables/x.csv", "figures/x.pdf", "logs/x.log", "benchmarks/x.tsv", "report.html"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("one")
    return folder


@pytest.fixture
def two(tmp_path):
    first = fill(tmp_path / "first")
    shutil.copytree(first, tmp_path / "second")
    return first, tmp_path / "second"


def with_metadata(path: Path, change) -> None:
    table = pq.read_table(path, partitioning=None)
    content = json.loads(table.schema.metadata[b"moco"])
    change(content)
    pq.write_table(table.replace_schema_metadata({b"moco": json.dumps(content).encode()}), path)


def test_equal_folders_are_equal(two, capsys):
    assert list(differences(*two, strict=True)) == []
    assert main(["verify", *map(str, two)]) == 0
    assert capsys.readouterr().out == "equal\n"


def test_what_depends_on_the_machine_does_not_count(two):
    second = two[1]
    perf = [{"kind": "reply", "key": "k", "model": "m", "cached": True, "seconds": 1.0}]
    for name in ("scores/strict/a_perf", "analysis/benchmark/jobs_perf", "fits/p/b/m/seed1_job_perf"):
        write_rows(second / f"{name}.parquet", PERF, perf, Provenance("score"))
    for name in ("logs/x.log", "report.html", "tables/moco_paid_perf.csv", "tables/moco_paid_perf.md"):
        (second / name).write_text("two")
    (second / "logs/more.log").write_text("two")
    (second / "benchmarks/x.tsv").unlink()
    (second / "checkpoints/m").mkdir(parents=True)
    (second / "checkpoints/m/model.safetensors").write_text("w")
    (second / "tables/.x.csv.12.tmp").write_text("half")
    write_json(second / "models/m/model.json", {"name": "m", "location": "c", "base": {"location": "d", "name": "n"}})
    assert list(differences(*two)) == list(differences(*two, strict=True)) == []


OTHERS = (
    "README", "README.md", "README.txt", ".DS_Store", "._x.csv", "Thumbs.db", "desktop.ini", "x.csv~", "#x.csv#", "x.bak",
    "x.csv.orig", ".x.csv.swp", "x copy.csv", "x (1).csv", "notes.md", "notes.txt", "look.ipynb", "look.py",
    ".ipynb_checkpoints/x-checkpoint.csv", "__pycache__/look.pyc", ".snakemake_timestamp",
)  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("folder", ["", "tables", "figures", "scores/strict", "models/m", "fits/p/t/m/seed1"])
def test_what_the_workflow_does_not_make_does_not_count(two, folder, name):
    for side, text in zip(two, ("mine", "yours"), strict=True):
        path = side / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (two[0] / folder / "empty").mkdir()
    assert list(differences(*two, strict=True)) == []
    (two[1] / folder / name).unlink()
    assert list(differences(*two, strict=True)) == []


def test_a_table_of_ones_own_among_the_scores_does_not_count(two):
    pq.write_table(pa.table({"uid": ["a"]}), two[0] / "scores/strict/export.parquet")
    assert list(differences(*two)) == []
    write_rows(two[0] / "scores/strict/b.parquet", SCORES, ROWS, Provenance("score"))
    (two[0] / "scores/strict/c.parquet").write_bytes(b"damaged")
    assert [line.partition(":")[0] for line in differences(*two)] == [
        "scores/strict/b.parquet",
        "scores/strict/c.parquet",
    ]


def test_one_folder_of_two_results_is_compared_alone(two):
    (two[1] / "tables/x.csv").write_text("two")
    assert list(differences(two[0] / "tables", two[1] / "tables")) == ["x.csv: bytes differ"]
    assert list(differences(two[0] / "models", two[1] / "models")) == []


def test_nothing_to_compare_is_no_equality(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "README.md").write_text("x")
    assert main(["verify", str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert "holds nothing that the workflow makes" in capsys.readouterr().err


def draw(path: Path, height: float, **metadata) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([0, height])
    figure.savefig(path, metadata=metadata)


def test_dates_and_versions_in_figures_do_not_count(two):
    date = datetime(2026, 1, 2, tzinfo=UTC)
    draw(two[0] / "figures/x.pdf", 1, CreationDate=None)
    draw(two[1] / "figures/x.pdf", 1, CreationDate=date, ModDate=date, Producer="another (2\\)) library")
    assert list(differences(*two)) == []
    assert list(differences(*two, strict=True)) == ["figures/x.pdf: bytes differ"]
    draw(two[1] / "figures/x.pdf", 2, CreationDate=None)
    assert list(differences(*two)) == ["figures/x.pdf: bytes differ"]


def test_the_layout_of_a_parquet_file_does_not_count(two):
    path = two[1] / "scores/strict/a.parquet"
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table, path, compression="none", row_group_size=2)
    assert list(differences(*two, strict=True)) == []


def test_a_changed_row_is_found_with_column_and_row(two, capsys):
    rows = [dict(row) for row in ROWS]
    rows[3]["score"] = 0.5
    write_rows(two[1] / "scores/strict/a.parquet", SCORES, rows, Provenance("score", {"x": 1}))
    assert list(differences(*two)) == ["scores/strict/a.parquet: column score differs in row 3"]
    assert main(["verify", *map(str, two)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 files differ"


def test_numbers_of_rows_columns_and_provenance_count(two):
    path = two[1] / "scores/strict/a.parquet"
    write_rows(path, SCORES, ROWS[:4], Provenance("score", {"x": 1}))
    assert list(differences(*two)) == ["scores/strict/a.parquet: 5 and 4 rows"]
    write_rows(path, SCORES, ROWS, Provenance("score", {"x": 2}))
    assert list(differences(*two)) == ["scores/strict/a.parquet: provenance differs"]
    pq.write_table(pa.table({"uid": ["a"]}), path)
    assert list(differences(*two)) == ["scores/strict/a.parquet: columns differ"]


def test_versions_of_libraries_count_only_when_asked(two):
    with_metadata(two[1] / "scores/strict/a.parquet", lambda content: content["versions"].update(numpy="0.1"))
    assert list(differences(*two)) == []
    assert list(differences(*two, strict=True)) == ["scores/strict/a.parquet: provenance differs"]


@pytest.mark.parametrize(("name", "line"), [("tables/x.csv", "bytes differ"), ("figures/x.pdf", "bytes differ")])
def test_tables_and_figures_are_compared_by_bytes(two, name, line):
    (two[1] / name).write_text("two")
    assert list(differences(*two)) == [f"{name}: {line}"]


def test_json_is_compared_by_content(two):
    path = two[1] / "models/m/model.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=None))
    assert list(differences(*two)) == []
    write_json(path, {"name": "other"})
    assert list(differences(*two)) == ["models/m/model.json: content differs"]


def test_a_file_on_one_side_only_is_named(two):
    (two[0] / "tables/x.csv").unlink()
    (two[1] / "models/m/model.json").unlink()
    assert list(differences(*two)) == [
        f"models/m/model.json: only in {two[0]}",
        f"tables/x.csv: only in {two[1]}",
    ]


@pytest.mark.parametrize("name", ["scores/strict/a.parquet", "models/m/model.json"])
def test_a_damaged_file_is_one_line(two, name, capsys):
    (two[1] / name).write_bytes(b"{damaged")
    assert main(["verify", *map(str, two)]) == 1
    captured = capsys.readouterr()
    assert [line for line in (captured.out + captured.err).splitlines() if name in line and "damaged" in line]


def test_something_that_is_no_folder_is_a_wrong_request(tmp_path, capsys):
    assert main(["verify", str(tmp_path), str(tmp_path / "none")]) == 2
    assert "is no folder; name two results folders" in capsys.readouterr().err
