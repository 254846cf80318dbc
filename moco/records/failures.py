"""Removing recorded failures from a study's results folder, with what was made from them."""

import shutil
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from moco import paths
from moco.records.files import read_json

_FOLDERS = {"fits": 5, "checkpoints": 2, "evolution": 4}
"""Folders that one job makes, with all tasks or students in them: their depth below the results folder."""


def forget_failures(results: Path) -> list[Path]:
    """Remove every record file with a failed row, every failed fit, merge, student and model, and return them.

    Where there are any, what is collected from them goes too, with tables, figures and report: Snakemake makes no
    missing file while what it was needed for is there.

    Args:
        results: The study's results folder.
    """
    removed = []
    for folder in ("generations", "logits", "answers", "scores"):
        for path in sorted((results / folder).rglob("*.parquet")):
            if _has_failed_rows(path):
                path.unlink()
                removed.append(path)
    marks = (mark.relative_to(results).parts for mark in sorted(results.rglob("failed.json")))
    for parts in dict.fromkeys(parts[: _FOLDERS[parts[0]]] for parts in marks if parts[0] in _FOLDERS):
        folder_of_job = results.joinpath(*parts)
        shutil.rmtree(folder_of_job)
        for measured in (paths.perf(str(folder_of_job)), paths.job_perf(str(folder_of_job))):
            Path(measured).unlink(missing_ok=True)
        removed.append(folder_of_job)
    for path in sorted((results / "models").rglob("model.json")):
        if "failed" in read_json(path):
            path.unlink()
            removed.append(path)
    if removed:
        for collected in results.glob("analysis/*/*"):
            collected.unlink()
        remove_outputs(results)
    return removed


def remove_outputs(results: Path) -> None:
    """Remove tables, figures and the report with its examples."""
    for output in (*results.glob("tables/*"), *results.glob("figures/*"), *results.glob("examples/*")):
        output.unlink()
    (results / "report.html").unlink(missing_ok=True)


def _has_failed_rows(path: Path) -> bool:
    schema = pq.read_schema(path)
    if "status" not in schema.names:
        return False
    status = pq.ParquetFile(path).read(columns=["status"])["status"]
    return bool(pc.any(pc.equal(status, "failed")).as_py())
