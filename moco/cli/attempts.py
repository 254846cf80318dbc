"""Failures that stay visible: work that fails for good leaves valid files that say so.

With `failures: record` the work runs in a child process. The parent outlives the child's out-of-memory kill and uses
the grace that a scheduler gives at a time limit. Only after the last attempt are failed files written.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from moco.config.runtime import LAST_ATTEMPT, failure_settings
from moco.errors import FailedInput
from moco.home import STUDY

CHILD = "MOCO_CHILD"


def add_attempt_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which a rule passes its attempt and its grant of GPUs."""
    parser.add_argument("--attempt", type=int, default=1, help="number of this attempt, from 1")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs granted by the scheduler")


def run_recorded(module: Any, options: argparse.Namespace, arguments: list[str]) -> int:
    """Run a verb; a failed input or, where failures are recorded, a last failed attempt becomes failed rows."""
    from moco.devices import granted_devices

    records, retries = failure_settings()
    with granted_devices(options.gpus, _needed_gpus(module, options)) as devices:
        if devices and CHILD not in os.environ:
            print(f"GPU {devices}", file=sys.stderr, flush=True)
        if not records or CHILD in os.environ:
            return _run_here(module, options)
        last = options.attempt > retries
        reason, code = _run_child(arguments, last)
    if code in (0, 2) or not last:
        return code
    module.record_failure(options, reason)
    print(f"recorded as failed: {reason}", file=sys.stderr)
    return 0


def _needed_gpus(module: Any, options: argparse.Namespace) -> int:
    """Return the GPUs that the plan asks for; none for a command without a study."""
    if STUDY not in os.environ:
        return 0
    from moco.cli.jobs import plan

    name = module.STAGE if hasattr(module, "STAGE") else module.stage(options)
    return int(getattr(plan(), name).gpu(options))


def _run_here(module: Any, options: argparse.Namespace) -> int:
    try:
        return int(module.run(options) or 0)
    except FailedInput as error:
        module.record_failure(options, error.reason)
        print(f"recorded as failed: {error.reason}", file=sys.stderr)
        return 0


def _run_child(arguments: list[str], last: bool) -> tuple[str, int]:
    """Return why the child failed and its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reason"
        environment = {**os.environ, CHILD: "1", "MOCO_REASON_FILE": str(path), LAST_ATTEMPT: str(int(last))}
        child = subprocess.Popen([sys.executable, "-m", "moco", *arguments], env=environment)
        stopped = []

        def stop(number: int, _frame: Any) -> None:
            stopped.append(number)
            child.kill()

        previous = signal.signal(signal.SIGTERM, stop)
        try:
            code = child.wait()
        finally:
            signal.signal(signal.SIGTERM, previous)
        if stopped:
            return "time limit or preemption", 1
        if code == -signal.SIGKILL:
            return "killed, most likely out of memory", 1
        if code < 0:
            return f"ended by signal {-code}", 1
        return path.read_text(encoding="utf-8") if path.exists() else f"ended with exit code {code}", code
