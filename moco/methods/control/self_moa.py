"""Control: the member that is best on dev merges its own samples."""

from collections.abc import Iterator

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
from moco.methods.shared.rounds import synthesis_prompt
from moco.methods.shared.selection import best_on_dev


@method("control_self_moa", level="control", papers=("2502.00674",))
class SelfMoA(Method):
    """The member that scores best on dev merges several of its own answers, by the prompt of the mixture of agents.

    What the generations of such a mixture are worth without any other model; published to beat mixtures of different
    ones.

    Papers:
        2502.00674 Rethinking Mixture-of-Agents: Is Mixing Different Large Language Models Beneficial?

    Cost:
        `1` calls per item: the merged answer. `samples` plain responses of one member, as many as the pool has members
        where that is not set; dev scores.

    Records:
        Per item the `answers` that are merged, and the position of the `member`. Of the fit that `member` and all
        members' `dev_means`.

    Deviations:
        * It is no method of the original: it is what `text_moa` must be read against.
    """

    class Params(MethodParams):
        """Settings of the control."""

        samples: int | None = identity(
            "Answers that are merged; as many as the pool has members when null.", None, ge=1
        )
        question_first: bool = identity("Show the question before the answers, not after them.", False)

    def needs(self, pool: PoolInfo) -> Needs:
        """Dev scores choose the member; its samples are merged."""
        samples = self._samples(len(pool))
        return Needs(
            fit=FitNeeds(dev_scores=True), answer=AnswerNeeds(plain=samples, plain_mode="lazy", generates=True)
        )

    def fit(self, ctx: FitContext) -> State:
        """Choose the member."""
        return best_on_dev(ctx)

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Show the member its own samples."""
        index = state.data["member"]
        samples = [ctx.plain(index, sample) for sample in range(self._samples(len(ctx.pool)))]
        texts = {item.uid: [one[item.uid].text for one in samples] for item in ctx.questions}
        prompts = {
            item.uid: synthesis_prompt(item, texts[item.uid], question_first=self.params.question_first)
            for item in ctx.questions
        }
        requests = [Request(index, uid, prompt, "aggregate") for uid, prompt in prompts.items()]
        for item, reply in zip(ctx.questions, ctx.generate(requests), strict=True):
            record = {"answers": texts[item.uid], "member": index}
            yield Answer(item.uid, reply.text, models=(ctx.pool[index].model,), record=record)

    def _samples(self, members: int) -> int:
        return members if self.params.samples is None else self.params.samples
