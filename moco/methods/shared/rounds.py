"""Rounds in which members answer, see what others wrote, and answer again, until the member best on dev sums up."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from moco.methods.base import Answer, Request, State
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.selection import dev_means, ranking
from moco.prompts import blocks
from moco.prompts.prompt import Prompt
from moco.tasks.item import Question

_DRAWN_BY = "text_multiagent_refine"
"""All methods show answers in the order that this one draws, so that they share requests that say the same."""


def choose_summariser(ctx: FitContext) -> State:
    """Return the position of the member that is best on dev (`summariser`), and all members' means (`dev_means`)."""
    means = dev_means(ctx)
    return State({"summariser": ranking(means)[0], "dev_means": means})


def first_answers(ctx: AnswerContext) -> dict[str, list[str]]:
    """Return the answers of round 1, the members' plain responses, by item and in pool order."""
    plain = [ctx.plain(member.index) for member in ctx.pool]
    return {item.uid: [responses[item.uid].text for responses in plain] for item in ctx.questions}


def round_record(ctx: AnswerContext, item: Question, answers: Sequence[str]) -> dict[str, Any]:
    """Return what is remembered of a round of an item: its answers in pool order, and what was read out of each."""
    return {"answers": list(answers), "extracted": [ctx.extract(item, text).parsed for text in answers]}


def shown_order(ctx: AnswerContext, item: Question) -> list[int]:
    """Return the order in which an item's answers are shown, the same in every prompt of that item."""
    return [int(index) for index in ctx.rng("order", item.uid, of=_DRAWN_BY).permutation(len(ctx.pool))]


def summary_prompt(item: Question, answers: Sequence[str]) -> Prompt:
    """Return the prompt in which the summariser writes the final answer."""
    return blocks.compose(
        blocks.instruction("Several assistants answered one question. Write the final answer."),
        blocks.question(item),
        *(blocks.candidate(number, text) for number, text in enumerate(answers, 1)),
        blocks.instruction("Any of the answers may be wrong. Write one final answer."),
        blocks.answer_format(item.type),
    )


def summarised(
    ctx: AnswerContext, answers: Mapping[str, Sequence[str]], rounds: Mapping[str, Any], state: State
) -> Iterator[Answer]:
    """Yield the final answer to every question, in their order.

    Args:
        ctx: Of the method.
        answers: The last answers by item, in pool order.
        rounds: What is remembered of all rounds, by item.
        state: Says which member writes.
    """
    summariser = state.data["summariser"]
    requests = []
    for item in ctx.questions:
        shown = [answers[item.uid][index] for index in shown_order(ctx, item)]
        requests.append(Request(summariser, item.uid, summary_prompt(item, shown), "summarise"))
    for item, reply in zip(ctx.questions, ctx.generate(requests), strict=True):
        yield Answer(
            item.uid,
            reply.text,
            models=(ctx.pool[summariser].model,),
            record={"rounds": rounds[item.uid], "summariser": summariser},
        )
