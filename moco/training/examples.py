"""What models learn from: texts with their origin."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

Reward: TypeAlias = Callable[[Sequence[tuple[str, str]]], Sequence[float | None]]
"""Gives the rewards of replies to items, each named by its uid; None where there is none."""


class Example(NamedTuple):
    """One thing to learn; a pair of prompt and reply is one too.

    Attributes:
        prompt: One user turn.
        reply: What shall be said; empty where the model tries for itself (GRPO).
        rejected: A worse reply (DPO).
        uid: The item that it comes from.
        source: What it is made of: a member, a step of the method.
    """

    prompt: str
    reply: str = ""
    rejected: str = ""
    uid: str = ""
    source: str = ""
