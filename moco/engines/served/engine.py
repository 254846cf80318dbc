"""A model behind an OpenAI-compatible endpoint: some requests under way at a time, replies leaving as they come."""

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence

from moco.config.engine import EngineSettings
from moco.config.models import ServerRequests
from moco.engines.base import ServedRequest
from moco.engines.served.client import Client, Unanswered
from moco.engines.served.wire import PATHS, read_reply, request_body
from moco.errors import Unreplied
from moco.models.info import ModelInfo
from moco.store.generations import Stored

log = logging.getLogger("moco")

_GIVE_UP = 3  # requests in a row without a reply, each after all its attempts


class _Work:
    """Requests that several threads work through, and what has come of them.

    Args:
        requests: In the order in which they are begun.

    Attributes:
        end: Set when no further request is begun.
        failures: Why requests got no reply, by key, in the order in which they ended.
    """

    def __init__(self, requests: Sequence[ServedRequest]) -> None:
        self.end = threading.Event()
        self.failures: dict[str, Unanswered] = {}
        self._requests = requests
        self._waiting = iter(requests)
        self._answered: set[str] = set()
        self._results: queue.SimpleQueue[Stored | Exception | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._in_a_row = 0

    def run(self, answer: Callable[[ServedRequest, threading.Event], Stored]) -> None:
        """Work until nothing is left, in one of the threads."""
        while (request := self._next()) is not None:
            try:
                reply = answer(request, self.end)
            except Unanswered as failure:
                self._failed(request.key, failure)
            except Exception as error:
                self._results.put(error)
            else:
                self._in_a_row = 0
                self._results.put(reply)
        self._results.put(None)

    def _next(self) -> ServedRequest | None:
        with self._lock:
            return None if self.end.is_set() else next(self._waiting, None)

    def _failed(self, key: str, failure: Unanswered) -> None:
        with self._lock:
            self.failures[key] = failure
            self._in_a_row += 1
            if failure.hopeless or self._in_a_row >= _GIVE_UP:
                self.end.set()

    def replies(self, threads: int) -> Iterator[Stored]:
        """Yield replies as they come, until every thread has ended."""
        while threads:
            result = self._results.get()
            if isinstance(result, Exception):
                raise result
            if result is None:
                threads -= 1
            else:
                self._answered.add(result.key)
                yield result

    def unanswered(self) -> list[str]:
        """Return the keys of the requests that no reply has left for."""
        return [request.key for request in self._requests if request.key not in self._answered]


class ServedModel:
    """One served model.

    Args:
        info: The model.
        settings: Engine settings.
        requests: How it is asked.

    Raises:
        RequestError: The API key that the settings name is missing.
    """

    def __init__(self, info: ModelInfo, settings: EngineSettings, requests: ServerRequests) -> None:
        assert info.server is not None
        self._name, self._server, self._settings = f"models.{info.name}", info.server, settings
        self._threads = requests.concurrency
        self._client = Client(self._name, info.server["endpoint"] + PATHS[info.server["api"]], requests)
        self._reported: set[str | None] = set()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def generate(self, requests: Sequence[ServedRequest]) -> Iterator[Stored]:
        """Yield replies as they come, in any order.

        A request without a reply does not keep the others from theirs, unless several in a row end like that.

        Raises:
            Unreplied: A request got no reply; those that did have been yielded.
        """
        self._client.take_turn()
        work = _Work(requests)
        # Not a pool of the standard library: at an interruption it would wait for what is under way.
        threads = [
            threading.Thread(target=work.run, args=(self._answer,), daemon=True)
            for _ in range(min(self._threads, len(requests)))
        ]
        for thread in threads:
            thread.start()
        try:
            for reply in work.replies(len(threads)):
                self._note(reply.reported)
                yield reply
        finally:
            work.end.set()
        if work.failures:
            failures = list(work.failures.values())
            first = next((each for each in failures if each.hopeless), failures[0])
            unanswered = work.unanswered()
            what = f"{first.what} ({len(unanswered)} of {len(requests)} not answered)"
            reasons = {key: work.failures.get(key, first).what for key in unanswered}
            raise Unreplied(what, reasons, where=first.where, remedy=first.remedy)

    def _answer(self, request: ServedRequest, end: threading.Event) -> Stored:
        body = request_body(self._server, self._settings, request)

        def read(content: str, seconds: float) -> Stored:
            return self._checked(read_reply(self._server, self._settings, request.key, content, seconds))

        return self._client.ask(body, request.key, read, end)

    def _checked(self, reply: Stored) -> Stored:
        wanted = self._server["reported"]
        if wanted is not None and reply.reported != wanted:
            what = f"the server reports {reply.reported!r}, the study asks for {wanted!r}"
            remedy = "it is another model now: declare a new date and what it reports"
            raise Unanswered(what, where=f"{self._name}.reported", remedy=remedy, hopeless=True)
        return reply

    def _note(self, reported: str | None) -> None:
        if reported not in self._reported:
            self._reported.add(reported)
            log.info("%s reports fingerprint %s", self._name, reported or "none")
