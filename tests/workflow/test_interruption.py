"""Killed in the middle, run again: what was stored is not made again, and the result is the same."""

import os
import signal
import subprocess
import time
from dataclasses import replace

import pytest
from support.killing import Command
from support.projects import BIN
from support.stores import shards, stored_keys

pytestmark = pytest.mark.slow

SLOWLY = {"engine": {"batch_rows": 1, "flush_seconds": 0.01}}


@pytest.mark.parametrize(
    ("verb", "needle"),
    [
        ("generate", "--model add --batch zoo-exact_match-"),
        ("answer", "--method refine-2 --seed 1 --split test"),
        ("fit", "--method weight_greedy_soup"),
    ],
)
def test_kill_in_the_middle_loses_nothing(finished, warm, tmp_path, verb, needle):
    project = finished.copy(tmp_path / "project", warm)
    command = finished.logged_commands(verb, needle)[0]
    subprocess.run(["rm", "-rf", str(project.folder / ".moco/store")], check=True)
    environment = {
        **project.environment,
        "MOCO_STUDY": project.study_with(**SLOWLY),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }
    # `exec` takes the program itself, so that what is killed is no warm job; what finishes the work is one.
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=project.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    # Counted by files, since the work may be over before a reader of all keys has looked twice.
    while len(shards(project)) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert process.poll() is None, "the work ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    survived = stored_keys(project)
    assert len(survived) >= 3
    subprocess.run(["bash", "-c", command], cwd=project.folder, env=environment, check=True, capture_output=True)
    after = stored_keys(project)
    assert after[: len(survived)] == survived or set(survived) <= set(after)
    assert len(after) == len(set(after)), "a stored request was generated again"
    assert len(after) > len(survived)
    done = project.run("moco", "verify", str(finished.results), str(project.results), check=False)
    assert done.stdout == "equal\n", done.stdout


def test_killed_workflow_finishes_with_the_same_result_in_whatever_batches(finished, blank):
    project = blank
    project.edit_config(lambda config: config["engine"].update(batch_rows=3))
    # A process is found by its environment, which forked ones do not show.
    command = Command(replace(project, warm=None), "snakemake", "--cores", "2")
    deadline = time.monotonic() + 180
    while not stored_keys(project) and time.monotonic() < deadline:
        time.sleep(0.1)
    command.kill()
    project.snakemake("--unlock")
    project.snakemake()
    assert project.run("moco", "verify", str(finished.results), str(project.results)).stdout == "equal\n"
    keys = stored_keys(project)
    assert len(keys) == len(set(keys))
