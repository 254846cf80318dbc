"""Multi-agent refinement: members rewrite their answers after seeing everybody's, then one summarises."""

from collections.abc import Iterator, Sequence

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
from moco.methods.shared.selection import dev_means, ranking
from moco.prompts import blocks
from moco.tasks.item import Question


def refine_prompt(item: Question, own: str, others: Sequence[str]) -> str:
    """Return the prompt in which a member improves its own answer."""
    return blocks.compose(
        blocks.instruction("Several assistants work on one question. Improve your answer with the help of theirs."),
        blocks.question(item),
        blocks.block("your answer", own),
        *(blocks.candidate(number, text) for number, text in enumerate(others, 1)),
        blocks.instruction("Other answers may be wrong. Write your improved answer."),
        blocks.answer_format(item.type),
    )


def summary_prompt(item: Question, answers: Sequence[str]) -> str:
    """Return the prompt in which the summariser writes the final answer."""
    return blocks.compose(
        blocks.instruction("Several assistants answered one question. Write the final answer."),
        blocks.question(item),
        *(blocks.candidate(number, text) for number, text in enumerate(answers, 1)),
        blocks.instruction("Any of the answers may be wrong. Write one final answer."),
        blocks.answer_format(item.type),
    )


@method("text_multiagent_refine", level="text", papers=("2305.14325",))
class MultiagentRefine(Method):
    """All members answer, rewrite their answers in rounds, and the member best on dev writes the final one.

    Round 1 is the plain response. In every further round a member sees its own previous answer and those of all
    others; the summariser sees all last answers.

    Differs from the original: answers stand in delimited blocks, in an order drawn per item; the answer format is
    repeated at the end; members may stop early when all answers agree.
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
            answer=AnswerNeeds(plain=1, generates=True, extracts=self.params.early_stop),
            min_models=2,
        )

    def fit(self, ctx: FitContext) -> State:
        """Choose the summariser."""
        means = dev_means(ctx)
        return State({"summariser": ranking(means)[0], "dev_means": means})

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Refine round by round, then summarise."""
        plain = [ctx.plain(member.index) for member in ctx.pool]
        history = {item.uid: [[responses[item.uid].text for responses in plain]] for item in ctx.questions}
        for number in range(2, self.params.rounds + 1):
            self._refine(ctx, history, number)
        yield from self._summarise(ctx, history, state.data["summariser"])

    def _refine(self, ctx: AnswerContext, history: dict[str, list[list[str]]], number: int) -> None:
        open_items = [item for item in ctx.questions if not self._agreed(ctx, item, history[item.uid][-1])]
        requests = []
        for item in open_items:
            last = history[item.uid][-1]
            for member in ctx.pool:
                others = [index for index in _order(ctx, item, len(last)) if index != member.index]
                prompt = refine_prompt(item, last[member.index], [last[index] for index in others])
                requests.append(Request(member.index, item.uid, prompt, f"refine {number}"))
        replies = iter(ctx.generate(requests))
        for item in open_items:
            history[item.uid].append([next(replies).text for _ in ctx.pool])

    def _agreed(self, ctx: AnswerContext, item: Question, answers: Sequence[str]) -> bool:
        if not self.params.early_stop:
            return False
        parsed = [ctx.extract(item, text).parsed for text in answers]
        return None not in parsed and len({ctx.normal_form(item, str(answer)) for answer in parsed}) == 1

    def _summarise(self, ctx: AnswerContext, history: dict[str, list[list[str]]], summariser: int) -> Iterator[Answer]:
        requests = []
        for item in ctx.questions:
            last = history[item.uid][-1]
            prompt = summary_prompt(item, [last[index] for index in _order(ctx, item, len(last))])
            requests.append(Request(summariser, item.uid, prompt, "summarise"))
        for item, reply in zip(ctx.questions, ctx.generate(requests), strict=True):
            yield Answer(
                item.uid,
                reply.text,
                models=(ctx.pool[summariser].model,),
                record={"rounds": history[item.uid], "summariser": summariser},
            )


def _order(ctx: AnswerContext, item: Question, count: int) -> list[int]:
    """Return the order in which an item's answers are shown, the same in every prompt of that item."""
    return [int(index) for index in ctx.rng("order", item.uid).permutation(count)]
