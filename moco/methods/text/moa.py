"""Mixture of agents: members answer with all previous answers in view, round by round, and one merges the last."""

from collections.abc import Iterator

from moco.config.fields import identity
from moco.methods.base import Answer, Method, MethodParams, Needs, PoolInfo, State, method
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.rounds import (
    History,
    answers,
    first_round,
    next_round,
    shown,
    summarised,
    summary_needs,
    synthesis_prompt,
)
from moco.methods.shared.selection import best_on_dev
from moco.prompts.prompt import Prompt


@method("text_moa", level="text", papers=("2406.04692",))
class MixtureOfAgents(Method):
    """All members propose answers, in rounds that see those of the round before; the member best on dev merges the last.

    Round 1 is the plain response. In every further round all members get one and the same prompt with all answers of
    the round before, their own unmarked among them; so does the aggregator, whose reply is the answer.

    Papers:
        2406.04692 Mixture-of-Agents Enhances Large Language Model Capabilities

    Cost:
        `members * (rounds - 1) + 1` calls per item: further proposals and the merged answer. One plain response of every
        member; dev scores.

    Records:
        Per item all `rounds`, each with the `answers` in pool order and what was `extracted` from them, and the
        `aggregator`, the position of the member that merges. Of the fit that `member` and all members' `dev_means`.

    Deviations:
        * Answers stand in delimited blocks: in a bare list one answer's own list looks like further answers.
        * Answers are shown in an order drawn per item: else the first member would always stand first.
          `shuffle: false` restores pool order.
    """

    class Params(MethodParams):
        """Settings of the mixture of agents."""

        rounds: int = identity("Rounds of proposals; the first is the plain answer.", 1, ge=1)
        shuffle: bool = identity("Show answers in an order drawn per item, not in pool order.", True)
        question_first: bool = identity("Show the question before the answers, not after them.", False)

    def needs(self, pool: PoolInfo) -> Needs:
        """Dev scores choose the aggregator; round 1 is shared."""
        return summary_needs()

    def fit(self, ctx: FitContext) -> State:
        """Choose the aggregator."""
        return best_on_dev(ctx)

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Propose round by round, then merge."""
        history = first_round(ctx)
        for number in range(2, self.params.rounds + 1):
            prompts = self._prompts(ctx, history)
            asked = {(uid, member.index): prompt for uid, prompt in prompts.items() for member in ctx.pool}
            next_round(ctx, history, asked, f"propose {number}")
        last = self._prompts(ctx, history)
        yield from summarised(ctx, history, state, last, purpose="aggregate", role="aggregator")

    def _prompts(self, ctx: AnswerContext, history: History) -> dict[str, Prompt]:
        texts = {
            item.uid: shown(ctx, history, item) if self.params.shuffle else answers(history, item)
            for item in ctx.questions
        }
        return {
            item.uid: synthesis_prompt(item, texts[item.uid], question_first=self.params.question_first)
            for item in ctx.questions
        }
