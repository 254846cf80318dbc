"""Control: the reply that its author found most likely."""

from collections.abc import Iterator
from statistics import fmean

from moco.config.fields import identity
from moco.engines.responses import Response
from moco.methods.base import Answer, AnswerNeeds, FitNeeds, Method, MethodParams, Needs, PoolInfo, State, method
from moco.methods.context import AnswerContext, FitContext


@method("control_most_likely", level="control", papers=())
class MostLikely(Method):
    """Answers with the plain response that has the highest mean log-probability under its own model.

    What the models' own confidence is worth as a router, without a threshold and without a word said. With
    `calibrated`, each member's mean over dev is subtracted first, so that a model that is always sure has no advantage.

    Cost:
        `0` calls per item. One plain response of every member; on dev too where they are calibrated.

    Records:
        Per item the `member` that answers, and the `surplus` of every member's mean log-probability. Of the fit the
        members' mean log-probabilities on dev (`dev_means`).
    """

    class Params(MethodParams):
        """Settings of the control."""

        calibrated: bool = identity("Compare with each member's own mean on dev.", True)

    def needs(self, pool: PoolInfo) -> Needs:
        """One plain response per member, on dev too where they are calibrated."""
        fit = FitNeeds(plain=1) if self.params.calibrated else None
        return Needs(fit=fit, answer=AnswerNeeds(plain=1))

    def fit(self, ctx: FitContext) -> State:
        """Remember how likely each member finds its replies on average."""
        means = []
        for member in ctx.pool:
            replies = ctx.plain(member.index)
            known = [value for item in ctx.questions if (value := replies[item.uid].mean_logprob) is not None]
            means.append(fmean(known) if known else 0.0)
        return State({"dev_means": means})

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Compare the members' replies, item by item."""
        usual = state.data.get("dev_means", [0.0] * len(ctx.pool))
        responses = [ctx.plain(member.index) for member in ctx.pool]
        for question in ctx.questions:
            replies = [of_member[question.uid] for of_member in responses]
            surplus = [_surplus(reply, mean) for reply, mean in zip(replies, usual, strict=True)]
            known = [value for value in surplus if value is not None]
            if not known:
                yield Answer(question.uid, "", fallback="every reply is empty")
                continue
            best = surplus.index(max(known))
            record = {"member": best, "surplus": surplus}
            yield Answer(question.uid, replies[best].text, models=(ctx.pool[best].model,), record=record)


def _surplus(reply: Response, usual: float) -> float | None:
    return None if reply.mean_logprob is None else reply.mean_logprob - usual
