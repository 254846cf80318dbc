"""How checker and worker talk: one JSON line a message, in which only plain values of built-in types exist.

A value is rebuilt from its content by the reader's own types, so nothing of the sender's classes (an `__eq__` that
always agrees, say) arrives with it.
"""

import json
from collections.abc import Callable
from typing import Any, BinaryIO

MOST_BYTES = 16_000_000
_TYPES: dict[str, Callable[..., Any]] = {
    "bool": bool,
    "bytes": bytes,
    "complex": complex,
    "dict": dict,
    "float": float,
    "frozenset": frozenset,
    "int": int,
    "list": list,
    "set": set,
    "str": str,
    "tuple": tuple,
}


class NotPlainError(Exception):
    """A value has no plain form."""


class ChannelClosedError(BaseException):
    """The other side is gone; no test may mistake that for an exception of its candidate."""


class Channel:
    """Messages over a pair of pipes.

    Args:
        reader: Bytes from the other side.
        writer: Bytes to the other side.
    """

    def __init__(self, reader: BinaryIO, writer: BinaryIO) -> None:
        self._reader, self._writer = reader, writer

    def send(self, *message: Any) -> None:
        """Send a message."""
        line = json.dumps(message).encode()
        if len(line) >= MOST_BYTES:
            raise NotPlainError("a value is too large")
        try:
            self._writer.write(line + b"\n")
            self._writer.flush()
        except OSError:
            raise ChannelClosedError from None

    def receive(self) -> list[Any]:
        """Return the next message."""
        try:
            line = self._reader.readline(MOST_BYTES)
        except OSError:
            raise ChannelClosedError from None
        if not line.endswith(b"\n"):
            raise ChannelClosedError
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            raise ChannelClosedError from None
        if not isinstance(message, list) or not message:
            raise ChannelClosedError
        return message


def encode(value: Any, hold: Callable[[Any], Any]) -> Any:
    """Return a value as JSON.

    Args:
        value: Of a built-in type, or of a class derived from one, which is lost.
        hold: Makes JSON of any other value, or refuses it.
    """
    if value is None or value is True or value is False:
        return value
    if value is Ellipsis:
        return ["ellipsis"]
    kind = type(value)
    if isinstance(value, type) and _TYPES.get(value.__name__) is value:
        return ["type", value.__name__]
    if issubclass(kind, str):
        return ["str", str.__str__(value)]
    if issubclass(kind, int):
        return ["int", hex(int.__index__(value))]
    if issubclass(kind, float):
        return ["float", float.__repr__(value)]
    if kind is complex:
        return ["complex", repr(value.real), repr(value.imag)]
    if issubclass(kind, (bytes, bytearray)):
        return ["bytearray" if issubclass(kind, bytearray) else "bytes", bytes(value).hex()]
    for base, name, items in (
        (list, "list", list.__iter__),
        (tuple, "tuple", tuple.__iter__),
        (set, "set", set.__iter__),
        (frozenset, "frozenset", frozenset.__iter__),
    ):
        if issubclass(kind, base):
            return [name, [encode(item, hold) for item in items(value)]]
    if issubclass(kind, dict):
        return ["dict", [[encode(key, hold), encode(item, hold)] for key, item in dict.items(value)]]
    if kind is range:
        return ["range", *(encode(number, hold) for number in (value.start, value.stop, value.step))]
    return hold(value)


def decode(form: Any, held: Callable[[Any], Any]) -> Any:
    """Return the value that `encode` made JSON of.

    Args:
        form: The JSON.
        held: Returns what stands for a value that the other side holds.
    """
    match form:
        case None | True | False:
            return form
        case ["ellipsis"]:
            return Ellipsis
        case ["type", str(name)]:
            return _TYPES[name]
        case ["str", str(text)]:
            return text
        case ["int", str(text)]:
            return int(text, 16)
        case ["float", str(text)]:
            return float(text)
        case ["complex", str(real), str(imaginary)]:
            return complex(float(real), float(imaginary))
        case ["bytes" | "bytearray" as name, str(text)]:
            content = bytes.fromhex(text)
            return content if name == "bytes" else bytearray(content)
        case ["list" | "tuple" | "set" | "frozenset" as name, list(items)]:
            return _TYPES[name](decode(item, held) for item in items)
        case ["dict", list(items)]:
            return {decode(key, held): decode(item, held) for key, item in items}
        case ["range", start, stop, step]:
            return range(decode(start, held), decode(stop, held), decode(step, held))
        case ["held", int(number)]:
            return held(number)
    raise NotPlainError("a message has an unknown form")
