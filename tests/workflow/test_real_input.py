"""Real questions through every method."""

import os

import pandas as pd
import pytest
from support.projects import new_project

from moco.records import SCORES, read_frame, read_json

pytestmark = pytest.mark.slow


@pytest.mark.skipif("MOCO_SHARED" not in os.environ, reason="MOCO_SHARED names no folder with real datasets")
def test_real_questions_through_every_method_with_full_coverage(tmp_path, zoo_cache, warm):
    project = new_project(tmp_path / "project", zoo_cache, "config/test/real.yaml", warm)
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


@pytest.mark.skipif("MOCO_SHARED" not in os.environ, reason="MOCO_SHARED names no folder with real datasets")
def test_every_file_goes_from_its_items_to_scores_of_both_rule_sets(tmp_path, zoo_cache, warm):
    project = new_project(tmp_path / "project", zoo_cache, "config/test/files.yaml", warm)
    project.snakemake()
    tasks = {path.parent.name: read_json(path)["splits"] for path in (project.results / "tasks").glob("*/task.json")}
    assert len(tasks) == 22
    scored = {}
    for rules in ("strict", "paper"):
        files = (project.results / "scores" / rules / "generations/base").glob("*/test/seed1/s0.parquet")
        scored[rules] = pd.concat([read_frame(path, SCORES) for path in files])
    for task, splits in tasks.items():
        for rules in ("strict", "paper"):
            scores = scored[rules][scored[rules]["task"] == task]
            assert len(scores) == splits["test"]["items"] <= 8
            expected = {"open": {"strict": {"unscored"}}}.get(task, {}).get(rules, {"ok", "unparsed", "invalid"})
            assert set(scores["status"]) <= expected
    assert {path.stem for path in (project.results / "tables").glob("*.csv")} >= {"data_quality", "scorer_difference"}
