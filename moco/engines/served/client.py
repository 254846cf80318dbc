"""HTTP requests to a server: time limits, repeated attempts, and a key that is written nowhere."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeVar

from moco.config.models import ServerRequests
from moco.engines.served.pace import Pace
from moco.engines.served.wire import MalformedReply, Withheld
from moco.errors import RequestError, WorkError
from moco.seeds import generator

T = TypeVar("T")

_LONGEST_BACKOFF = 60.0
_LONGEST_CONNECT = 30.0
_LONGEST_WAIT = 3600.0  # that a server may ask for
_LARGEST_BODY = 64_000_000
_SHORTEST_SECRET = 8  # what is shorter may be a part of any word
_SHOWN = 200
_TRY_AGAIN = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
_NEVER = {
    HTTPStatus.UNAUTHORIZED: "set the variable that `requests.key_env` names to a valid key",
    HTTPStatus.PAYMENT_REQUIRED: "pay, or use another key",
    HTTPStatus.FORBIDDEN: "set the variable that `requests.key_env` names to a key with access",
    HTTPStatus.NOT_FOUND: "correct endpoint and name of the model",
}
"""Answers after which no request has a chance, and what to do."""


class Unanswered(WorkError):
    """A request that got no reply.

    Attributes:
        hopeless: No other request has a chance either.
    """

    def __init__(self, what: str, *, where: str, remedy: str, hopeless: bool = False) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.hopeless = hopeless


class _Failed(Exception):
    """One attempt failed, and another may help; the server may have said when."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.wait = reason, wait


class Client:
    """Asks one server, from any number of threads.

    Args:
        where: The model, as messages name it.
        address: Of the requests.
        requests: How they are made.

    Raises:
        RequestError: The key that the settings name is not in the environment, or is none.
    """

    def __init__(self, where: str, address: str, requests: ServerRequests) -> None:
        import httpx2 as httpx

        self._errors: Any = httpx
        self._where, self._address, self._requests = where, address, requests
        self._key = _api_key(where, requests.key_env)
        self._pace = Pace(requests.per_minute)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._http: Any = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(requests.timeout_seconds, connect=min(requests.timeout_seconds, _LONGEST_CONNECT)),
            limits=httpx.Limits(max_connections=requests.concurrency),
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def take_turn(self) -> None:
        """Keep the pace after other jobs, which may have asked until now."""
        self._pace.resume()

    def ask(self, body: Mapping[str, Any], name: str, read: Callable[[str, float], T], end: threading.Event) -> T:
        """Return what `read` makes of the answer to a request.

        Args:
            body: JSON of the request.
            name: Of the request; seeds the randomness of waits.
            read: Reads content and seconds of an answer; `MalformedReply` leads to another attempt, `Withheld` does not.
            end: No further attempt is made once it is set.

        Raises:
            Unanswered: There was no reply in any attempt.
        """
        attempts = self._requests.retries + 1
        reason, made = "was not asked", 0
        for attempt in range(attempts):
            if not self._pace.wait(end):
                break
            made += 1
            try:
                return self._attempt(body, read)
            except _Failed as failed:
                reason = failed.reason
                if attempt + 1 < attempts:
                    end.wait(self._wait(name, attempt, failed.wait))
        times = "" if made == 1 else f" in {made} attempts"
        raise Unanswered(f"no reply{times}: {reason}", where=self._where, remedy="run again; what was answered is kept")

    def _wait(self, name: str, attempt: int, wanted: float | None) -> float:
        backoff = min(self._requests.backoff_seconds * 2**attempt, _LONGEST_BACKOFF)
        jittered: float = backoff * float(generator("backoff", name, attempt).uniform(0.5, 1.0))
        if wanted is None:
            return jittered
        # All requests wait where the server says so, and not all of them ask again at once.
        wait = min(wanted, _LONGEST_WAIT)
        self._pace.pause(wait)
        return wait + jittered if self._requests.concurrency > 1 else wait

    def _attempt(self, body: Mapping[str, Any], read: Callable[[str, float], T]) -> T:
        started = time.monotonic()
        try:
            status, headers, content = self._post(body, started)
        except self._errors.TimeoutException:
            raise _Failed(self._too_slow()) from None
        except self._errors.HTTPError as error:
            raise _Failed(f"cannot be reached at {self._address} ({type(error).__name__})") from None
        if status != HTTPStatus.OK:
            self._refused(status, headers, content)
        try:
            return read(content, time.monotonic() - started)
        except MalformedReply as error:
            raise _Failed(f"malformed reply ({error}): {_shown(content)!r}") from None
        except Withheld as error:
            what = f"the reply was withheld ({error})"
            raise Unanswered(what, where=self._where, remedy="leave the item or the model out") from None

    def _post(self, body: Mapping[str, Any], started: float) -> tuple[int, Mapping[str, str], str]:
        """Return status, headers and content; the whole answer has to come in time, however steadily it drips."""
        pieces, size = [], 0
        with self._http.stream("POST", self._address, json=body) as answer:
            for piece in answer.iter_bytes():
                pieces.append(piece)
                size += len(piece)
                if time.monotonic() - started > self._requests.timeout_seconds:
                    raise _Failed(self._too_slow())
                if size > _LARGEST_BODY:
                    raise _Failed(f"malformed reply (more than {_LARGEST_BODY} bytes)")
        content = b"".join(pieces).decode("utf-8", errors="replace")
        return answer.status_code, answer.headers, self._without_key(content)

    def _too_slow(self) -> str:
        return f"time-out after {self._requests.timeout_seconds:g} s"

    def _without_key(self, text: str) -> str:
        """Servers quote the key in what they say about it."""
        key = self._key
        return text.replace(key, "[key]") if key is not None and len(key) >= _SHORTEST_SECRET else text

    def _refused(self, status: int, headers: Mapping[str, str], content: str) -> None:
        reason = f"HTTP {status}: {_shown(content)!r}"
        if status in _TRY_AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _Failed(reason, _retry_after(headers.get("retry-after")))
        hopeless = status in _NEVER
        remedy = _NEVER[HTTPStatus(status)] if hopeless else "correct what the server complains about"
        raise Unanswered(reason, where=self._where, remedy=remedy, hopeless=hopeless)


def _api_key(where: str, variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        what = f"environment variable {variable}, which should hold the API key, is not set"
        raise RequestError(what, where=where, remedy="set it, also for jobs on other machines")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise RequestError(f"environment variable {variable} holds no API key", where=where, remedy="set it to the key")
    return key


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a server asks to wait; it names them, or a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _shown(content: str) -> str:
    return " ".join(content.split())[:_SHOWN]
