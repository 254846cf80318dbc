"""Multi-agent refinement: members rewrite their answers after seeing everybody's, then one summarises."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
from moco.methods.shared.rounds import choose_summariser, first_answers, round_record, shown_order, summarised
from moco.prompts import blocks
from moco.prompts.prompt import Prompt
from moco.tasks.item import Question


def refine_prompt(item: Question, own: str, others: Sequence[str]) -> Prompt:
    """Return the prompt in which a member improves its own answer."""
    return blocks.compose(
        blocks.instruction("Several assistants work on one question. Improve your answer with the help of theirs."),
        blocks.question(item),
        blocks.block("your answer", own),
        *(blocks.candidate(number, text) for number, text in enumerate(others, 1)),
        blocks.instruction("Other answers may be wrong. Write your improved answer."),
        blocks.answer_format(item.type),
    )


@method("text_multiagent_refine", level="text", papers=("2305.14325",))
class MultiagentRefine(Method):
    """All members answer, rewrite their answers in rounds, and the member best on dev writes the final one.

    Round 1 is the plain response. In every further round a member sees its own previous answer and those of all
    others; the summariser sees all last answers.

    Papers:
        2305.14325 Improving Factuality and Reasoning in Language Models through Multiagent Debate

    Cost:
        At most `members * (rounds - 1) + 1` calls per item: rewritten answers and the summary; fewer where `early_stop`
        ends an item. One plain response of every member; dev scores.

    Records:
        Per item all `rounds`, each with the `answers` in pool order and what was `extracted` from them, and the
        `summariser`. Of the fit the `summariser` and all members' `dev_means`.

    Deviations:
        * Answers stand in delimited blocks: between bare dashes a list within one answer looks like further answers.
        * Answers are shown in an order drawn per item: else the first member would always stand first.
        * The answer format is repeated at the end: asked for a long answer, models forget it.
        * Members may stop early when all answers agree, which is off unless it is asked for.
        * `rounds` counts the first answers, as the original does, whose text says otherwise.
    """

    class Params(MethodParams):
        """Settings of multi-agent refinement."""

        rounds: int = identity("Rounds in total; the first is the plain answer, the others refine it.", 3, ge=1)
        early_stop: bool = identity(
            "Skip further rounds of an item once all its answers are readable and agree.", False
        )

    def needs(self, pool: PoolInfo) -> Needs:
        """Dev scores choose the summariser; round 1 is shared."""
        return Needs(
            fit=FitNeeds(dev_scores=True),
            answer=AnswerNeeds(plain=1, generates=True, extracts=True),
            min_models=2,
        )

    def fit(self, ctx: FitContext) -> State:
        """Choose the summariser."""
        return choose_summariser(ctx)

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Refine round by round, then summarise."""
        answers = first_answers(ctx)
        history = {item.uid: [round_record(ctx, item, answers[item.uid])] for item in ctx.questions}
        for number in range(2, self.params.rounds + 1):
            self._refine(ctx, history, number)
        yield from summarised(ctx, {uid: rounds[-1]["answers"] for uid, rounds in history.items()}, history, state)

    def _refine(self, ctx: AnswerContext, history: Mapping[str, list[dict[str, Any]]], number: int) -> None:
        open_items = [item for item in ctx.questions if not self._agreed(ctx, item, history[item.uid][-1]["extracted"])]
        requests = []
        for item in open_items:
            last = history[item.uid][-1]["answers"]
            for member in ctx.pool:
                others = [index for index in shown_order(ctx, item) if index != member.index]
                prompt = refine_prompt(item, last[member.index], [last[index] for index in others])
                requests.append(Request(member.index, item.uid, prompt, f"refine {number}"))
        replies = iter(ctx.generate(requests))
        for item in open_items:
            history[item.uid].append(round_record(ctx, item, [next(replies).text for _ in ctx.pool]))

    def _agreed(self, ctx: AnswerContext, item: Question, extracted: Sequence[str | None]) -> bool:
        if not self.params.early_stop or None in extracted:
            return False
        return len({ctx.normal_form(item, str(answer)) for answer in extracted}) == 1
