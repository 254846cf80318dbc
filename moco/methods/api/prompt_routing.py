"""Prompt routing: the member best on dev reads what the others are good at, and names the one that answers."""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from moco.config.fields import identity
from moco.methods.base import (
    Answer,
    AnswerNeeds,
    Choice,
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
from moco.methods.shared.selection import best_on_dev
from moco.prompts import blocks
from moco.prompts.prompt import Prompt
from moco.tasks.item import Question

log = logging.getLogger("moco")

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?![\w]|\.\d)")
_NEGATED = re.compile(r"\b(?:not|never|isn't|except|without)\s*$", re.I)
_MANY_FALLBACKS = 0.05
_ONE_DIGIT = 9


@method("api_prompt_routing", level="api", papers=("2601.21257",))
class PromptRouting(Method):
    """Lets the member best on dev choose, from one description per member, which of them answers.

    The chosen member's plain response is the answer. The router replies greedily with a number; a reply that makes no choice
    leaves the question to the router itself.

    Papers:
        2601.21257 MoCo: A One-Stop Shop for Model Collaboration Research

    Cost:
        `1 + rotations` calls per item, of the router, with at most `max_new_tokens` tokens. One plain response, of the chosen
        member.

    Records:
        Per item the `router`, its `reply` and the `choice` that was read in it, counted from 1, or the `logprobs` of all
        numbers, and the `member` that answers; with rotations the members chosen then (`rotated`), and whether one of
        them is another (`flipped`). Of the fit the router, as `member`, and all members' `dev_means`.

    Deviations:
        * The choice is the first number of the reply that stands alone, is not negated and is in range: the original
          takes the highest number that occurs anywhere, so years, comparisons and quoted numbers route to late members.
        * A reply that repeats one description instead of its number is understood.
        * The router replies greedily and shortly: sampled routes differ from run to run, and a number needs few tokens.
        * A reply without a choice is counted as a fallback: the original leaves the item to the router too, but nobody
          learns of it.
        * `choice: likeliest` compares the numbers' log-probabilities instead, and `rotations` tell whether the order of
          the descriptions decides.
    """

    class Params(MethodParams):
        """Settings of prompt routing."""

        choice: Literal["reply", "likeliest"] = identity(
            "Read the number in the router's reply, or take the number that it finds likeliest, which cannot fail.",
            "reply",
        )
        max_new_tokens: int = identity("Longest reply of the router, in tokens; more for models that think.", 16, ge=1)
        rotations: int = identity(
            "Further times that the router is asked, with the descriptions moved on by a place each, to see whether their"
            " order decides; the first choice counts.",
            0,
            ge=0,
        )

    def needs(self, pool: PoolInfo) -> Needs:
        """Dev scores choose the router; every member has a description and plain responses."""
        return Needs(
            fit=FitNeeds(dev_scores=True),
            answer=AnswerNeeds(plain=1, plain_mode="lazy", generates=True),
            min_models=2,
            capabilities=frozenset({"logits"}) if self.params.choice == "likeliest" else frozenset(),
            descriptions=True,
        )

    def fit(self, ctx: FitContext) -> State:
        """Choose the router."""
        return best_on_dev(ctx)

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Ask the router about every item, then look the chosen members' responses up."""
        router, orders = state.data["member"], range(1 + self.params.rotations)
        asked = [(question, order) for question in ctx.questions for order in orders]
        found = self._asked(ctx, router, asked) if asked else []
        choices = found[:: len(orders)]
        chosen = [router if choice.member is None else choice.member for choice in choices]
        responses = chosen_responses(ctx, chosen)
        for place, (question, member) in enumerate(zip(ctx.questions, chosen, strict=True)):
            first, *others = found[place * len(orders) : (place + 1) * len(orders)]
            record: dict[str, Any] = {"router": router, **first.record, "member": member}
            if others:
                rotated = [other.member for other in others]
                record |= {"rotated": rotated, "flipped": any(other != first.member for other in rotated)}
            yield Answer(
                question.uid,
                responses[question.uid].text,
                models=(ctx.pool[member].model,),
                record=record,
                fallback="no choice in the router's reply" if first.member is None else None,
            )
        fallbacks = sum(choice.member is None for choice in choices)
        if fallbacks > _MANY_FALLBACKS * len(ctx.questions):
            log.warning("the router named no model for %d of %d items", fallbacks, len(ctx.questions))

    def _asked(self, ctx: AnswerContext, router: int, asked: Sequence[tuple[Question, int]]) -> "list[_Choice]":
        """Return which member the router chooses for each question, with the descriptions moved on by some places."""
        size = len(ctx.pool)
        orders = [[(place + order) % size for place in range(size)] for _, order in asked]
        shown = [[ctx.pool[member].description for member in order] for order in orders]
        prompts = [routing_prompt(question, texts) for (question, _), texts in zip(asked, shown, strict=True)]
        if self.params.choice == "likeliest":
            names = numbers(size)
            values = ctx.choose(
                [
                    Choice(router, question.uid, prompt, names, "route")
                    for (question, _), prompt in zip(asked, prompts, strict=True)
                ]
            )
            return [
                _Choice(order[each.index(max(each))], {"logprobs": [round(value, 6) for value in each]})
                for order, each in zip(orders, values, strict=True)
            ]
        decoding = ctx.decoding.model_copy(update={"temperature": 0.0, "max_new_tokens": self.params.max_new_tokens})
        replies = ctx.generate(
            [
                Request(router, question.uid, prompt, "route", decoding=decoding)
                for (question, _), prompt in zip(asked, prompts, strict=True)
            ]
        )
        choices = [parse_choice(reply.text, texts) for reply, texts in zip(replies, shown, strict=True)]
        return [
            _Choice(None if choice is None else order[choice - 1], {"reply": reply.text, "choice": choice})
            for reply, choice, order in zip(replies, choices, orders, strict=True)
        ]


@dataclass(frozen=True)
class _Choice:
    """Which member a router chose, if any, and what is remembered of it."""

    member: int | None
    record: dict[str, Any]


def numbers(count: int) -> tuple[str, ...]:
    """Return what a router would write for each description; none is the beginning of another."""
    return tuple(f"{number})" if count > _ONE_DIGIT else str(number) for number in range(1, count + 1))


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
