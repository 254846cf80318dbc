"""Jobs of tiny models spend their time on importing torch and transformers: here they are forked with these imported.

What is imported beforehand is other people's code alone; `moco` itself, with all that it reads when imported, is
imported by every job anew, from the folder and in the environment that are the job's own.
"""

import atexit
import gc
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path

BIN = Path(sys.executable).parent
LIBRARIES = (
    "filelock",
    "jinja2",
    "matplotlib.pyplot",
    "numpy",
    "pandas",
    "pyarrow.compute",
    "pyarrow.parquet",
    "pydantic",
    "safetensors.torch",
    "scipy.stats",
    "tokenizers",
    "torch",
    "transformers.models.llama.modeling_llama",
    "yaml",
)


class Warm:
    """Runs `moco` commands in forks of one process; a context that ends it."""

    def __enter__(self) -> "Warm":
        self._folder = tempfile.TemporaryDirectory(prefix="warm-")
        address = Path(self._folder.name, "socket")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MOCO_", "PYTHON"))}
        # As the workflow sets it for its jobs.
        environment |= {"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1", "HOME": self._folder.name}
        self._server = subprocess.Popen(
            [sys.executable, __file__, str(address)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._server.stdout.readline() == b"ready\n"
        self.command = (sys.executable, "-I", "-S", str(Path(__file__).with_name("warm_client.py")), str(address))
        self.functions = Path(self._folder.name, "functions.sh")
        self.functions.write_text(f'moco() {{ {shlex.join(self.command)} "$@"; }}\n')
        # Where failures are recorded, a job has a child that does its work.
        python = Path(self._folder.name, "python")
        python.write_text(
            f'#!/bin/sh\n[ "$1 $2" = "-m moco" ] || exec {shlex.quote(sys.executable)} "$@"\n'
            f'shift 2; exec {shlex.join(self.command)} "$@"\n'
        )
        python.chmod(0o755)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stdin.close()
        self._server.wait(60)
        self._server.stdout.close()
        self._folder.cleanup()

    @property
    def environment(self) -> dict[str, str]:
        """What makes `moco` in a shell script, such as a rule's, one of these."""
        return {"BASH_ENV": str(self.functions)}


def serve(address: str) -> list[str]:
    """Fork for every caller until standard input ends; return the words of a command in the process that is to run it."""
    for name in LIBRARIES:
        import_module(name)
    assert "moco" not in sys.modules
    gc.freeze()  # a look at each of their objects would copy all memory into every job
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who watch
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(64)
        os.write(1, b"ready\n")
        while True:
            ready, _, _ = select.select([listening, 0], [], [])
            if 0 in ready:
                os._exit(0)
            caller, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                return _watched(caller)
            caller.close()


def _watched(caller: socket.socket) -> list[str]:
    """Fork the job, end it when its caller ends, and tell its exit code; return in the job alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, streams, _, _ = socket.recv_fds(caller, 1 << 20, 3)
    while not message.endswith(b"\n"):
        message += caller.recv(1 << 20)
    asked = json.loads(message)
    job = os.fork()
    if job == 0:
        caller.close()
        _become(asked, streams)
        return asked["words"]
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(job)
    ready, _, _ = select.select([caller, ended], [], [])
    if ended not in ready:
        os.kill(job, signal.SIGKILL)
    _, status = os.waitpid(job, 0)
    code = os.waitstatus_to_exitcode(status)
    if ended in ready:
        caller.sendall(str(code).encode())
    os._exit(0)


def _become(asked: dict, streams: list[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    own = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:0] = [str(BIN), *own]
    sys.argv[:] = [str(BIN / "moco"), *asked["words"]]


def run(words: list[str]) -> int:
    """Return the exit code of a `moco` command, as the command itself would end."""
    try:
        return import_module("moco.cli").main(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    address = sys.argv[1]
    words = serve(address)
    sys.executable = str(Path(address).with_name("python"))
    code = run(words)
    # Without taking thousands of modules apart, which nothing of a job is told of.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
