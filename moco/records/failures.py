"""Finding recorded failures in a results folder."""

import shutil
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from moco.records.files import read_json


def forget_failures(results: Path) -> list[Path]:
    """Remove every record file with a failed row, every failed fit, merge and model, and return what was removed.

    Where there are any, tables, figures and report go too: Snakemake makes no missing file while what it was needed for
    is there.
    """
    removed = []
    for folder in ("generations", "logits", "answers", "scores"):
        for path in sorted((results / folder).rglob("*.parquet")):
            if _has_failed_rows(path):
                path.unlink()
                removed.append(path)
    for mark in sorted(results.rglob("failed.json")):
        shutil.rmtree(mark.parent)
        removed.append(mark.parent)
    for name in ("model.json", "recipe.json"):
        for path in sorted((results / "models").rglob(name)):
            if "failed" in read_json(path):
                path.unlink()
                removed.append(path)
    if removed:
        for output in (*results.glob("tables/*"), *results.glob("figures/*"), *results.glob("report.html")):
            output.unlink()
    return removed


def _has_failed_rows(path: Path) -> bool:
    schema = pq.read_schema(path)
    if "status" not in schema.names:
        return False
    status = pq.ParquetFile(path).read(columns=["status"])["status"]
    return bool(pc.any(pc.equal(status, "failed")).as_py())
