"""A real HTTP server on this machine that speaks the OpenAI-compatible format, well or badly, as a test tells it."""

import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """What is sent back.

    Attributes:
        content: Body; a dictionary is sent as JSON.
        status: HTTP status.
        headers: Further headers.
        delay: Seconds before the answer begins.
        drip: Seconds between its bytes.
    """

    content: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drip: float = 0.0


@dataclass
class Asked:
    """A request as the server got it."""

    path: str
    body: dict[str, Any]
    authorization: str | None
    time: float

    @property
    def prompt(self) -> str:
        return self.body["prompt"] if "prompt" in self.body else self.body["messages"][0]["content"]


def reply(asked: Asked, **changes: Any) -> dict[str, Any]:
    """Return a regular answer whose text depends on the prompt and the seed alone."""
    word = hashlib.sha256(f"{asked.prompt} {asked.body.get('seed')}".encode()).hexdigest()[:6]
    text = f"\\box{{{word}}}"
    chat = {"message": {"role": "assistant", "content": text}} if "messages" in asked.body else {"text": text}
    return {
        "choices": [{"index": 0, "finish_reason": "stop", **chat, **changes}],
        "usage": {"prompt_tokens": len(asked.prompt.split()), "completion_tokens": 3},
        "system_fingerprint": "fp_1",
    }


class LanguageServer:
    """Answers requests on a port of this machine, each in a thread of its own.

    Args:
        answer: Gives the answer to a request and its number among those with the same prompt, from 0.

    Attributes:
        asked: All requests, in the order in which they came.
        most: Largest number of requests that were under way at the same time.
    """

    def __init__(self, answer: Callable[[Asked, int], Answer] | None = None) -> None:
        self.answer = answer or (lambda asked, _number: Answer(reply(asked)))
        self.asked: list[Asked] = []
        self.most = self._under_way = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True  # else every reply waits 40 ms for an acknowledgement

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked = Asked(self.path, body, self.headers.get("Authorization"), time.monotonic())
                with outer._lock:
                    number = sum(each.prompt == asked.prompt for each in outer.asked)
                    outer.asked.append(asked)
                    outer._under_way += 1
                    outer.most = max(outer.most, outer._under_way)
                answer = outer.answer(asked, number)
                time.sleep(answer.delay)
                with outer._lock:
                    outer._under_way -= 1
                with suppress(BrokenPipeError, ConnectionResetError):
                    self._send(answer)

            def _send(self, answer: Answer) -> None:
                content = answer.content if isinstance(answer.content, str) else json.dumps(answer.content)
                data = content.encode()
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(data)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                for place in range(0, len(data), 1 if answer.drip else len(data)):
                    self.wfile.write(data[place : place + 1] if answer.drip else data)
                    self.wfile.flush()
                    time.sleep(answer.drip)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def prompts(self) -> list[str]:
        """Return the prompts of all requests, in the order in which they came."""
        return [each.prompt for each in self.asked]


if __name__ == "__main__":  # a server process: prints its endpoint, ends with its standard input
    server = LanguageServer()
    print(server.endpoint, flush=True)
    sys.stdin.read()
    server.close()
