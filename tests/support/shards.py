"""Rows for stores, and ways in which disks damage files."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from moco.store.generations import Stored, StoredReply


def reply(key: str, text: str = "x", tokens: int = 4) -> Stored:
    """Return a reply whose numbers follow from its key."""
    value = -(sum(map(ord, key)) % 97) / 97
    return Stored(
        key=key,
        text=text,
        finish="stop",
        prompt_tokens=3,
        tokens=list(range(tokens)),
        logprobs=[round(value, 6)] * tokens,
        top_k=2,
        top_ids=list(range(2 * tokens)),
        top_logprobs=[round(value, 6)] * (2 * tokens),
        tail=[0.01] * tokens,
        seconds=0.1,
    )


def brief(row: Stored) -> StoredReply:
    """Return what a look-up gives of a stored reply."""
    return StoredReply(**{field.name: getattr(row, field.name) for field in fields(StoredReply)})


def shard_files(folder: Path) -> list[Path]:
    """Return the shards below a folder, the oldest first."""
    return sorted(folder.rglob("*.parquet"), key=lambda path: path.name)


def _flip(data: bytes, place: float) -> bytes:
    changed = bytearray(data)
    changed[int(place * (len(data) - 1))] ^= 0x10
    return bytes(changed)


def _zeroed(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(512) + data[middle + 512 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "no byte left": lambda data: data[:0],
    "truncated in the footer": lambda data: data[:-20],
    "truncated in the data": lambda data: data[: len(data) // 3],
    "all zero": lambda data: bytes(len(data)),
    "a block of zeros": _zeroed,
    "another file's bytes": lambda data: data[::-1],
    "one bit in the magic number": lambda data: _flip(data, 0),
    "one bit early in the data": lambda data: _flip(data, 0.05),
    "one bit in the middle of the data": lambda data: _flip(data, 0.5),
    "one bit in the footer": lambda data: data[:-200] + _flip(data[-200:], 0.3),
    "one bit in the footer's length": lambda data: data[:-8] + _flip(data[-8:-4], 0.4) + data[-4:],
}

BEYOND_REPLIES = frozenset({"one bit in the magic number", "a block of zeros", "one bit in the middle of the data"})
"""Damages that leave what look-ups of replies read as it was: they hit the alternatives to tokens, or nothing."""
