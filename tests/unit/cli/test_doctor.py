import subprocess
import sys

import pytest
from support.fake_vllm import fake_environment

from moco.cli import main
from moco.machine import findings


def test_doctor_names_every_part_of_the_machine(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MOCO_DEVICES", "3")
    assert main(["doctor", "--results", str(tmp_path / "results")]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {line.split()[0]: line for line in lines if not line.startswith(" ")}
    assert list(found) == ["python", "engines", "vllm", "gpus", "slurm", "bubblewrap", "cores", "disk", "store"]
    assert found["gpus"].split() == ["gpus", "3"]


def test_doctor_imports_no_torch(tmp_path):
    code = (
        "import sys; from moco.cli import main; main(['doctor', '--results', sys.argv[1]]);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True).returncode == 0


def test_the_environment_of_vllm_is_found_where_it_is_installed(tmp_path, clean_environment):
    def vllm():
        return next(finding for finding in findings(tmp_path / "results") if finding.name == "vllm")

    assert vllm().found == f"none at {tmp_path / '.venv-vllm/bin/python'}"
    assert "make install-vllm" in vllm().allows
    fake_environment(tmp_path / ".venv-vllm")
    assert vllm().found.startswith("vllm 0.0.1 for the CPU, ")
    elsewhere = fake_environment(tmp_path / "elsewhere", "vllm")
    clean_environment.setenv("MOCO_VLLM_PYTHON", str(elsewhere))
    assert vllm().found == f"vllm 0.0.1 for GPUs, {elsewhere}"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Return a way to ask what is found where SLURM's commands print this and end so."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def found(**commands):
        for name, (output, code) in commands.items():
            (tmp_path / name).write_text(f"#!/bin/sh\necho '{output}'\nexit {code}\n")
            (tmp_path / name).chmod(0o755)
        (finding,) = (finding for finding in findings(tmp_path) if finding.name == "slurm")
        return finding

    return found


def test_without_slurm_jobs_run_here(slurm):
    assert slurm().allows == "jobs run on this machine"


def test_slurm_commands_without_a_controller_submit_nothing(slurm):
    finding = slurm(sbatch=("", 0), sinfo=("", 1))
    assert finding.found == "sbatch, but sinfo gets no answer"
    assert finding.allows == "jobs run on this machine"


def test_partitions_of_a_cluster_are_listed_with_their_gpus(slurm):
    nodes = "cpu (null)\nlong gpu:a100:4(S:0,2),shard:8\nlong gpu:h100:8\nlong gpu:a100:4(S:0,2)"
    finding = slurm(sbatch=("", 0), sinfo=(nodes, 0), sacct=("", 0))
    assert finding.found.startswith("partitions cpu, long (gpu:a100:4, gpu:h100:8); plugin ")
    assert finding.allows == "snakemake --workflow-profile profiles/slurm submits jobs"


def test_a_cluster_without_accounting_needs_another_status_command(slurm):
    finding = slurm(sbatch=("", 0), sinfo=("cpu (null)", 0), sacct=("", 1))
    assert "slurm-status-command: squeue" in finding.allows
