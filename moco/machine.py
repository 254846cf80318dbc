"""What a machine has, looked up without importing anything heavy."""

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from moco.devices import device_count
from moco.engines.vllm.environment import installed, python_path
from moco.errors import RequestError
from moco.home import home, store_root

_INSTALL = "pip install --constraint constraints.txt '.[{}]' in the folder of MoCo"
"""The distribution, `moco-bench`, is not on the package index; `moco` there is somebody else's."""


@dataclass(frozen=True)
class Finding:
    """One fact and what follows from it."""

    name: str
    found: str
    allows: str


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def findings(results: Path) -> list[Finding]:
    """Return what this machine has and what that allows.

    Args:
        results: The results folder, whose disk is measured.
    """
    return [
        _python(),
        _torch(),
        _vllm(results),
        _gpus(),
        _slurm(),
        _sandbox(),
        _cores(),
        _disk(results),
        _store(results),
    ]


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _python() -> Finding:
    return Finding("python", platform.python_version(), f"snakemake {_installed('snakemake') or 'is missing'}")


def _torch() -> Finding:
    torch, transformers = _installed("torch"), _installed("transformers")
    if torch and transformers:
        return Finding("engines", f"torch {torch}, transformers {transformers}", "models run with engine transformers")
    return Finding(
        "engines",
        "no torch and transformers",
        f"scores, tables, figures and report can be made; for models: {_INSTALL.format('run')}",
    )


def _vllm(results: Path) -> Finding:
    python = python_path(home(results))
    found = installed(python)
    if found is None:
        return Finding("vllm", f"none at {python}", "no models with engine vllm; to have them: make install-vllm")
    device = "GPUs" if found.device == "gpu" else "the CPU"
    return Finding("vllm", f"vllm {found.version} for {device}, {python}", "models run with engine vllm")


def _gpus() -> Finding:
    count = device_count()
    if count:
        return Finding("gpus", str(count), "set site.use_gpu in the study, and gpu in a profile")
    return Finding("gpus", "none", "models run on the CPU, in exact mode")


def _slurm() -> Finding:
    plugin = _installed("snakemake-executor-plugin-slurm")
    if shutil.which("sbatch") is None:
        return Finding("slurm", "no sbatch", "jobs run on this machine")
    partitions = _answer("sinfo", "--noheader", "--format=%R %G")
    if partitions is None:
        return Finding("slurm", "sbatch, but sinfo gets no answer", "jobs run on this machine")
    found = f"partitions {_partitions(partitions)}; plugin {plugin or 'missing'}"
    if plugin is None:
        return Finding("slurm", found, f"to submit jobs: {_INSTALL.format('slurm')}")
    allows = "snakemake --workflow-profile profiles/slurm submits jobs"
    if _answer("sacct", "--noheader") is None:
        allows += "; no accounting here, so write slurm-status-command: squeue in the profile"
    return Finding("slurm", found, allows)


def _partitions(lines: str) -> str:
    """Return names of partitions, with their GPUs if they have any."""
    gpus: dict[str, list[str]] = {}
    for line in lines.splitlines():
        name, _, resources = line.partition(" ")
        gpus.setdefault(name, []).extend(re.findall(r"\bgpu(?::[\w.-]+)*", resources))
    return ", ".join(f"{name} ({', '.join(dict.fromkeys(had))})" if had else name for name, had in gpus.items())


def _answer(*command: str) -> str | None:
    """Return what a command prints; None when it fails or takes longer than ten seconds."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def _sandbox() -> Finding:
    from moco.scoring.sandbox.runs import runner

    bwrap = shutil.which("bwrap") or "none"
    try:
        runner("bwrap")
    except RequestError as error:
        return Finding("bubblewrap", bwrap, f"no tasks of type coding: {error.what}")
    return Finding("bubblewrap", bwrap, "tasks of type coding, with scoring.code.allow: true")


def _cores() -> Finding:
    cores = usable_cores()
    return Finding("cores", str(cores), f"snakemake --cores {cores}: every job uses one")


def _disk(results: Path) -> Finding:
    place = results.resolve()
    while not place.exists():
        place = place.parent
    return Finding("disk", f"{shutil.disk_usage(place).free / 1e9:.0f} GB free", f"below {place}")


def _store(results: Path) -> Finding:
    root = store_root(results)
    shards = sum(1 for _ in root.glob("generations/*/*/*.parquet"))
    return Finding("store", f"{shards} shards", str(root))
