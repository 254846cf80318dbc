"""Control: a random member answers."""

from collections.abc import Iterator

from moco.methods.base import Answer, AnswerNeeds, Method, Needs, State, method
from moco.methods.context import AnswerContext


@method("control_random", level="control", paper="control, no paper")
class Random(Method):
    """For every item, answers with the plain response of a member drawn at random.

    The lower bound of routing: a router that knows nothing.
    """

    def needs(self, models: int) -> Needs:
        """One plain response per member."""
        return Needs(answer=AnswerNeeds(plain=1))

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Draw one member per item."""
        responses = [ctx.plain(member.index) for member in ctx.pool]
        for question in ctx.questions:
            index = int(ctx.rng("member", question.uid).integers(len(ctx.pool)))
            yield Answer(
                question.uid,
                responses[index][question.uid].text,
                models=(ctx.pool[index].model,),
                record={"member": index},
            )
