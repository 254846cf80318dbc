"""Multi-agent refinement: members rewrite their answers after seeing everybody's, then one summarises."""

from collections.abc import Iterator, Sequence

from moco.config.fields import identity
from moco.methods.base import Answer, Method, MethodParams, Needs, PoolInfo, State, method
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.rounds import (
    History,
    answers,
    first_round,
    next_round,
    shown,
    shown_order,
    summarised,
    summary_needs,
    summary_prompt,
)
from moco.methods.shared.selection import best_on_dev
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
        `summariser`. Of the fit its position as `member` and all members' `dev_means`.

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
        return summary_needs()

    def fit(self, ctx: FitContext) -> State:
        """Choose the summariser."""
        return best_on_dev(ctx)

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Refine round by round, then summarise."""
        history = first_round(ctx)
        for number in range(2, self.params.rounds + 1):
            open_items = [item for item in ctx.questions if not self._agreed(ctx, history, item)]
            prompts = {
                (item.uid, member.index): self._prompt(ctx, history, item, member.index)
                for item in open_items
                for member in ctx.pool
            }
            next_round(ctx, history, prompts, f"refine {number}")
        summaries = {item.uid: summary_prompt(item, shown(ctx, history, item)) for item in ctx.questions}
        yield from summarised(ctx, history, state, summaries)

    def _prompt(self, ctx: AnswerContext, history: History, item: Question, own: int) -> Prompt:
        last = answers(history, item)
        return refine_prompt(item, last[own], [last[index] for index in shown_order(ctx, item) if index != own])

    def _agreed(self, ctx: AnswerContext, history: History, item: Question) -> bool:
        extracted = history[item.uid][-1]["extracted"]
        if not self.params.early_stop or None in extracted:
            return False
        return len({ctx.normal_form(item, answer) for answer in extracted}) == 1
