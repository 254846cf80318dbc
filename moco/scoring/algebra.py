"""Equality of formulas by algebra, in a process of its own, so that no formula can hold up the work.

`latex2sympy2_extended` reads them, as LaTeX alone; the process is started when it is first needed.
"""

import ast
import atexit
import os
import re
import resource
import signal
import subprocess
import sys
from fractions import Fraction
from functools import lru_cache
from threading import Lock

from moco.scoring.numbers import EXACT_TOLERANCE

_SECONDS = 3.0  # of processor time, so that a busy machine decides nothing
_MEMORY = 2 << 30
_LONGEST = 500
_PROSE = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{3,}")
_DEEP = re.compile(r"(?:[(\[{][^()\[\]{}]*){20}")
_ENVIRONMENT = re.compile(r"\\(?:begin|end|operatorname)\{\w+\}")
_UNREADABLE = re.compile(
    r"(?<!_)\d\s+\d"  # read as a sum
    r"|\\binom\s*\{\d{4}"  # computed while it is read
    r"|\d\s*_|!!|#|\+\+|--|[-+*/^_]\s*$"
    r"|\^\s*(?:\w|\{\w*\})\s*\^"  # no LaTeX
    r"|\\(?:mod|pmod|bmod|equiv|approx|sim|ldots|dots|cdots)\b"
)
_FUNCTION = re.compile(r"(?<![\\a-zA-Z])(sqrt|sin|cos|tan|log|ln|pi|infty)(?![a-zA-Z])")
_CALLED_ROOT = re.compile(r"\\sqrt(\[\d+\])?\s*\(([^()]*)\)")
_BARE_ROOT = re.compile(r"\\sqrt(\[\d+\])?\s*(\d+(?:\.\d+)?|[a-zA-Z])")
_POWER = re.compile(r"\^\s*(?:\(([^()]*)\)|([-+]\d+))")
_EXPONENT = re.compile(r"(?<=\d)[eE]([-+]?\d+)(?![\w.])")
_SPELLINGS = (
    ("π", r"\pi "),
    ("√", r"\sqrt"),
    ("∛", r"\sqrt[3]"),
    ("∜", r"\sqrt[4]"),
    ("∞", r"\infty "),
    ("∪", r"\cup "),
    ("∩", r"\cap "),
    ("≤", r"\leq "),
    ("≥", r"\geq "),
    ("≠", r"\neq "),
    ("∈", r"\in "),
    ("**", "^"),
    ("*", r"\cdot "),
    ("·", r"\cdot "),
    ("⋅", r"\cdot "),
    ("×", r"\times "),
    ("÷", r"\div "),
    (r"\infin ", r"\infty "),
    (r"\left", ""),
    (r"\right", ""),
    (r"\displaystyle", ""),
    (r"\%", ""),
    (r"\$", ""),
    ("%", ""),
    ("$", ""),
)
_WORKER = "from moco.scoring.algebra import serve; serve()"


@lru_cache(maxsize=16_384)
def algebraically_equal(given: str, gold: str, tolerance: Fraction = EXACT_TOLERANCE) -> bool:
    """Return whether two LaTeX formulas denote the same object; no for prose, and for what is too hard.

    Args:
        given: The formula in the reply.
        gold: The gold formula or number.
        tolerance: Relative difference up to which a decimal stands for a number without a finite one; a larger one than
            `EXACT_TOLERANCE` holds for all numbers.
    """
    if not given or not gold or max(len(given), len(gold)) > _LONGEST:
        return False
    left, right = _as_latex(given), _as_latex(gold)
    if (
        _DEEP.search(left)
        or _PROSE.search(_ENVIRONMENT.sub("", left))
        or _UNREADABLE.search(left)
        or _UNREADABLE.search(right)
    ):
        return False
    return _worker.ask(left, right, float(tolerance))


def _as_latex(formula: str) -> str:
    for spelling, command in _SPELLINGS:
        formula = formula.replace(spelling, command)
    formula = _FUNCTION.sub(r"\\\1", formula)
    formula = _BARE_ROOT.sub(r"\\sqrt\1{\2}", _CALLED_ROOT.sub(r"\\sqrt\1{\2}", formula))
    formula = _POWER.sub(r"^{\1\2}", formula)
    return _EXPONENT.sub(r"\\cdot 10^{\1}", formula).strip().rstrip(".")


class _Worker:
    """The process that compares, started when first asked and again after a formula that was too hard."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = Lock()

    def ask(self, given: str, gold: str, tolerance: float) -> bool:
        """Return its answer, or no when it died over the question."""
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(f"{(given, gold, tolerance)!r}\n")
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
    from moco.scoring.algebra_process import equal_formulas

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    for line in sys.stdin:
        given, gold, tolerance = ast.literal_eval(line)
        signal.setitimer(signal.ITIMER_PROF, _SECONDS)  # its signal ends a process that does not handle it
        equal = equal_formulas(given, gold, tolerance)
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.write("equal\n" if equal else "different\n")
        sys.stdout.flush()
