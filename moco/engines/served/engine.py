"""A model behind an OpenAI-compatible endpoint: some requests under way at a time, replies leaving as they come."""

import logging
import queue
import threading
from collections.abc import Iterator, Sequence

from moco.config.engine import EngineSettings
from moco.config.models import ServerRequests
from moco.engines.base import ServedRequest
from moco.engines.served.client import Client, Unanswered
from moco.engines.served.wire import PATHS, read_reply, request_body
from moco.errors import WorkError
from moco.models.info import ModelInfo
from moco.store.generations import Stored

log = logging.getLogger("moco")

_GIVE_UP = 3  # requests in a row without a reply, each after all its attempts


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
            WorkError: A request got no reply; those that did have been yielded.
        """
        end = threading.Event()
        results: queue.SimpleQueue[Stored | Exception | None] = queue.SimpleQueue()
        waiting = iter(requests)
        lock = threading.Lock()

        def work() -> None:
            while not end.is_set():
                with lock:
                    request = next(waiting, None)
                if request is None:
                    break
                try:
                    results.put(self._answer(request, end))
                except Exception as error:
                    results.put(error)
            results.put(None)

        # Not a pool of the standard library: at an interruption it would wait for what is under way.
        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(self._threads, len(requests)))]
        for thread in threads:
            thread.start()
        try:
            yield from self._collect(results, len(threads), len(requests), end)
        finally:
            end.set()

    def _collect(
        self, results: "queue.SimpleQueue[Stored | Exception | None]", threads: int, total: int, end: threading.Event
    ) -> Iterator[Stored]:
        failures: list[Unanswered] = []
        in_a_row = done = 0
        while threads:
            result = results.get()
            if result is None:
                threads -= 1
            elif isinstance(result, Stored):
                done, in_a_row = done + 1, 0
                self._note(result.reported)
                yield result
            elif isinstance(result, Unanswered):
                failures.append(result)
                in_a_row += 1
                if result.hopeless or in_a_row >= _GIVE_UP:
                    end.set()
            else:
                raise result
        if failures:
            first = next((each for each in failures if each.hopeless), failures[0])
            raise WorkError(
                f"{first.what} ({total - done} of {total} not answered)", where=first.where, remedy=first.remedy
            )

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
