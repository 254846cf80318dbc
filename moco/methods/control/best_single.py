"""Control: one member, the best on dev or a declared one, answers everything."""

from collections.abc import Iterator

from moco.config.fields import identity
from moco.decoding.fusion import mean_of_logits
from moco.methods.base import (
    Answer,
    AnswerNeeds,
    FitNeeds,
    Method,
    MethodParams,
    Needs,
    PoolInfo,
    State,
    TokenTeacher,
    method,
)
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.selection import best_on_dev


@method("control_best_single", level="control", papers=())
class BestSingle(Method):
    """Answers every item with the plain response of the member that scores best on dev.

    What a user without any collaboration would do; equal means go to the earlier member. A declared `member` needs no
    dev items, and can teach token by token.

    Cost:
        `0` calls per item. One plain response, of the chosen member; dev scores, but of a declared member.

    Records:
        Nothing per item. Of the fit the `member` and all members' `dev_means`.
    """

    class Params(MethodParams):
        """Settings of the control."""

        member: int | None = identity(
            "Place of the member that answers, from 1 in pool order; the best on dev when left out.", None, ge=1
        )

    def needs(self, pool: PoolInfo) -> Needs:
        """Dev scores, where dev chooses, then one plain response per member."""
        answer = AnswerNeeds(plain=1, plain_mode="lazy")
        if self.params.member is not None:
            return Needs(answer=answer, min_models=self.params.member)
        return Needs(fit=FitNeeds(dev_scores=True), answer=answer)

    def token_teacher(self, pool: PoolInfo) -> TokenTeacher | None:
        """Return the declared member; whom dev chooses is not known before."""
        if self.params.member is None:
            return None
        return TokenTeacher((self.params.member - 1,), mean_of_logits(1))

    def fit(self, ctx: FitContext) -> State:
        """Choose the member."""
        return best_on_dev(ctx)

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Repeat the chosen member's plain responses."""
        index = state.data["member"] if self.params.member is None else self.params.member - 1
        responses = ctx.plain(index)
        for question in ctx.questions:
            yield Answer(question.uid, responses[question.uid].text, models=(ctx.pool[index].model,))
