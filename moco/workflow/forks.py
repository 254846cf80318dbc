"""Start, beside Snakemake, the process that forks its local jobs (`moco.cli.forks`)."""

import atexit
import os
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

from moco.home import FORK_NAME, FORK_SERVER
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
    local = workflow.is_main_process and workflow.executor_plugin.common_settings.local_exec
    if not local or workflow.touch or workflow.deployment_settings.deployment_method:
        return
    # Which GPUs there are is settled when torch is imported. A replay makes tables alone.
    if plan.bundle or plan.study.site.use_gpu:
        return
    folder = tempfile.TemporaryDirectory(prefix="moco-")
    atexit.register(folder.cleanup)
    address = Path(folder.name, "socket")
    _measure_forks(_start(address))
    os.environ[FORK_SERVER] = str(address)


def _start(address: Path) -> int:
    """Start the process that listens at an address and return its number."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(address))
        listening.listen(64)
        fd = listening.fileno()
        command = [sys.executable, "-m", "moco.cli.forks", str(fd), str(address.parent)]
        env = {**os.environ, **dict.fromkeys(_THREADS, "1")}
        server = Popen(
            command, env=env, pass_fds=[fd], stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
        )
    atexit.register(server.communicate)  # ends its input, by which it ends, also when Snakemake is killed
    return server.pid


def _measure_forks(server: int) -> None:
    """Let Snakemake's benchmarks see a job's fork, which is no child of its command."""
    import psutil
    from snakemake import benchmark

    made = benchmark.BenchmarkTimer.__init__

    def observing(timer: Any, pid: int, *arguments: Any) -> None:
        made(timer, pid, *arguments)
        own = timer.main.children

        def children(recursive: bool = False) -> list[Any]:
            found = list(own(recursive=recursive))
            callers = {FORK_NAME.format(process.pid) for process in (timer.main, *found)}
            with suppress(psutil.NoSuchProcess):
                for job in psutil.Process(server).children():
                    if job.name() in callers:
                        found += [job, *job.children(recursive=recursive)]
            return found

        timer.main.children = children

    benchmark.BenchmarkTimer.__init__ = observing
