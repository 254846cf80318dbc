"""GPUs of a job: a short grant is refused, neighbours get others."""

import os
import subprocess
import sys
import time

import pytest

from moco.devices import device_count, granted_devices
from moco.errors import WorkError


@pytest.fixture(autouse=True)
def environment(clean_environment, tmp_path):
    clean_environment.setenv("TMPDIR", str(tmp_path))
    clean_environment.setattr("tempfile.tempdir", None)
    return clean_environment


def test_a_short_grant_is_refused_before_any_work():
    with (
        pytest.raises(WorkError, match=r"resources\.gpu: 1 of 2 GPUs were granted; raise `resources: gpu`"),
        granted_devices(1, 2),
    ):
        pytest.fail("the job ran")


def test_a_job_without_gpus_takes_none():
    with granted_devices(0, 0):
        assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_what_the_scheduler_set_is_kept(environment):
    environment.setenv("CUDA_VISIBLE_DEVICES", "GPU-abc")
    with granted_devices(2, 2):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-abc"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-abc"


def test_a_machine_with_too_few_devices_is_one_line(environment):
    environment.setenv("MOCO_DEVICES", "1")
    with pytest.raises(WorkError, match="this machine has 1 GPUs, the job needs 2; use another"), granted_devices(2, 2):
        pytest.fail("the job ran")


def test_a_job_gets_as_many_devices_as_it_needs_and_gives_them_back(environment):
    environment.setenv("MOCO_DEVICES", "3")
    for _ in range(2):
        with granted_devices(3, 2):
            assert sorted(os.environ["CUDA_VISIBLE_DEVICES"].split(",")) == ["0", "1"]
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
    with pytest.raises(RuntimeError), granted_devices(1, 1):
        raise RuntimeError
    with granted_devices(3, 3):
        assert len(os.environ["CUDA_VISIBLE_DEVICES"].split(",")) == 3


def test_devices_are_counted_without_torch(environment, tmp_path):
    script = tmp_path / "nvidia-smi"
    script.write_text("#!/bin/sh\necho 'GPU 0: A100 (UUID: GPU-1)'\necho 'GPU 1: A100 (UUID: GPU-2)'\n")
    script.chmod(0o755)
    environment.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert device_count() == 2
    environment.setenv("MOCO_DEVICES", "5")
    assert device_count() == 5


_JOB = """
import os, sys
from moco.devices import granted_devices
with granted_devices(1, 1):
    print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.readline()
"""


def test_processes_at_once_get_distinct_devices_and_a_third_waits(environment):
    environment.setenv("MOCO_DEVICES", "2")
    jobs = [
        subprocess.Popen([sys.executable, "-c", _JOB], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    leased = {job.stdout.readline().strip() for job in jobs}
    assert leased == {"0", "1"}
    third = subprocess.Popen([sys.executable, "-c", _JOB], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        third.wait(timeout=1)
    jobs[0].communicate("\n")
    assert third.stdout.readline().strip() in leased
    jobs[1].communicate("\n")
    third.communicate("\n")
    assert third.returncode == 0


def test_a_job_that_waits_for_devices_holds_none(environment):
    environment.setenv("MOCO_DEVICES", "2")
    two = _JOB.replace("granted_devices(1, 1)", "granted_devices(2, 2)")

    def start(code):
        kept = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        return subprocess.Popen(
            [sys.executable, "-c", code], env=kept, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    with granted_devices(1, 1):
        waiting = start(two)
        time.sleep(1.2)
        other = start(_JOB)
        assert other.stdout.readline() == "1\n"
        other.communicate("\n")
        assert waiting.poll() is None
    assert waiting.stdout.readline() == "0,1\n"
    waiting.communicate("\n")


_PAIR = _JOB.replace("granted_devices(1, 1)", "granted_devices(2, 2)").replace("sys.stdin.readline()", "pass")


def test_jobs_that_need_several_devices_never_wait_for_each_other_for_ever(environment):
    environment.setenv("MOCO_DEVICES", "3")
    jobs = [subprocess.Popen([sys.executable, "-c", _PAIR], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for job in jobs:
        out, _ = job.communicate(timeout=30)
        assert len(set(out.strip().split(","))) == 2
