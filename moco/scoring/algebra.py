"""Equality of formulas by algebra (math-verify), in a process of its own, so that no formula can hold up the work.

Formulas are read as LaTeX alone: what math-verify does with other text evaluates it as Python.
"""

import atexit
import os
import re
import resource
import signal
import subprocess
import sys
from functools import lru_cache
from threading import Lock

_SECONDS = 5.0  # of processor time, so that a busy machine decides nothing
_MEMORY = 2 << 30
_LONGEST = 500
_PROSE = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{3,}")
_WORKER = "from moco.scoring.algebra import serve; serve()"


@lru_cache(maxsize=16_384)
def algebraically_equal(given: str, gold: str) -> bool:
    """Return whether two LaTeX formulas denote the same object; no for prose, and for what is too hard."""
    if not given or not gold or max(len(given), len(gold)) > _LONGEST or _PROSE.search(given):
        return False
    return _worker.ask(given, gold)


class _Worker:
    """The process that compares, started when first asked and again after a formula that was too hard."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = Lock()

    def ask(self, given: str, gold: str) -> bool:
        """Return its answer, or no when it died over the question."""
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(f"{given!r}\t{gold!r}\n")
                process.stdin.flush()
                reply = process.stdout.readline()
            except OSError:
                reply = ""
            if not reply:
                self.stop()
            return reply == "equal\n"

    def _running(self) -> "subprocess.Popen[str]":
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                text=True,
                encoding="utf-8",
                errors="backslashreplace",
            )
        return self._process

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


_worker = _Worker()
atexit.register(_worker.stop)


def serve() -> None:
    """Answer questions on standard input until it ends; one that takes too long ends the process."""
    import ast

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    for line in sys.stdin:
        given, gold = map(ast.literal_eval, line.rstrip("\n").split("\t"))
        signal.setitimer(signal.ITIMER_PROF, _SECONDS)  # its signal ends a process that does not handle it
        equal = _equal(given, gold)
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.write("equal\n" if equal else "different\n")
        sys.stdout.flush()


def _equal(given: str, gold: str) -> bool:
    from math_verify import LatexExtractionConfig, parse, verify

    def read(formula: str) -> list[object]:
        return list(
            parse(
                f"${formula}$",
                extraction_config=[LatexExtractionConfig()],
                fallback_mode="no_fallback",
                parsing_timeout=0,
            )
        )

    left, right = read(given), read(gold)
    return bool(left and right) and bool(verify(right, left, timeout_seconds=0))
