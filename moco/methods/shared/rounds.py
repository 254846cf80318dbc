"""Rounds in which members answer, see what others wrote, and answer again, until the member best on dev sums up."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from moco.methods.base import Answer, AnswerNeeds, FitNeeds, Needs, Request, State
from moco.methods.context import AnswerContext
from moco.prompts import blocks
from moco.prompts.prompt import Prompt
from moco.tasks.item import Question

_DRAWN_BY = "text_multiagent_refine"
"""All methods show answers in the order that this one draws, so that they share requests that say the same."""

History = dict[str, list[dict[str, Any]]]
"""What is remembered of every round, by item."""


def summary_needs() -> Needs:
    """Return what rounds need that end in a summary: dev scores choose who writes it, round 1 is shared."""
    return Needs(
        fit=FitNeeds(dev_scores=True),
        answer=AnswerNeeds(plain=1, generates=True, extracts=True),
        min_models=2,
    )


def first_round(ctx: AnswerContext, among: Collection[int] | None = None) -> History:
    """Return round 1, the members' plain responses.

    Args:
        ctx: Of the method.
        among: Members whose answers matter; all when left out. Nothing of the others is read.
    """
    plain = [ctx.plain(member.index) if _matters(member.index, among) else None for member in ctx.pool]
    return {
        item.uid: [round_record(ctx, item, [None if each is None else each[item.uid].text for each in plain])]
        for item in ctx.questions
    }


def next_round(
    ctx: AnswerContext,
    history: History,
    prompts: Mapping[tuple[str, int], Prompt],
    purpose: str,
    among: Collection[int] | None = None,
) -> None:
    """Let members answer again, and add the round to the history of the items that are asked about.

    Args:
        ctx: Of the method.
        history: So far.
        prompts: By item and member; who is not asked keeps the last answer.
        purpose: Of the requests.
        among: Members whose answers still matter; all when left out. The others have none from now on.
    """
    replies = ctx.generate([Request(member, uid, prompt, purpose) for (uid, member), prompt in prompts.items()])
    texts = {place: reply.text for place, reply in zip(prompts, replies, strict=True)}
    asked = {uid for uid, _ in prompts}
    for item in ctx.questions:
        if item.uid in asked:
            now = [
                texts.get((item.uid, index), last) if _matters(index, among) else None
                for index, last in enumerate(answers(history, item))
            ]
            history[item.uid].append(round_record(ctx, item, now))


def _matters(index: int, among: Collection[int] | None) -> bool:
    return among is None or index in among


def round_record(ctx: AnswerContext, item: Question, texts: Sequence[str | None]) -> dict[str, Any]:
    """Return what is remembered of a round of an item: its answers in pool order, and what was read out of each."""
    extracted = [None if text is None else ctx.extract(item, text).parsed for text in texts]
    return {"answers": list(texts), "extracted": extracted}


def answers(history: History, item: Question) -> list[str]:
    """Return the last answers to an item, in pool order."""
    return list(history[item.uid][-1]["answers"])


def shown_order(ctx: AnswerContext, item: Question) -> list[int]:
    """Return the order in which an item's answers are shown, the same in every prompt of that item."""
    return [int(index) for index in ctx.rng("order", item.uid, of=_DRAWN_BY).permutation(len(ctx.pool))]


def shown(ctx: AnswerContext, history: History, item: Question) -> list[str]:
    """Return the last answers to an item, in the order in which they are shown."""
    last = answers(history, item)
    return [last[index] for index in shown_order(ctx, item)]


def summary_prompt(item: Question, texts: Sequence[str]) -> Prompt:
    """Return the prompt in which the summariser writes the final answer."""
    return _question_then_answers(
        "Several assistants answered one question. Write the final answer.",
        item,
        texts,
        "Any of the answers may be wrong. Write one final answer.",
    )


def synthesis_prompt(item: Question, texts: Sequence[str], *, question_first: bool = False) -> Prompt:
    """Return the prompt in which answers are merged into a better one; the task itself comes last, or before the answers."""
    caution = "Their answers may be biased or wrong: weigh them critically, and do not merely repeat them."
    request = "Merge them into one good answer: accurate, complete and well ordered."
    if question_first:
        return _question_then_answers(f"Several models answered one question. {caution}", item, texts, request)
    return blocks.compose(
        blocks.instruction(f"Several models answered the question below. {caution} {request}"),
        *_candidates(texts),
        blocks.instruction("The question:"),
        blocks.task_prompt(item),
    )


def _question_then_answers(opening: str, item: Question, texts: Sequence[str], request: str) -> Prompt:
    return blocks.compose(
        blocks.instruction(opening),
        blocks.question(item),
        *_candidates(texts),
        blocks.instruction(request),
        blocks.answer_format(item.type),
    )


def _candidates(texts: Sequence[str]) -> list[Prompt]:
    return [blocks.candidate(number, text) for number, text in enumerate(texts, 1)]


def summarised(
    ctx: AnswerContext,
    history: History,
    state: State,
    prompts: Mapping[str, Prompt],
    *,
    purpose: str = "summarise",
    role: str = "summariser",
) -> Iterator[Answer]:
    """Yield the final answer to every question, in their order.

    Args:
        ctx: Of the method.
        history: Of all rounds.
        state: Says which member writes.
        prompts: By item.
        purpose: Of the requests.
        role: What the record calls the writer.
    """
    writer = state.data["member"]
    requests = [Request(writer, item.uid, prompts[item.uid], purpose) for item in ctx.questions]
    for item, reply in zip(ctx.questions, ctx.generate(requests), strict=True):
        yield Answer(
            item.uid,
            reply.text,
            models=(ctx.pool[writer].model,),
            record={"rounds": history[item.uid], role: writer},
        )
