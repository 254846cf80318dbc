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
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from moco.home import FORK_NAME, FORK_SERVER

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


def asks(arguments: Sequence[str]) -> bool:
    """Return whether a command is that of a job whose workflow has such a process."""
    # Libraries read how many threads they may use when they are imported: all forks have one.
    one = os.environ.get("OMP_NUM_THREADS") == "1"
    address = os.environ.get(FORK_SERVER, "off")
    forks = one and "--digest" in arguments and address not in ("off", "")
    return forks and (arguments[0] in _WAITING or Path(address).with_name(READY).exists())


def run_forked(arguments: Sequence[str]) -> int | None:
    """Have a command run in a fork and return its exit code; None where nobody answers.

    A signal that ends the fork ends this process too.
    """
    with socket.socket(socket.AF_UNIX) as server, os.fdopen(os.memfd_create("asked"), "w+") as asked:
        json.dump([list(arguments), str(Path.cwd()), dict(os.environ), os.getpid()], asked)
        asked.seek(0)
        signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)  # until it is known to whom they go
        answers = server.makefile()
        try:
            server.connect(os.environ[FORK_SERVER])
            socket.send_fds(server, [b"?"], [asked.fileno(), 0, 1, 2])
            job = int(answers.readline())
        except (OSError, ValueError):
            job = 0
        for passed in _PASSED_ON if job else ():
            signal.signal(passed, lambda number, _frame: _signal(job, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
        if not job:
            return None
        answer = answers.readline()
    if not answer:
        _signal(job, signal.SIGKILL)
        sys.stderr.write("moco: the process that forks jobs has ended\n")
        return 1
    code = int(answer)
    if code < 0:
        with suppress(OSError):  # nobody can catch a kill, so it needs no default
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _signal(job: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(job, number)


class Forks:
    """The process that forks. One loop waits for commands, for ends of forks and of commands, and for its own end.

    Args:
        listening: Socket that commands connect to.
        run: Runs a command's words in the fork and returns its exit code.
    """

    def __init__(self, listening: socket.socket, run: Callable[[list[str]], int]) -> None:
        self._listening, self._run = listening, run
        self._events = selectors.PollSelector()
        self._events.register(listening, selectors.EVENT_READ, self._fork)
        self._events.register(0, selectors.EVENT_READ)

    def serve(self) -> None:
        """Fork for every command until standard input ends."""
        while True:
            for event, _ in self._events.select():
                if event.data is None:
                    return
                event.data()

    def _fork(self) -> None:
        command, _ = self._listening.accept()
        _, received, _, _ = socket.recv_fds(command, 1, 4)
        if not received:
            return command.close()  # it has ended before it could ask
        job = os.fork()
        if job == 0:
            self._be_a_job(command, *received)
        for descriptor in received:
            os.close(descriptor)
        end = os.pidfd_open(job)
        for watched in (end, command):
            self._events.register(watched, selectors.EVENT_READ, partial(self._end, command, job, end))
        self._tell(command, job)

    def _end(self, command: socket.socket, job: int, end: int) -> None:
        """End what is left of a command and its fork, one of which has ended."""
        if end not in self._events.get_map():
            return  # both had
        os.kill(job, signal.SIGKILL)
        self._tell(command, os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]))
        self._events.unregister(command)
        self._events.unregister(end)
        os.close(end)
        command.close()

    @staticmethod
    def _tell(command: socket.socket, number: int) -> None:
        with suppress(OSError):
            command.sendall(b"%d\n" % number)

    def _be_a_job(self, command: socket.socket, request: int, *streams: int) -> NoReturn:
        import tempfile

        code = 1
        try:
            os.setpgid(0, 0)
            command.close()
            for event in self._events.get_map().values():
                os.close(event.fd)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            with os.fdopen(request) as asked:
                words, folder, environment, caller = json.load(asked)
            Path("/proc/self/comm").write_text(FORK_NAME.format(caller), encoding="ascii")
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)
            tempfile.tempdir = None
            sys.argv[:] = ["moco", *words]
            code = self._run(words)
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
    from moco.cli import run_here
    from moco.cli.jobs import plan
    from moco.scoring import scorer_module

    matrix = plan().matrix
    adapters = any(map(matrix.nodes.base, matrix.models))  # each job with one takes 0.2 s to import peft
    for name in (*_IMPORTED, "peft") if adapters else _IMPORTED:
        import_module(name)
    scorers = [scorer_module(batch.type) for batch in matrix.batches.values()]
    for module in (*scorers, *(type(method).__module__ for method in matrix.variants.values())):
        matrix.source(module)
    gc.collect()
    gc.freeze()  # a look at each object would copy all memory into every fork
    (folder / READY).touch()
    Forks(listening, run_here).serve()


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]))
