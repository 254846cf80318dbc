"""Parts of the sandbox on their own: the filter of system calls, values on the wire, what a job's hash covers."""

import io
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moco.scoring.sandbox.guest.checker import Remote, UnsupportedError, free_names
from moco.scoring.sandbox.guest.wire import Channel, ChannelClosedError, NotPlainError, decode, encode
from moco.scoring.sandbox.seccomp import system_call_filter

ALLOWED, REFUSED, KILLED, UNKNOWN = 0x7FFF0000, 0x00050001, 0x80000000, 0x00050026


def run_filter(program, number, architecture, argument=0):
    """Interpret a filter as the kernel does."""
    data = struct.pack("<iIQ6Q", number, architecture, 0, argument, 0, 0, 0, 0, 0)
    steps = [struct.unpack_from("=HBBI", program, place) for place in range(0, len(program), 8)]
    place, register = 0, 0
    while True:
        code, if_true, if_false, value = steps[place]
        place += 1
        if code == 0x20:
            (register,) = struct.unpack_from("<I", data, value)
        elif code == 0x06:
            return value
        else:
            holds = {0x15: register == value, 0x35: register >= value, 0x45: bool(register & value)}[code]
            place += if_true if holds else if_false


@pytest.mark.parametrize(
    ("machine", "architecture", "socket", "clone", "read"),
    [("x86_64", 0xC000003E, 41, 56, 0), ("aarch64", 0xC00000B7, 198, 220, 63)],
)
def test_system_calls(monkeypatch, machine, architecture, socket, clone, read):
    monkeypatch.setattr("platform.machine", lambda: machine)
    program = system_call_filter()
    assert run_filter(program, read, architecture) == ALLOWED
    assert run_filter(program, 447, architecture) == REFUSED
    assert run_filter(program, socket, architecture) == REFUSED
    assert run_filter(program, 435, architecture) == UNKNOWN
    assert run_filter(program, clone, architecture, 0x11) == ALLOWED
    assert run_filter(program, clone, architecture, 0x10000011) == REFUSED
    assert run_filter(program, read, 0x40000003) == KILLED
    assert run_filter(program, 0x40000000 | read, architecture) == KILLED


def test_an_unknown_processor_has_no_filter(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert system_call_filter() is None


def refuse(_value):
    raise NotPlainError


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
hashable = st.recursive(leaves, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)
values = st.recursive(
    hashable,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hashable, inner, max_size=3) | st.tuples(inner),
    max_leaves=10,
)


@given(values)
def test_plain_values_survive_the_wire(value):
    form = json.loads(json.dumps(encode(value, refuse)))
    assert repr(decode(form, refuse)) == repr(value) or decode(form, refuse) == value


class Liar(int):
    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


def test_only_content_crosses_the_wire():
    arrived = decode(encode([Liar(3), {Liar(4): Liar(5)}], refuse), refuse)
    assert arrived == [3, {4: 5}]
    assert type(arrived[0]) is int


@pytest.mark.parametrize("value", [object(), len, Liar, (1).__add__, iter([])])
def test_other_values_are_held(value):
    held = []
    form = encode([value], lambda item: held.append(item) or ["held", 0])
    assert held == [value]
    assert decode(form, lambda number: f"value {number}") == ["value 0"]


@pytest.mark.parametrize(
    "form", [[], ["int", 3], ["list"], ["type", "object"], {"a": 1}, "text", 7, ["held", "x"], ["exec", "1"]]
)
def test_unknown_forms_are_refused(form):
    with pytest.raises((NotPlainError, KeyError, TypeError)):
        decode(form, refuse)


@pytest.mark.parametrize("line", [b"", b"no json\n", b"[1]", b"{}\n", b"[]\n", b"[" * 5000 + b"\n", b"\xff\n"])
def test_a_damaged_message_closes_the_channel(line):
    with pytest.raises(ChannelClosedError):
        Channel(io.BytesIO(line), io.BytesIO()).receive()


@pytest.mark.parametrize(
    "question",
    [
        lambda value: value == 1,
        lambda value: value != 1,
        lambda value: not value,
        lambda value: value < 1,
        lambda value: abs(value - 1),
        lambda value: value.anything,
        lambda value: str(value),
        lambda value: value in [1],
        lambda value: [value] == [1],
        lambda value: {value: 1},
        lambda value: len(value),
    ],
)
def test_a_held_value_answers_no_question(question):
    with pytest.raises((UnsupportedError, TypeError)):
        question(Remote(lambda *_: 1, 0))


def test_names_that_tests_leave_open():
    source = "import math\nfrom a import b as c\ndef check(candidate):\n    d = [e for e in f(Pair)]\n    assert len(d) == math.pi + c"
    assert free_names(source) == {"f", "Pair"}
