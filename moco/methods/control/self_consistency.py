"""Control: the member that is best on dev votes with itself."""

from collections.abc import Iterator

from moco.config.fields import identity
from moco.methods.base import Answer, AnswerNeeds, FitNeeds, Method, MethodParams, Needs, PoolInfo, State, method
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.selection import best_on_dev
from moco.methods.shared.voting import ballot, drawn


@method(
    "control_self_consistency",
    level="control",
    task_types={"multiple_choice", "exact_match", "f1_match"},
    papers=("2203.11171",),
)
class SelfConsistency(Method):
    """Answers with the most frequent answer among several samples of the member that scores best on dev.

    What the same number of generations is worth without any collaboration.

    Papers:
        2203.11171 Self-Consistency Improves Chain of Thought Reasoning in Language Models

    Cost:
        `0` calls per item. `samples` plain responses, of the chosen member; dev scores.

    Records:
        Per item the `votes` by normal form, and whether it was `tied`. Of the fit the `member` and all members'
        `dev_means`.

    Deviations:
        * The member is chosen on dev, since a pool has several.
        * Answers are compared in the metric's normal form: spellings that score alike, as 42 and $42$, are one answer.
        * Unreadable samples have no vote.
    """

    class Params(MethodParams):
        """Settings of self-consistency."""

        samples: int = identity("Samples that vote.", 4, ge=1)

    def needs(self, pool: PoolInfo) -> Needs:
        """Dev scores choose the member; its samples vote."""
        return Needs(
            fit=FitNeeds(dev_scores=True),
            answer=AnswerNeeds(plain=self.params.samples, plain_mode="lazy", extracts=True),
        )

    def fit(self, ctx: FitContext) -> State:
        """Choose the member."""
        return best_on_dev(ctx)

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Count the samples' answers, item by item."""
        index = state.data["member"]
        responses = [ctx.plain(index, sample) for sample in range(self.params.samples)]
        for question in ctx.questions:
            cast = ballot(ctx, question, [one[question.uid].text for one in responses])
            record = {"votes": cast.votes, "tied": len(cast.tied) > 1}
            if not cast.tied:
                yield Answer(question.uid, "", record=record, has_extracted=True, fallback="no readable sample")
                continue
            form = drawn(ctx, cast.tied, "tie", question.uid)
            yield Answer(
                question.uid,
                cast.reply(form),
                extracted=cast.spelling(form),
                has_extracted=True,
                models=(ctx.pool[index].model,),
                record=record,
            )
