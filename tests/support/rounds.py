"""Answering with scripted models in rounds, and looking into what they were asked."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from moco.methods.base import Answer, PoolInfo, State
from moco.methods.catalogue import make_method
from moco.methods.context import AnswerContext
from moco.tasks.item import Question
from support.contexts import answer_context
from support.engines import Asked, Engine, Replies
from support.items import questions

_BLOCK = re.compile(r"^\[([^\]]+)\]\n(.*?)\n\[end\]$", re.DOTALL | re.MULTILINE)


def shown(prompt: str) -> list[tuple[str, str]]:
    """Return titles and texts of the blocks of a prompt."""
    return _BLOCK.findall(prompt)


def by_purpose(engine: Engine, purpose: str) -> list[Asked]:
    """Return what was asked for a purpose."""
    return [asked for asked in engine.requests if asked.purpose == purpose]


def answered(
    id: str,
    params: Mapping[str, Any],
    *,
    models: Sequence[str],
    replies: Replies | Engine,
    member: int = 0,
    items: int | Sequence[Question] = 3,
    kind: str = "exact_match",
    **settings: Any,
) -> tuple[list[Answer], Engine, AnswerContext]:
    """Return a method's answers, what ran its models, and its context.

    Args:
        id: Of the method.
        params: Its settings.
        models: The pool.
        replies: As for `answer_context`.
        member: Who is best on dev.
        items: Questions, or how many.
        kind: Task type of these.
        settings: Of the context.
    """
    method = make_method(id, dict(params))
    engine = replies if isinstance(replies, Engine) else Engine(replies)
    ctx = answer_context(
        models=models,
        questions=questions(items, kind) if isinstance(items, int) else items,
        replies=engine,
        method=id,
        needs=method.needs(PoolInfo.of_size(len(models))),
        **settings,
    )
    return list(method.answer(ctx, State({"member": member}))), engine, ctx
