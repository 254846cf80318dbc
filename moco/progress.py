"""Progress of long work: one line that is rewritten on a terminal, elsewhere plain log lines every ten seconds."""

import logging
import sys
import time

log = logging.getLogger("moco")

_CLEAR_LINE = "\r\033[K"
_INTERVAL = 10.0
"""Seconds between plain lines."""


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes log lines where a line of progress may stand."""

    def emit(self, record: logging.LogRecord) -> None:
        if self.stream.isatty():
            self.stream.write(_CLEAR_LINE)
        super().emit(record)


def set_up_logging() -> None:
    """Send log lines of the package to standard error, with the time."""
    if log.handlers:
        return
    handler = _Handler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


class Progress:
    """Counts finished pieces of one piece of work.

    On a terminal one line is rewritten; elsewhere a plain line appears at most every ten seconds.

    Args:
        label: What is being done.
        total: Number of pieces.
    """

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total = label, total
        self.done = 0
        self._start = time.monotonic()
        self._last = self._start
        self._terminal = sys.stderr.isatty()

    def advance(self, count: int = 1) -> None:
        """Report that `count` more pieces are done."""
        self.done += count
        now = time.monotonic()
        if self._terminal and (now - self._last >= 0.2 or self.done >= self.total):
            sys.stderr.write(_CLEAR_LINE + self._line(now) + ("\n" if self.done >= self.total else ""))
            sys.stderr.flush()
            self._last = now
        elif not self._terminal and now - self._last >= _INTERVAL:
            log.info(self._line(now))
            self._last = now

    def _line(self, now: float) -> str:
        rate = self.done / max(now - self._start, 1e-9)
        left = (self.total - self.done) / rate if rate else 0
        return f"{self.label}: {self.done}/{self.total}, {rate:.1f}/s, about {duration(left)} left"


def duration(seconds: float) -> str:
    """Return a time as a person says it."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
