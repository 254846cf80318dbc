"""The pace of requests to a server: never more per minute than allowed, and silence when the server asks for it."""

import threading
import time


class Pace:
    """Gives permission to start requests, to any number of threads.

    Args:
        per_minute: Most requests that start per minute, evenly spaced; None: no limit.
    """

    def __init__(self, per_minute: float | None) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self, end: threading.Event) -> bool:
        """Wait for the next free moment; return False when `end` is set before."""
        while not end.is_set():
            with self._lock:
                now = time.monotonic()
                if now >= self._next:
                    self._next = now + self._gap
                    return True
                delay = self._next - now
            end.wait(delay)
        return False

    def resume(self) -> None:
        """Begin as after a request: another job may have made one just now."""
        self.pause(self._gap)

    def pause(self, seconds: float) -> None:
        """Let nothing start for a while."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)
