"""Real questions through every method."""

import os

import pytest
from support.projects import new_project

from moco.records import SCORES, read_frame

pytestmark = pytest.mark.slow


@pytest.mark.skipif("MOCO_SHARED" not in os.environ, reason="MOCO_SHARED names no folder with real datasets")
def test_real_questions_through_every_method_with_full_coverage(tmp_path, zoo_cache):
    project = new_project(tmp_path / "project", zoo_cache, "config/test/real.yaml")
    project.snakemake()
    files = sorted((project.results / "scores/strict").rglob("test.parquet")) + sorted(
        path for path in (project.results / "scores/strict/generations").rglob("s0.parquet") if "/test/" in str(path)
    )
    assert len(files) == 2 * 5 + 2 * 3
    for path in files:
        scores = read_frame(path, SCORES)
        assert len(scores) == 60
        assert not (scores["status"] == "failed").any()
    table = (project.results / "tables/moco_main.csv").read_text()
    assert "failed" not in table
