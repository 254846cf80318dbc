"""Running one program, or one solution against its tests, with bounded time, memory and output."""

import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from tempfile import TemporaryFile
from typing import Any
from uuid import uuid4

from moco.errors import RequestError, WorkError
from moco.scoring.sandbox.guest import checker, script, worker
from moco.scoring.sandbox.isolation import ALLOW_LIMITS, FILE_BYTES, Isolation, Kind, Place, candidates, kill

_PROGRAMS = {program: f"guest.{program.__name__.rpartition('.')[2]}" for program in (checker, script, worker)}
_LONGEST_VERDICT = 20_000
_STARTUP_SECONDS = 20.0
_CHECKER_MEMORY = 1 << 30
_CHUNK = 1 << 16
_TAIL = 200
_KILLED_FOR_CPU = (-24, 152)  # SIGXCPU, of the process itself or as a sandbox reports it


@dataclass(frozen=True)
class Allowance:
    """What one program may use.

    Attributes:
        seconds: CPU time, and wall-clock time.
        memory: Address space in bytes.
    """

    seconds: int
    memory: int


@dataclass(frozen=True)
class Solution:
    """A solution and what it is tried on.

    Attributes:
        source: Code under test.
        preamble: Imports and helper functions of the item; trusted.
        test: Its tests: assertions, or a function `check` of the candidate; trusted.
        entry_point: Name that the tests call.
        packages: Installed packages that the solution may import, besides the standard library.
    """

    source: str
    preamble: str
    test: str
    entry_point: str
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a solution fared.

    Attributes:
        status: `passed`, `wrong` (an assertion failed), `error`, or `timeout`.
        detail: What happened, in a few words.
    """

    status: str
    detail: str = ""


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        code: Exit status; None when it was ended for its time.
        said: Whether the word that was looked for is in its error output.
    """

    code: int | None
    said: bool


class Runner:
    """Runs code under test.

    Args:
        isolation: How it is kept apart.
    """

    def __init__(self, isolation: Isolation) -> None:
        self._isolation = isolation

    def program(self, source: str, allowance: Allowance, word: bytes = b"") -> Ended:
        """Run a program in an interpreter of its own, and look for a word in its error output."""
        with ExitStack() as stack:
            place = stack.enter_context(self._isolation.place())
            started, ready = stack.enter_context(_pipe())
            errors, output = stack.enter_context(_pipe())
            order = {"source": source, "limits": _limits(place, allowance), "ready": ready.number}
            process = _start(stack, place, script, order, [ready], stderr=output.number)
            for end in (ready, output):
                end.close()
            deadline = time.monotonic() + allowance.seconds
            said, tail = False, b""
            for chunk in _chunks(errors.number, deadline):
                text = tail + chunk
                said = said or (bool(word) and word in text)
                tail = text[-_TAIL:]
            code = _exit_status(process, deadline)
            if not _ready(started.number):
                raise WorkError(f"a sandbox did not start: {tail.decode(errors='replace')}", where="bubblewrap")
            return Ended(code, said)

    def tested(self, solution: Solution, allowance: Allowance) -> Outcome:
        """Run tests in one sandbox on a solution in another."""
        with ExitStack() as stack:
            down_read, down_write = stack.enter_context(_pipe())
            up_read, up_write = stack.enter_context(_pipe())
            verdict, report = stack.enter_context(_pipe())
            token = uuid4().hex
            trusted = {"preamble": solution.preamble, "entry_point": solution.entry_point}
            place = stack.enter_context(self._isolation.place(solution.packages))
            order = {
                **trusted,
                "source": solution.source,
                "packages": list(place.packages),
                "limits": _limits(place, allowance),
                "read": down_read.number,
                "write": up_write.number,
            }
            under_test = _start(stack, place, worker, order, [down_read, up_write])
            place = stack.enter_context(self._isolation.place())
            own = Allowance(allowance.seconds, max(_CHECKER_MEMORY, allowance.memory))
            order = {
                **trusted,
                "test": solution.test,
                "token": token,
                "limits": _limits(place, own),
                "read": up_read.number,
                "write": down_write.number,
            }
            _start(stack, place, checker, order, [up_read, down_write], stdout=report.number)
            for end in (down_read, down_write, up_read, up_write, report):
                end.close()
            deadline = time.monotonic() + allowance.seconds
            said = b""
            for chunk in _chunks(verdict.number, deadline):
                said = (said + chunk)[:_LONGEST_VERDICT]
            if time.monotonic() >= deadline:
                return Outcome("timeout")
            return _outcome(said, token, lambda: _exit_status(under_test, deadline))


