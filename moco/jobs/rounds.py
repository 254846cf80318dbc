"""Several tasks of one job advance together, so that each round loads each model once.

Every worker (one task's `fit` or `answer`) is ordinary code that asks and gets replies. It runs in a thread of its
own, one at a time; when all workers wait for replies, their requests are executed together, as one round.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
Q = TypeVar("Q")
A = TypeVar("A")


class _Cancelled(BaseException):
    """Ends a worker whose neighbour failed."""


class Rounds(Generic[Q, A]):
    """Runs workers in rounds.

    Args:
        execute: Called with the requests of all waiting workers, in worker order; returns one reply per request.
    """

    def __init__(self, execute: Callable[[Sequence[Q]], Sequence[A]]) -> None:
        self._execute = execute
        self._lock = threading.Condition()
        self._requests: dict[int, Sequence[Q]] = {}
        self._replies: dict[int, Sequence[A]] = {}
        self._running: int | None = None
        self._cancelled = False

    def run(self, workers: Sequence[Callable[[Callable[[Sequence[Q]], Sequence[A]]], T]]) -> list[T]:
        """Return the workers' results, in order.

        Raises:
            BaseException: Whatever the first failing worker, or `execute`, raised.
        """
        results: dict[int, T] = {}
        errors: dict[int, BaseException] = {}
        threads = [
            threading.Thread(target=self._work, args=(index, worker, results, errors), daemon=True)
            for index, worker in enumerate(workers)
        ]
        waiting = list(range(len(workers)))
        try:
            for thread in threads:
                thread.start()
            while waiting:
                for index in waiting:
                    self._resume(index)
                if errors:
                    raise errors[min(errors)]
                waiting = sorted(self._requests)
                self._answer_all(waiting)
        finally:
            self._cancelled = True
            for index in sorted(self._requests):
                self._resume(index)
            for thread in threads:
                if thread.is_alive():
                    thread.join(timeout=5)
        return [results[index] for index in range(len(workers))]

    def _answer_all(self, waiting: Sequence[int]) -> None:
        if not waiting:
            return
        flat = [request for index in waiting for request in self._requests[index]]
        replies = list(self._execute(flat)) if flat else []
        position = 0
        for index in waiting:
            count = len(self._requests[index])
            self._replies[index] = replies[position : position + count]
            position += count

    def _resume(self, index: int) -> None:
        """Let one worker run until it asks or ends."""
        with self._lock:
            self._running = index
            self._lock.notify_all()
            self._lock.wait_for(lambda: self._running is None)

    def _wait(self, index: int) -> None:
        self._lock.wait_for(lambda: self._running == index)
        if self._cancelled:
            raise _Cancelled

    def _work(
        self,
        index: int,
        worker: Callable[[Callable[[Sequence[Q]], Sequence[A]]], T],
        results: dict[int, T],
        errors: dict[int, BaseException],
    ) -> None:
        def ask(requests: Sequence[Q]) -> Sequence[A]:
            with self._lock:
                self._requests[index] = requests
                self._running = None
                self._lock.notify_all()
                self._wait(index)
                del self._requests[index]
                return self._replies.pop(index)

        try:
            with self._lock:
                self._wait(index)
            results[index] = worker(ask)
        except _Cancelled:
            self._requests.pop(index, None)
        except BaseException as error:
            errors[index] = error
        finally:
            with self._lock:
                self._running = None
                self._lock.notify_all()
