"""Control: a random member answers."""

from collections.abc import Iterator

from moco.methods.base import Answer, AnswerNeeds, Method, Needs, PoolInfo, State, method
from moco.methods.context import AnswerContext
from moco.methods.shared.routing import chosen_responses


@method("control_random", level="control", papers=())
class Random(Method):
    """For every item, answers with the plain response of a member drawn at random.

    The lower bound of routing: a router that knows nothing.

    Cost:
        `0` calls per item. One plain response, of the drawn member.

    Records:
        Per item the `member` that answers.
    """

    def needs(self, pool: PoolInfo) -> Needs:
        """One plain response per member."""
        return Needs(answer=AnswerNeeds(plain=1, plain_mode="lazy"))

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Draw one member per item."""
        drawn = [int(ctx.rng("member", question.uid).integers(len(ctx.pool))) for question in ctx.questions]
        responses = chosen_responses(ctx, drawn)
        for question, index in zip(ctx.questions, drawn, strict=True):
            yield Answer(
                question.uid,
                responses[question.uid].text,
                models=(ctx.pool[index].model,),
                record={"member": index},
            )