@cache
def runner(kind: Kind) -> Runner:
    """Return what runs code under test here.

    Raises:
        RequestError: This machine cannot isolate it so.
    """
    trial = Allowance(int(_STARTUP_SECONDS), 512 << 20)
    reasons = []
    for isolation in candidates(kind):
        try:
            if Runner(isolation).program("", trial).code == 0:
                return Runner(isolation)
            reasons.append("a program without statements failed")
        except WorkError as error:
            reasons.append(error.what)
    raise RequestError(
        f"no code can be executed in a sandbox: {reasons[0]}",
        where="scoring.code.isolation",
        remedy=f"allow bubblewrap to make namespaces, or {ALLOW_LIMITS}",
    )


def _outcome(said: bytes, token: str, exit_status: Callable[[], int | None]) -> Outcome:
    try:
        sent, status, detail = json.loads(said)
    except ValueError:
        return Outcome("error", "the tests ended without a verdict")
    if sent != token:
        return Outcome("error", "the tests ended without a verdict")
    if status == "absent":
        raise WorkError("a sandbox did not start", where="bubblewrap", remedy="free memory or processes, and run again")
    if status == "died":
        code = exit_status()
        if code in _KILLED_FOR_CPU:
            return Outcome("timeout")
        return Outcome("error", f"the solution ended its process (status {code})")
    return Outcome(status, detail)


class _End:
    """One end of a pipe."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._open = True

    def close(self) -> None:
        if self._open:
            self._open = False
            os.close(self.number)


@contextmanager
def _pipe() -> Iterator[tuple[_End, _End]]:
    ends = tuple(map(_End, os.pipe()))
    try:
        yield ends[0], ends[1]
    finally:
        for end in ends:
            end.close()


def _limits(place: Place, allowance: Allowance) -> dict[str, int | None]:
    return {
        "uid": place.uid,
        "seconds": allowance.seconds,
        "memory": allowance.memory,
        "file_size": FILE_BYTES,
        "processes": place.processes,
    }


def _start(
    stack: ExitStack,
    place: Place,
    program: Any,
    order: dict[str, Any],
    ends: Sequence[_End],
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
) -> "subprocess.Popen[bytes]":
    with TemporaryFile() as stream:
        stream.write(json.dumps(order).encode())
        stream.seek(0)
        process = subprocess.Popen(
            [*place.command, _PROGRAMS[program]],
            stdin=stream,
            stdout=stdout,
            stderr=stderr,
            env=place.environment,
            cwd=place.folder,
            pass_fds=[*place.files, *(end.number for end in ends)],
            start_new_session=True,
        )
    stack.callback(kill, process)
    return process


def _chunks(number: int, deadline: float) -> Iterator[bytes]:
    """Yield what arrives until the other end is closed or time is up."""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([number], [], [], left)[0]:
            return
        chunk = os.read(number, _CHUNK)
        if not chunk:
            return
        yield chunk


def _exit_status(process: "subprocess.Popen[bytes]", deadline: float) -> int | None:
    try:
        return process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None


def _ready(number: int) -> bool:
    return bool(select.select([number], [], [], 0)[0]) and os.read(number, 1) == b"1"
