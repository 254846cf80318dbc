"""Work that takes every item another number of steps, in common rounds of requests."""

from collections.abc import Generator, Mapping
from typing import TypeVar

from moco.engines.responses import Response
from moco.methods.base import Request
from moco.methods.context import AnswerContext

T = TypeVar("T")
Course = Generator[list[Request], list[Response], T]
"""Work on one item: it yields what it asks next, is sent the replies, and returns what came of it."""


def in_step(ctx: AnswerContext, courses: Mapping[str, Course[T]]) -> dict[str, T]:
    """Return what came of courses, whose requests are asked in common rounds, each item at its own pace.

    Args:
        ctx: Of the method.
        courses: By item.
    """
    done: dict[str, T] = {}
    waiting: dict[str, list[Request]] = {}

    def go_on(uid: str, replies: list[Response] | None) -> None:
        try:
            # The first step of a generator takes nothing.
            waiting[uid] = next(courses[uid]) if replies is None else courses[uid].send(replies)
        except StopIteration as end:
            waiting.pop(uid, None)
            done[uid] = end.value

    for uid in courses:
        go_on(uid, None)
    while waiting:
        replies = iter(ctx.generate([request for requests in waiting.values() for request in requests]))
        for uid, requests in list(waiting.items()):
            go_on(uid, [next(replies) for _ in requests])
    return done
