"""Start, beside Snakemake, the process that forks its local jobs (`moco.cli.forks`)."""

import atexit
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from moco.home import FORK_SERVER
from moco.workflow.plan import Plan

_WORTH_IT = 8
"""Jobs from which on it saves more than it takes."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def fork_jobs(workflow: Any, plan: Plan) -> None:
    """Let jobs of this run be forks, where all of them run on this machine in this environment, without GPUs.

    With `MOCO_FORK_SERVER=off` they are not.

    Args:
        workflow: Snakemake's workflow object, about to run its jobs.
        plan: Its plan.
    """
    if os.environ.get(FORK_SERVER) or sys.platform != "linux" or len(workflow.dag) < _WORTH_IT:
        return
    # Which GPUs there are is settled when torch is imported. A replay makes tables alone.
    if plan.bundle or plan.study.site.use_gpu or not _runs_here(workflow):
        return
    folder = tempfile.TemporaryDirectory(prefix="moco-")
    atexit.register(folder.cleanup)
    address = Path(folder.name, "socket")
    _start(address)
    os.environ[FORK_SERVER] = str(address)
    _measure_forks(address.parent)


def _runs_here(workflow: Any) -> bool:
    """Return whether the jobs run on this machine, in the environment of Snakemake."""
    local = workflow.is_main_process and workflow.executor_plugin.common_settings.local_exec
    return bool(local and not workflow.touch and not workflow.deployment_settings.deployment_method)


def _start(address: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(address))
        listening.listen(64)
        server = subprocess.Popen(
            [sys.executable, "-m", "moco.cli.forks", str(listening.fileno()), str(address.parent)],
            env={**os.environ, **dict.fromkeys(_THREADS, "1")},
            pass_fds=[listening.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    atexit.register(server.communicate)  # ends its input, by which it ends, also when Snakemake is killed


def _measure_forks(folder: Path) -> None:
    """Let Snakemake's benchmarks see a job's fork, which is no child of its command."""
    import psutil
    from snakemake import benchmark

    made = benchmark.BenchmarkTimer.__init__

    def observing(timer: Any, pid: int, *arguments: Any) -> None:
        made(timer, pid, *arguments)
        own = timer.main.children

        def children(recursive: bool = False) -> list[Any]:
            found = list(own(recursive=recursive))
            for process in [timer.main, *found]:
                try:
                    job = psutil.Process(int((folder / str(process.pid)).read_text(encoding="ascii")))
                    found += [job, *job.children(recursive=recursive)]
                except (OSError, ValueError, psutil.NoSuchProcess):
                    pass  # no command of a fork, or it has just begun or ended
            return found

        timer.main.children = children

    benchmark.BenchmarkTimer.__init__ = observing
