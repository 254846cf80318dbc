"""The process that code under test runs in: it answers calls, and knows neither tests nor verdicts."""

import os
import random
import sys
import types
from typing import Any

from .confine import confine, forget_harness, read_order
from .wire import Channel, NotPlainError, decode, encode

_LONGEST_MESSAGE = 300


class Worker:
    """Runs a solution's source and then calls what it defined, as the checker asks.

    Args:
        channel: To the checker.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._held: list[Any] = []
        self._module = types.ModuleType("solution")

    def load(self, preamble: str, source: str) -> None:
        """Execute the item's preamble and the solution, each on its own terms, in one namespace."""
        sys.modules["solution"] = self._module
        for name, text in (("preamble", preamble), ("solution", source)):
            exec(compile(text, f"<{name}>", "exec", dont_inherit=True), self._module.__dict__)

    def serve(self) -> None:
        """Answer until the checker is gone."""
        while True:
            operation, target, *arguments = self._channel.receive()
            try:
                reply = ["value", self._answer(operation, target, arguments)]
            except BaseException as error:  # whatever the solution raises is an answer, even the end of the process
                ended = operation == "next" and isinstance(error, StopIteration)
                reply = ["end"] if ended else failure(error)
            self._channel.send(*reply)

    def _answer(self, operation: str, target: Any, arguments: list[Any]) -> Any:
        called = self._held[target] if isinstance(target, int) else self._module.__dict__[target]
        if operation == "iterate":
            return self._hold(iter(called))
        if operation == "next":
            return encode(next(called), self._hold)
        positional, named = (decode(form, self._held.__getitem__) for form in arguments)
        return encode(called(*positional, **named), self._hold)

    def _hold(self, value: Any) -> Any:
        self._held.append(value)
        return ["held", len(self._held) - 1]


def failure(error: BaseException) -> list[str]:
    """Return an exception as a message."""
    try:
        text = str(error)[:_LONGEST_MESSAGE]
    except BaseException:  # the exception may be the solution's own
        text = ""
    return ["raised", "MemoryError" if isinstance(error, MemoryError) else type(error).__name__, text]


def main() -> None:
    """Serve one solution."""
    order = read_order()
    channel = Channel(os.fdopen(order["read"], "rb"), os.fdopen(order["write"], "wb"))
    confine(order["limits"])
    forget_harness()
    sys.path += order["packages"]
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # threads count as processes, of which there are few
    channel.send("ready")
    random.seed(0)
    worker = Worker(channel)
    try:
        worker.load(order["preamble"], order["source"])
    except BaseException as error:  # whatever the solution raises is the answer
        channel.send(*failure(error))
        return
    channel.send("loaded")
    while True:
        try:
            worker.serve()
        except (NotPlainError, RecursionError) as error:
            channel.send(*failure(error))
