"""Reading the plain responses of members that were chosen item by item."""

from collections.abc import Sequence

from moco.engines.responses import Response
from moco.methods.context import AnswerContext


def chosen_responses(ctx: AnswerContext, members: Sequence[int]) -> dict[str, Response]:
    """Return every item's plain response of the member chosen for it.

    Args:
        ctx: The context; no other response is read.
        members: Position in the pool for every question, in their order.
    """
    responses: dict[str, Response] = {}
    for index in dict.fromkeys(members):
        items = [question.uid for question, member in zip(ctx.questions, members, strict=True) if member == index]
        replies = ctx.plain(index, items=items)
        responses.update((uid, replies[uid]) for uid in items)
    return responses
