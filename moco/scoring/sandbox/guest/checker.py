"""The process that tests run in: it never executes code under test, and what reaches it from there is plain data.

The verdict is written by this process alone, to a pipe that no other process has.
"""

import ast
import builtins
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from .confine import confine, forget_harness, read_order
from .wire import Channel, ChannelClosedError, NotPlainError, decode, encode

_EXCEPTIONS = {
    kind.__name__: kind
    for kind in (
        ArithmeticError,
        AttributeError,
        IndexError,
        KeyError,
        LookupError,
        MemoryError,
        NameError,
        NotImplementedError,
        OSError,
        OverflowError,
        RecursionError,
        RuntimeError,
        TypeError,
        ValueError,
        ZeroDivisionError,
    )
}
_MODULES = frozenset({"math", "os", "random", "re", "string", "sys"})
_LONGEST_DETAIL = 300


class SolutionError(Exception):
    """The solution raised something that has no counterpart here; never an assertion, which only tests make."""


class UnsupportedError(Exception):
    """A test does something with a value of the solution's own classes that has no plain answer."""


class Remote:
    """A value in the worker: it can be called, iterated and handed back, and answers no other question.

    Args:
        talk: Asks the worker.
        target: Name or number of the value.
    """

    __slots__ = ("_talk", "_target")
    __hash__ = None  # type: ignore[assignment]
    _talk: Callable[..., Any]
    _target: str | int

    def __init__(self, talk: Callable[..., Any], target: str | int) -> None:
        object.__setattr__(self, "_talk", talk)  # the class itself refuses to set anything
        object.__setattr__(self, "_target", target)

    def __call__(self, *positional: Any, **named: Any) -> Any:
        """Call the value."""
        return self._talk("call", self._target, encode(list(positional), _held), encode(named, _held))

    def __iter__(self) -> Iterator[Any]:
        iterator = self._talk("iterate", self._target)
        while True:
            try:
                yield self._talk("next", iterator._target)
            except _End:
                return

    def __next__(self) -> Any:
        try:
            return self._talk("next", self._target)
        except _End:
            raise StopIteration from None

    def _refuse(self, *_: Any) -> NoReturn:
        raise UnsupportedError("a value of the solution's own classes is compared or inspected")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = _refuse
    __getattr__ = __setattr__ = __delattr__ = __getitem__ = __str__ = __repr__ = __format__ = _refuse
    __int__ = __float__ = __index__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __abs__ = __neg__ = __round__ = __reversed__ = _refuse


class _End(Exception):
    """An iterator of the worker has ended."""


def _held(value: Any) -> Any:
    if type(value) is Remote:
        target = object.__getattribute__(value, "_target")
        if isinstance(target, int):
            return ["held", target]
    raise NotPlainError("an argument has no plain form")


class Worker:
    """The other side, as the checker sees it.

    Args:
        channel: To the worker.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def ask(self, *message: Any) -> Any:
        """Return the plain value of an answer, or raise what the solution raised."""
        self._channel.send(*message)
        match self._channel.receive():
            case ["value", form]:
                try:
                    return decode(form, self.remote)
                except (ValueError, TypeError, KeyError, RecursionError, AttributeError):
                    raise NotPlainError("an answer has no plain form") from None
            case ["end"] if message[0] == "next":
                raise _End
            case ["raised", str(name), str(text)]:
                kind = _EXCEPTIONS.get(name, SolutionError)
                raise kind(text if kind is not SolutionError else f"{name}: {text}")
        raise ChannelClosedError

    def remote(self, target: str | int) -> Remote:
        """Return what stands for a value of the worker."""
        return Remote(self.ask, target)

    def expect(self, word: str) -> None:
        """Wait for a message without content."""
        match self._channel.receive():
            case [str(found)] if found == word:
                return
            case ["raised", str(name), str(text)]:
                raise SolutionError(f"{name}: {text}")
        raise ChannelClosedError


def free_names(source: str) -> set[str]:
    """Return names that a program reads and that neither it nor Python defines."""
    read, bound = set(), set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                read.add(name)
            case ast.Name(id=name) | ast.arg(arg=name):
                bound.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
                bound.add(name)
            case ast.alias(name=name, asname=other):
                bound.add(other or name.partition(".")[0])
            case ast.ExceptHandler(name=str(name)):
                bound.add(name)
    return {name for name in read - bound if not hasattr(builtins, name)}


def run_tests(worker: Worker, order: dict[str, Any]) -> None:
    """Run the item's tests on the worker's entry point."""
    namespace: dict[str, Any] = {"__name__": "tests"}
    exec(compile(order["preamble"], "<preamble>", "exec", dont_inherit=True), namespace)
    namespace.pop(order["entry_point"], None)
    for name in free_names(order["test"]) | {order["entry_point"]}:
        if name in _MODULES:
            namespace.setdefault(name, __import__(name))
        else:
            namespace.setdefault(name, worker.remote(name))
    exec(compile(order["test"], "<test>", "exec", dont_inherit=True), namespace)
    check = namespace.get("check")
    if callable(check) and type(check) is not Remote:
        check(worker.remote(order["entry_point"]))


def judge(channel: Channel, order: dict[str, Any]) -> tuple[str, str]:
    """Return a status and what it rests on."""
    worker = Worker(channel)
    try:
        worker.expect("ready")
    except ChannelClosedError:
        return "absent", ""
    try:
        worker.expect("loaded")
        run_tests(worker, order)
    except AssertionError as error:
        return "wrong", str(error)[:_LONGEST_DETAIL]
    except ChannelClosedError:
        return "died", ""
    except BaseException as error:  # anything else that tests or the solution raise is an error of the solution
        return "error", f"{type(error).__name__}: {error}"[:_LONGEST_DETAIL]
    return "passed", ""


def main() -> None:
    """Judge one solution."""
    order = read_order()
    channel = Channel(os.fdopen(order["read"], "rb"), os.fdopen(order["write"], "wb"))
    verdict = os.dup(1)
    os.dup2(2, 1)
    confine(order["limits"])
    forget_harness()
    sys.modules.pop("solution", None)
    random.seed(0)
    status, detail = judge(channel, order)
    os.write(verdict, json.dumps([order["token"], status, detail]).encode())
    os._exit(0)  # a thread or an exit handler of a test must not keep the verdict back
