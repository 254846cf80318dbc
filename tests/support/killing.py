"""Commands that are killed without a chance to clean up, as by the loss of a machine."""

import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from support.projects import BIN, Project

_MARK = "KILLED_WITH"
_PAUSE = 0.05
_PROGRAMS = ("moco", "socket")


@dataclass(frozen=True)
class Job:
    """A running `moco` command.

    Attributes:
        pid: Its process.
        verb: What it does.
        work: The verb; of a fit with the variant that it fits.
        words: All that stands behind it on the command line.
    """

    pid: int
    verb: str
    work: str
    words: tuple[str, ...] = ()

    def wait_until_it_used(self, cpu_seconds: float, seconds: float = 600) -> None:
        """Return once it has computed that long, which other work on this machine does not change, or is over."""
        deadline = time.monotonic() + seconds
        while (used := self._cpu_seconds()) is not None and used < cpu_seconds:
            assert time.monotonic() < deadline, f"{self.verb} computed only {used} seconds within {seconds}"
            time.sleep(_PAUSE)

    def _cpu_seconds(self) -> float | None:
        try:
            # Its name, which may have blanks, stands in brackets before these.
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        state, user, system = fields[0], *map(int, fields[11:13])
        return None if state == "Z" else (user + system) / os.sysconf("SC_CLK_TCK")


class Command:
    """A command of a project, and every process that it started, in whatever session.

    Processes are found by a mark in their environment, since the parent of one that was left behind is forgotten.

    Args:
        project: Where it runs.
        command: Its words; the first is a program of this environment.
        log: Receives what it says.
        environment: Variables beside the project's own.
    """

    def __init__(self, project: Project, *command: str, log: Path | None = None, **environment: str) -> None:
        self._mark = f"{_MARK}={uuid.uuid4()}"
        mark = dict([self._mark.split("=")])
        with (log or Path(os.devnull)).open("a") as stream:
            self._process = subprocess.Popen(
                [str(BIN / command[0]), *command[1:]],
                cwd=project.folder,
                env={**project.environment, **environment, **mark},
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def exit_code(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._process.poll()

    def wait(self) -> int:
        """Return its exit code once it ends."""
        return self._process.wait()

    def processes(self) -> list[int]:
        """Return the ids of all its processes."""
        return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if self._is_mine(path)]

    def _is_mine(self, path: Path) -> bool:
        try:
            return self._mark.encode() in path.read_bytes().split(b"\0")
        except OSError:
            return False

    def jobs(self) -> list[Job]:
        """Return the `moco` commands among its processes."""
        found = []
        for pid in self.processes():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            # The shell that starts a job has the whole command in one word; a job of `support.warm` is asked for at a socket.
            begin = next((at for at, word in enumerate(words) if Path(word).name in _PROGRAMS), len(words)) + 1
            found += [
                Job(pid, verb, _work(verb, words), tuple(words[begin + 1 :])) for verb in words[begin : begin + 1]
            ]
        return found

    def wait_for_job(self, wanted: Sequence[str], seconds: float = 600) -> Job | None:
        """Return a job once there is one of any of these works, rather the first; None if the command ends before."""
        deadline = time.monotonic() + seconds
        while self.exit_code is None:
            for job in sorted(self.jobs(), key=lambda job: [*wanted, job.work].index(job.work)):
                if job.work in wanted:
                    return job
            assert time.monotonic() < deadline, f"no job of {', '.join(wanted)} within {seconds} seconds"
            time.sleep(_PAUSE)
        return None

    def wait_for_options(self, verb: str, options: str, seconds: float = 600) -> None:
        """Return once there is a job of a verb whose options, each followed by a blank, match a pattern."""
        deadline = time.monotonic() + seconds
        while self.exit_code is None and time.monotonic() < deadline:
            if any(job.verb == verb and re.search(options, " ".join([*job.words, ""])) for job in self.jobs()):
                return
            time.sleep(_PAUSE)
        raise AssertionError(f"no {verb} {options} was seen")

    def kill(self) -> None:
        """Kill all processes, those included that they start meanwhile."""
        while pids := self.processes():
            for pid in pids:
                kill(pid)
            self._process.poll()
        self._process.wait()


def _work(verb: str, words: Sequence[str]) -> str:
    variant = next((word for before, word in pairwise(words) if before == "--method"), None)
    return f"{verb} {variant}" if verb == "fit" and variant else verb


def kill(pid: int) -> None:
    """Kill one process, if it is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
