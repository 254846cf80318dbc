"""Prompt routing: the member best on dev reads what the others are good at, and names the one that answers."""

import logging
import re
from collections.abc import Iterator, Sequence

from moco.config.fields import identity
from moco.methods.base import (
    Answer,
    AnswerNeeds,
    FitNeeds,
    Method,
    MethodParams,
    Needs,
    PoolInfo,
    Request,
    State,
    method,
)
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.routing import chosen_responses
from moco.methods.shared.selection import dev_means, ranking
from moco.prompts import blocks
from moco.prompts.prompt import Prompt
from moco.tasks.item import Question

log = logging.getLogger("moco")

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?![\w]|\.\d)")
_NEGATED = re.compile(r"\b(?:not|never|isn't|except|without)\s*$", re.I)
_MANY_FALLBACKS = 0.05


@method("api_prompt_routing", level="api", papers=("2601.21257",))
class PromptRouting(Method):
    """Lets the member best on dev choose, from one description per member, which of them answers.

    The chosen member's plain response is the answer. The router replies greedily with a number; a reply that makes no choice
    leaves the question to the router itself.

    Papers:
        2601.21257 MoCo: A One-Stop Shop for Model Collaboration Research

    Cost:
        `1` call per item, of the router, with at most `max_new_tokens` tokens. One plain response, of the chosen
        member.

    Records:
        Per item the `router`, its `reply`, the `choice` that was read in it, counted from 1, and the `member` that
        answers. Of the fit the `router` and all members' `dev_means`.

    Deviations:
        * The choice is the first number of the reply that stands alone, is not negated and is in range: the original
          takes the highest number that occurs anywhere, so years, comparisons and quoted numbers route to late members.
        * A reply that repeats one description instead of its number is understood.
        * The router replies greedily and shortly: sampled routes differ from run to run, and a number needs few tokens.
        * A reply without a choice is counted as a fallback: the original leaves the item to the router too, but nobody
          learns of it.
    """

    class Params(MethodParams):
        """Settings of prompt routing."""

        max_new_tokens: int = identity("Longest reply of the router, in tokens; more for models that think.", 16, ge=1)

    def needs(self, pool: PoolInfo) -> Needs:
        """Dev scores choose the router; every member has a description and plain responses."""
        return Needs(
            fit=FitNeeds(dev_scores=True),
            answer=AnswerNeeds(plain=1, plain_mode="lazy", generates=True),
            min_models=2,
            descriptions=True,
        )

    def fit(self, ctx: FitContext) -> State:
        """Choose the router."""
        means = dev_means(ctx)
        return State({"router": ranking(means)[0], "dev_means": means})

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Ask the router about every item, then look the chosen members' responses up."""
        router = state.data["router"]
        descriptions = [member.description for member in ctx.pool]
        decoding = ctx.decoding.model_copy(update={"temperature": 0.0, "max_new_tokens": self.params.max_new_tokens})
        requests = [
            Request(router, question.uid, routing_prompt(question, descriptions), "route", decoding=decoding)
            for question in ctx.questions
        ]
        replies = ctx.generate(requests)
        choices = [parse_choice(reply.text, descriptions) for reply in replies]
        fallbacks = choices.count(None)
        chosen = [router if choice is None else choice - 1 for choice in choices]
        responses = chosen_responses(ctx, chosen)
        for question, reply, choice, member in zip(ctx.questions, replies, choices, chosen, strict=True):
            yield Answer(
                question.uid,
                responses[question.uid].text,
                models=(ctx.pool[member].model,),
                record={"router": router, "reply": reply.text, "choice": choice, "member": member},
                fallback="no choice in the router's reply" if choice is None else None,
            )
        if fallbacks > _MANY_FALLBACKS * len(ctx.questions):
            log.warning("the router named no model for %d of %d items", fallbacks, len(ctx.questions))


def routing_prompt(question: Question, descriptions: Sequence[str]) -> Prompt:
    """Return the prompt that shows a question and numbered descriptions, and asks for a number."""
    return blocks.compose(
        blocks.instruction("You pass questions on to the model that can answer them best."),
        blocks.block("question", blocks.question(question), shrinks=False),
        blocks.instruction("The models and what they are good at:"),
        blocks.listed(descriptions),
        blocks.instruction("Which of these models fits best? Write its number only."),
    )


def parse_choice(reply: str, descriptions: Sequence[str]) -> int | None:
    """Return which description a reply chooses, counted from 1, or None.

    That is the first standing number that is in range and not negated; in a reply without one, the only description
    that it repeats word for word.
    """
    for found in _NUMBER.finditer(reply):
        if 1 <= int(found[0]) <= len(descriptions) and not _NEGATED.search(reply[: found.start()]):
            return int(found[0])
    repeated = [place for place, text in enumerate(descriptions, start=1) if text.casefold() in reply.casefold()]
    return repeated[0] if len(repeated) == 1 else None
