"""The driver's end of the pipe to a worker; `worker.py` describes the messages."""

import json
import logging
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from moco.errors import WorkError

log = logging.getLogger("moco")

WORKER = Path(__file__).with_name("worker.py")

_GRACE = 20.0  # seconds in which a worker may end by itself
_KEPT_LINES = 40


class Process:
    """A worker process.

    Args:
        command: Starts it.
        environment: Its environment variables.
        who: The model, as messages name it.
        settings: Content of its first message.

    Attributes:
        ready: What it said of itself.

    Raises:
        WorkError: It ended before it was ready.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], who: str, settings: Mapping[str, Any]
    ) -> None:
        self._who = who
        self._batch = 0
        self._printed: deque[str] = deque(maxlen=_KEPT_LINES)
        # A group of its own, which it kills with itself; what interrupts this process ends it by the end of its input.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
        self._printing = threading.Thread(target=self._keep_prints, daemon=True)
        self._printing.start()
        try:
            self._tell("start", **settings)
            self.ready = self._hear()
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def run(
        self, requests: Sequence[Mapping[str, Any]], top_logprobs: int, adapter: Mapping[str, Any] | None
    ) -> Iterator[dict[str, Any]]:
        """Yield replies as they come, each with the `id` of its request.

        Raises:
            WorkError: It took the requests not, or ended.
        """
        self._batch += 1
        number, left = self._batch, len(requests)
        self._tell("run", batch=number, requests=list(requests), top_logprobs=top_logprobs, adapter=adapter)
        try:
            while left:
                message = self._hear()
                if message["batch"] != number:
                    continue
                if message["op"] == "refused":
                    left = 0
                    remedy = "give this model engine: {kind: transformers}"
                    raise WorkError(f"vllm refuses it ({message['error']})", where=self._who, remedy=remedy)
                left -= 1
                yield message
        finally:
            if left and self.alive:
                with suppress(WorkError):
                    self._tell("abort")

    def close(self) -> None:
        """End it and everything that it started."""
        with suppress(WorkError, subprocess.TimeoutExpired):
            self._tell("close")
            self._process.wait(_GRACE)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._printing.join(timeout=1)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _tell(self, op: str, **content: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"op": op, **content}, separators=(",", ":")).encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise self._ended() from None

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        message: dict[str, Any] = json.loads(line)
        if message["op"] == "failed":
            raise self._failure(message["error"])
        return message

    def _ended(self) -> WorkError:
        code = self._process.wait()
        how = f"was killed (signal {-code})" if code < 0 else f"ended with exit code {code}"
        return self._failure(f"its worker process {how}")

    def _failure(self, what: str) -> WorkError:
        self._printing.join(timeout=1)
        for line in self._printed:
            log.info("vllm: %s", line)
        return WorkError(f"vllm stopped: {what}", where=self._who, remedy=_remedy(what))

    def _keep_prints(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.decode(errors="replace").rstrip()
            self._printed.append(text)
            log.debug("vllm: %s", text)


def _remedy(what: str) -> str:
    words = what.lower()
    if "memory" in words or "signal 9" in words:
        return "lower engine.cache_gb (CPU) or engine.gpu_share, or use a machine or device with more memory"
    if "not finite" in words:
        return "set another engine.dtype for this model"
    return "its messages are above; a model that vllm cannot run works with engine: {kind: transformers}"
