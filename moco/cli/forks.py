"""Jobs as forks of one process that has the libraries imported, since small jobs spend most of their time on imports.

The workflow starts that process where it runs jobs on its own machine (`moco.workflow.forks`) and says in
`MOCO_FORK_SERVER` where it listens. A command that a rule gives then asks it for a fork, which takes over the command's
words, folder, environment and streams. The command itself stays: it passes signals on, ends as its fork ends, and takes
it along when it is killed. Where nobody answers, a command does its own work.
"""

import atexit
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from moco.home import FORK_SERVER

_IMPORTED = (
    *("moco.jobs.generate", "moco.jobs.logits", "moco.jobs.fit", "moco.jobs.answer", "moco.jobs.score"),
    *("moco.analysis.collect", "moco.analysis.tables", "moco.analysis.figures", "moco.analysis.report"),
    *("moco.tasks.prepare", "moco.models.resolve", "moco.merging.build", "moco.zoo.build"),
    *("moco.engines.transformers", "transformers.models.llama.modeling_llama"),
)
READY = "ready"
"""File beside the socket, once all is imported; until then only jobs wait that would import torch themselves."""

_WAITING = ("generate", "logits", "fit", "answer", "distill")
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MESSAGE = 1 << 20
_NUMBER = struct.Struct("i")


def asks(arguments: Sequence[str]) -> bool:
    """Return whether a command is that of a job whose workflow has such a process."""
    # Libraries read how many threads they may use when they are imported: all forks have one.
    one = os.environ.get("OMP_NUM_THREADS") == "1"
    address = os.environ.get(FORK_SERVER, "off")
    if not one or "--digest" not in arguments or address in ("off", ""):
        return False
    return arguments[0] in _WAITING or Path(address).with_name(READY).exists()


def run_forked(arguments: Sequence[str]) -> int | None:
    """Have a command run in a fork and return its exit code; None where nobody answers.

    A signal that ends the fork ends this process too.
    """
    asked = {"words": list(arguments), "folder": str(Path.cwd()), "environment": dict(os.environ)}
    message = json.dumps(asked).encode() + b"\n"
    with socket.socket(socket.AF_UNIX) as server:
        signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)  # until it is known to whom they go
        try:
            server.connect(os.environ[FORK_SERVER])
            sent = socket.send_fds(server, [message], [0, 1, 2])
            server.sendall(message[sent:])
            job = _received(server)
        except OSError:
            job = None
        if job is not None:
            for passed in _PASSED_ON:
                signal.signal(passed, lambda number, _frame: _signal(job, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
        if job is None:
            return None
        code = _received(server)
    if code is None:
        _signal(job, signal.SIGKILL)
        sys.stderr.write("moco: the process that forks jobs has ended\n")
        return 1
    if code < 0:
        if code not in (-signal.SIGKILL, -signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _received(server: socket.socket) -> int | None:
    """Return the next number, or None where the other side has ended."""
    found = server.recv(_NUMBER.size, socket.MSG_WAITALL)
    return int(_NUMBER.unpack(found)[0]) if len(found) == _NUMBER.size else None


def _signal(job: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(job, number)


class Forks:
    """The process that forks. One loop waits for commands, for ends of forks and of commands, and for its own end.

    Args:
        listening: Socket that commands connect to.
        folder: A file in it, named by the process of a command, holds that of its fork.
        run: Runs a command's words in the fork and returns its exit code.
    """

    def __init__(self, listening: socket.socket, folder: Path, run: Callable[[list[str]], int]) -> None:
        self._listening, self._folder, self._run = listening, folder, run
        self._events = select.poll()
        self._events.register(self._listening, select.POLLIN)
        self._events.register(0, select.POLLIN)
        self._commands: dict[int, tuple[socket.socket, int, int, Path]] = {}
        """Connection, number of the fork, its descriptor and its file, by either descriptor."""

    def serve(self) -> None:
        """Fork for every command until standard input ends."""
        while True:
            for ready, _ in self._events.poll():
                if ready == 0:
                    return
                if ready == self._listening.fileno():
                    self._fork()
                elif ready in self._commands:
                    self._close(*self._commands[ready], by_itself=ready == self._commands[ready][2])

    def _fork(self) -> None:
        command, _ = self._listening.accept()
        job = os.fork()
        if job == 0:
            self._be_a_job(command)
        caller, _, _ = struct.unpack("3i", command.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        note = self._folder / str(caller)
        note.write_text(str(job), encoding="ascii")
        end = os.pidfd_open(job)
        self._events.register(end, select.POLLIN)
        self._events.register(command, 0)  # the fork reads; here only the end of the command is seen
        self._commands[end] = self._commands[command.fileno()] = command, job, end, note
        with suppress(OSError):
            command.sendall(_NUMBER.pack(job))

    def _close(self, command: socket.socket, job: int, end: int, note: Path, *, by_itself: bool) -> None:
        if not by_itself:
            os.kill(job, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])
        with suppress(OSError):
            command.sendall(_NUMBER.pack(code))
        for descriptor in (command.fileno(), end):
            self._events.unregister(descriptor)
            del self._commands[descriptor]
        note.unlink()
        os.close(end)
        command.close()

    def _be_a_job(self, command: socket.socket) -> None:
        import tempfile

        code = 1
        try:
            os.setpgid(0, 0)
            self._listening.close()
            for descriptor in self._commands:
                os.close(descriptor)
            message, streams, _, _ = socket.recv_fds(command, _MESSAGE, 3)
            while not message.endswith(b"\n"):
                more = command.recv(_MESSAGE)
                if not more:
                    os._exit(1)
                message += more
            command.close()
            asked = json.loads(message)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            os.chdir(asked["folder"])
            os.environ.clear()
            os.environ.update(asked["environment"])
            tempfile.tempdir = None
            sys.argv[:] = ["moco", *asked["words"]]
            code = self._run(asked["words"])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        # An interpreter that ends takes thousands of modules apart, of which nobody is told.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main(listening: socket.socket, folder: Path) -> None:
    """Import what jobs need, then fork them until standard input ends."""
    for name in _IMPORTED:
        import_module(name)
    from moco.cli import run_here
    from moco.cli.jobs import plan
    from moco.scoring import scorer_module

    matrix = plan().matrix
    for batch in matrix.batches.values():
        matrix.source(scorer_module(batch.type))
    for method in matrix.variants.values():
        matrix.source(type(method).__module__)
    gc.collect()
    gc.freeze()  # a look at each object would copy all memory into every fork
    (folder / READY).touch()
    Forks(listening, folder, run_here).serve()


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]))
