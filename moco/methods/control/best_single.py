"""Control: the member that is best on dev answers everything."""

from collections.abc import Iterator

from moco.methods.base import Answer, AnswerNeeds, FitNeeds, Method, Needs, PoolInfo, State, method
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.selection import best_on_dev


@method("control_best_single", level="control", papers=())
class BestSingle(Method):
    """Answers every item with the plain response of the member that scores best on dev.

    What a user without any collaboration would do; equal means go to the earlier member.

    Cost:
        `0` calls per item. One plain response, of the chosen member; dev scores.

    Records:
        Nothing per item. Of the fit the `member` and all members' `dev_means`.
    """

    def needs(self, pool: PoolInfo) -> Needs:
        """Dev scores, then one plain response per member."""
        return Needs(fit=FitNeeds(dev_scores=True), answer=AnswerNeeds(plain=1, plain_mode="lazy"))

    def fit(self, ctx: FitContext) -> State:
        """Choose the member."""
        return best_on_dev(ctx)

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Repeat the chosen member's plain responses."""
        index = state.data["member"]
        responses = ctx.plain(index)
        for question in ctx.questions:
            yield Answer(question.uid, responses[question.uid].text, models=(ctx.pool[index].model,))
