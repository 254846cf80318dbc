"""Paid cost: what the jobs behind a study really did."""

from pathlib import Path

import pandas as pd

from moco import paths
from moco.records import ALL_JOBS_PERF, read_rows

_OWN = ["pool", "name", "level", "part"]


def load_jobs(results: Path) -> pd.DataFrame:
    """Return what every model did in every job of a study.

    Returns:
        One row per job and model: pool (empty for single models), name, level, part (`plain responses`, `fit`,
        `made models' responses`, `logits`, `answer` or `scoring`), and the columns of `JOB_PERF`.
    """
    rows = read_rows(results / paths.collected(paths.BENCHMARK, "jobs_perf"), ALL_JOBS_PERF)
    return pd.DataFrame(rows, columns=ALL_JOBS_PERF.columns.names, dtype=object)  # a seed may be missing, and is an int


def load_paid(results: Path) -> pd.DataFrame:
    """Return what every job did, all models of it together.

    Returns:
        One row per job and model: pool, name, level, part, replies, new (not cached), tokens (of new replies), written
        (completion tokens of new replies), seconds (of new replies), loads.
    """
    jobs = load_jobs(results)
    spent = {
        "replies": jobs["items"],
        "new": jobs["items"] - jobs["cached"],
        "tokens": jobs["read_tokens"] + jobs["made_tokens"],
        "written": jobs["made_tokens"],
        "seconds": jobs["seconds"],
        "loads": jobs["loads"],
    }
    return pd.DataFrame({**jobs[_OWN], **spent})
