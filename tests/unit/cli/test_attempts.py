"""Failed work: visible after the last attempt, never before, whatever killed it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moco import paths
from moco.cli.attempts import CHILD
from moco.config.load import study_from
from moco.config.runtime import write_study_file
from moco.errors import FailedInput
from moco.home import STUDY
from moco.records import GENERATIONS, read_rows, write_json
from moco.tasks.prepare import prepare
from moco.workflow.plan import Plan

pytestmark = pytest.mark.usefixtures("clean_environment")
SOURCE = {"kind": "synthetic", "skills": ["add"], "items": {"dev": 2, "test": 3}}
CONTENT = {
    "study": "s",
    "models": {"m": {"kind": "local", "path": "nowhere"}},
    "pools": {"p": ["m"]},
    "tasks": {"t": {"source": SOURCE}},
    "methods": {"control_random": {}},
}
PLAN = Plan(study_from(CONTENT, "test"))
[(_, BATCH)] = PLAN.matrix.singles
REPLIES = paths.generation("m", BATCH, "test", 1, "s0")


@pytest.fixture
def project(tmp_path):
    """A results folder with a task and no usable model, and a way to hurt the child."""
    prepare("t", PLAN.study.tasks["t"], tmp_path / "results/tasks/t", {})
    (tmp_path / "hook").mkdir()

    def start(child: str, attempt: int, *, retries: int = 1, failures: str = "record") -> subprocess.Popen[str]:
        hook = f"import os, signal, sys, time\nif {CHILD!r} in os.environ:\n    {child}\n"
        (tmp_path / "hook/sitecustomize.py").write_text(hook)
        arguments = ["generate", "--model", "m", "--batch", BATCH, "--split", "test", "--seed", "1", "--block", "s0"]
        arguments += ["--attempt", str(attempt)]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tmp_path / "hook"), os.environ.get("PYTHONPATH", "")]),
            STUDY: str(write_study_file({**CONTENT, "failures": failures, "retries": retries}, tmp_path)),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "moco", *arguments], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
        )

    return start


def rows(tmp_path: Path) -> list[dict]:
    return read_rows(tmp_path / "results" / REPLIES, GENERATIONS)


def is_written(tmp_path: Path) -> bool:
    return (tmp_path / "results" / REPLIES).exists()


KILL = "os.kill(os.getpid(), signal.SIGKILL)"


def test_a_killed_child_is_recorded_after_the_last_attempt_only(project, tmp_path):
    first = project(KILL, attempt=1)
    first.communicate()
    assert first.returncode == 1
    assert not is_written(tmp_path)
    last = project(KILL, attempt=2)
    _, said = last.communicate()
    assert last.returncode == 0
    assert "recorded as failed: killed, most likely out of memory" in said
    found = rows(tmp_path)
    assert [(row["task"], row["sample"]) for row in found] == [("t", 0)] * 3
    assert {(row["status"], row["reason"], row["text"], row["key"]) for row in found} == {
        ("failed", "killed, most likely out of memory", None, None)
    }
    assert (tmp_path / "results" / paths.perf(REPLIES)).exists()


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_time_limit_leaves_grace_to_record_the_last_attempt(project, tmp_path, attempt):
    mark = tmp_path / "started"
    job = project(f"open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)", attempt=attempt)
    for _ in range(300):
        if mark.exists() and mark.read_text():
            break
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    job.communicate(timeout=20)
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)
    if attempt == 1:
        assert job.returncode == 1
        assert not is_written(tmp_path)
    else:
        assert job.returncode == 0
        assert {row["reason"] for row in rows(tmp_path)} == {"time limit or preemption"}


def test_other_signals_and_exit_codes_are_named(project, tmp_path):
    job = project("os.kill(os.getpid(), signal.SIGSEGV)", attempt=1, retries=0)
    job.communicate()
    assert (job.returncode, rows(tmp_path)[0]["reason"]) == (0, "ended by signal 11")
    job = project("os._exit(9)", attempt=1, retries=0)
    job.communicate()
    assert (job.returncode, rows(tmp_path)[0]["reason"]) == (0, "ended with exit code 9")


def test_the_line_of_an_error_becomes_the_reason(project, tmp_path):
    job = project("pass", attempt=2)
    _, said = job.communicate()
    assert job.returncode == 0
    assert "results/models/m/model.json: file is missing; run the rule that makes it" in said
    assert rows(tmp_path)[0]["reason"] == "results/models/m/model.json: file is missing; run the rule that makes it"


def test_a_wrong_request_is_never_recorded(project, tmp_path):
    job = project("os._exit(2)", attempt=2)
    job.communicate()
    assert job.returncode == 2
    assert not is_written(tmp_path)


def test_where_failures_stop_the_run_nothing_is_recorded(project, tmp_path):
    job = project("pass", attempt=2, failures="stop")
    _, said = job.communicate()
    assert job.returncode == 1
    assert not is_written(tmp_path)
    assert "recorded" not in said


@pytest.mark.parametrize("failures", ["stop", "record"])
def test_an_input_that_failed_makes_failed_rows_at_once(project, tmp_path, failures):
    write_json(tmp_path / "results/models/m/model.json", {"failed": "merge: killed"})
    job = project("pass", attempt=1, failures=failures)
    _, said = job.communicate()
    assert job.returncode == 0, said
    assert {(row["status"], row["reason"]) for row in rows(tmp_path)} == {("failed", "merge: killed")}


def test_a_failed_input_is_work_that_failed():
    assert FailedInput("x").exit_code == 1
    assert FailedInput("x").reason == "x"
