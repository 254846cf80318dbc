"""A pool of two local models and a served one, from a blank folder to tables."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.projects import Project, new_project

from moco import paths
from moco.records import COSTS, GENERATIONS, read_json, read_rows

pytestmark = pytest.mark.slow

KEY = "sk-very-secret-0123456789"
NO_SECOND_TRY = {"far": {"requests": {"retries": 0}}}
RUN = ("control_best_single", "text_majority_vote", "text_multiagent_refine", "text_slm_mux")


@pytest.fixture(scope="module")
def served(tmp_path_factory, zoo_cache, warm) -> Project:
    project = new_project(tmp_path_factory.mktemp("served") / "project", zoo_cache, "config/test/served.yaml", warm)
    command = [sys.executable, "-m", "support.llm_server"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as server:
        endpoint = server.stdout.readline().strip()
        project.edit_config(lambda study: study["models"]["far"].update(endpoint=endpoint))
        project.snakemake(WISE_KEY=KEY)
        server.stdin.close()
        server.wait()
    return project


def far(project: Project) -> str:
    return paths.generation("far", project.batch("mixed"), "test", 1, "s0")


def asking_far(project: Project) -> list[str]:
    [command] = project.logged_commands(
        "generate", f"--model far --batch {project.batch('mixed')} --split test --seed 1 --block s0"
    )
    return shlex.split(command)


def test_what_the_served_model_can_do_is_done(served):
    for method in RUN:
        path = paths.answers("trio", served.batch("mixed"), method, 1, "test")
        assert (served.results / path).is_file(), method
    replies = read_rows(served.results / far(served), GENERATIONS)
    assert [row["status"] for row in replies] == ["ok"] * 6
    assert all(row["text"].startswith("\\box{") and row["completion_tokens"] == 3 for row in replies)
    info = read_json(served.results / paths.model_json("far"))
    assert (info["kind"], info["parameters"], info["capabilities"]) == ("server", None, ["generate"])


def test_the_rest_is_not_applicable_and_has_no_job(served):
    text = (served.results / "tables/moco_main.md").read_text()
    assert "not applicable: far is a server model without weights" in text
    assert "not applicable: far is a server model without logits" in text
    assert "Class: sampled." in text
    answered = {path.parent.parent.name for path in (served.results / "answers/trio").rglob("*.parquet")}
    assert answered == set(RUN)


def test_unknown_work_is_no_zero(served):
    costs = read_rows(
        served.results / paths.costs("trio", served.batch("mixed"), "text_majority_vote", 1, "test"), COSTS
    )
    [far] = [row for row in costs if row["model"] == "far"]
    assert (far["flops"], far["parameters"], far["loads"]) == (None, None, 0)
    assert far["completion_tokens"] == 3 * 6
    assert all(row["flops"] > 0 and row["loads"] == 1 for row in costs if row["model"] != "far")
    lines = (served.results / "tables/moco_main.md").read_text().splitlines()
    [vote] = [line for line in lines if "| trio | text_majority_vote |" in line]
    assert [cell.strip() for cell in vote.split("|")][-4] == "-"
    [add] = [line for line in lines if "| trio | add |" in line]
    assert "-" not in [cell.strip() for cell in add.split("|")][-5:]


def test_the_key_is_in_no_file(served):
    found = [path for path in served.folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert found == []


def test_a_finished_study_asks_nothing_again(served):
    """The server is gone by now."""
    assert "Nothing to be done" in served.planned().output
    again = served.run(*asking_far(served), WISE_KEY=KEY, MOCO_STUDY=served.study_file)
    assert "6 in the store" in again.stderr
    study = served.study_with(models=NO_SECOND_TRY)
    elsewhere = {"MOCO_STORE": str(served.folder / "empty"), "MOCO_STUDY": study, "WISE_KEY": KEY}
    lost = served.run(*asking_far(served), check=False, **elsewhere)
    assert lost.returncode == 1
    assert "models.far: no reply: cannot be reached at http://127.0.0.1" in lost.stderr
    assert "Traceback" not in lost.stderr


def test_a_server_that_is_gone_leaves_failed_rows_where_failures_are_recorded(served, tmp_path):
    project = served.copy(tmp_path / "project")
    study = project.study_with(models=NO_SECOND_TRY, failures="record", retries=0)
    done = project.run(*asking_far(served), MOCO_STORE=str(tmp_path / "empty"), MOCO_STUDY=study, WISE_KEY=KEY)
    assert "recorded as failed: models.far: no reply: cannot be reached" in done.stderr
    rows = read_rows(project.results / far(project), GENERATIONS)
    assert {row["status"] for row in rows} == {"failed"}
    assert {row["text"] for row in rows} == {None}
    assert all("cannot be reached" in row["reason"] for row in rows)
