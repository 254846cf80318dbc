"""Work that fails for good stays visible: failed rows, a reason in the table, and another try when asked for."""

import shutil

import pytest

from moco import paths
from moco.records import ANSWERS, GENERATIONS, SCORES, read_rows

pytestmark = pytest.mark.slow


@pytest.fixture
def damaged(finished, tmp_path, warm):
    """A study in which one model's weights are cut off after their header."""
    project = finished.copy(tmp_path / "project", warm)
    shutil.rmtree(project.results)
    folder = project.folder / "damaged"
    shutil.copytree(finished.results / "checkpoints/recall", folder)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])

    def change(config):
        config["models"]["broken"] = {"kind": "local", "path": "damaged"}
        config["pools"] = {"pair": ["add", "broken"]}
        config["failures"] = "record"
        config["retries"] = 1
        del config["tasks"]["quiz"]
        kept = ("control_best_single", "text_majority_vote", "logit_logit_fusion", "weight_greedy_soup")
        config["methods"] = {name: config["methods"][name] for name in kept}

    project.edit_config(change)
    return project


def test_recorded_failure_reaches_the_table_and_is_forgotten_when_asked(damaged, finished):
    damaged.snakemake()
    broken = damaged.results / paths.generation("broken", damaged.batch("mixed"), "test", 1, "s0")
    rows = read_rows(broken, GENERATIONS)
    assert {row["status"] for row in rows} == {"failed"}
    assert all("Safetensor" in row["reason"] for row in rows)
    good = read_rows(damaged.results / paths.generation("add", damaged.batch("mixed"), "test", 1, "s0"), GENERATIONS)
    assert {row["status"] for row in good} == {"ok"}
    answers = paths.answers("pair", damaged.batch("mixed"), "text_majority_vote", 1, "test")
    voted = read_rows(damaged.results / answers, ANSWERS)
    assert all(row["status"] == "failed" and row["reason"].startswith("broken: ") for row in voted)
    scored = damaged.results / paths.scores("strict", answers)
    assert all(row["status"] == "failed" and row["score"] is None for row in read_rows(scored, SCORES))
    table = (damaged.results / "tables/moco_main.md").read_text()
    assert "failed: " in table
    assert "0.0 [0.0, 0.0] n=8" not in table.split("text_majority_vote")[1].splitlines()[0]

    shutil.copy(finished.results / "checkpoints/recall/model.safetensors", damaged.folder / "damaged/model.safetensors")
    damaged.run("moco", "forget", "--failed")
    damaged.snakemake("results/small/tables/moco_main.md")
    assert {row["status"] for row in read_rows(broken, GENERATIONS)} == {"ok"}
    assert "failed: " not in (damaged.results / "tables/moco_main.md").read_text()


def test_without_recording_the_workflow_stops_and_keeps_what_is_finished(damaged):
    damaged.edit_config(lambda config: config.update(failures="stop", retries=0))
    broken, add = (
        damaged.results / paths.generation(model, damaged.batch("mixed"), "test", 1, "s0")
        for model in ("broken", "add")
    )
    wanted = [str(path.relative_to(damaged.folder)) for path in (broken, add)]
    done = damaged.snakemake("--keep-going", *wanted, check=False)
    assert done.returncode != 0
    assert add.exists()
    assert not broken.exists()
