"""Knowledge card: members write down what they know about a question, and one answers with all of it in view."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from moco.config.fields import identity
from moco.engines.responses import Response
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
from moco.methods.shared.selection import best_on_dev
from moco.prompts import blocks
from moco.prompts.prompt import Prompt
from moco.tasks.item import Question

_SENTENCES = re.compile(r".*[.!?](?=\s|$)", re.DOTALL)


def knowledge_prompt(item: Question, *, whole_task: bool = False) -> Prompt:
    """Return the prompt in which a member writes down what it knows; one for all members."""
    return blocks.compose(
        blocks.instruction("Write down knowledge that helps somebody else to answer the question below."),
        blocks.task_prompt(item) if whole_task else blocks.question(item),
        "" if whole_task else blocks.instruction("Facts only: do not answer the question."),
        blocks.instruction("Knowledge:"),
    )


def informed_prompt(item: Question, passages: Sequence[str]) -> Prompt:
    """Return the prompt in which the answerer has all passages in view."""
    return blocks.compose(
        blocks.instruction("Several assistants wrote down what they know about a question."),
        blocks.question(item),
        *(blocks.block(f"knowledge {number}", text) for number, text in enumerate(passages, 1)),
        blocks.instruction("Use what helps. Some of it may be wrong. Write a full answer."),
        blocks.answer_format(item.type),
    )


@method("text_knowledge_card", level="text", papers=("2305.09955", "2110.08387"))
class KnowledgeCard(Method):
    """All members write knowledge about a question instead of answers, and the member best on dev answers with it.

    Papers:
        2305.09955 Knowledge Card: Filling LLMs' Knowledge Gaps with Plug-in Specialized Language Models
        2110.08387 Generated Knowledge Prompting for Commonsense Reasoning

    Cost:
        `members + 1 - exclude_self` calls per item: a passage of every member, and the answer. No plain response but
        those whose dev scores choose the member that answers.

    Records:
        Per item the position of the `member` that answers, the `passages` as they were written, and which were `cut` at
        the token limit. Of the fit that `member` and all members' `dev_means`.

    Deviations:
        * Members see the question without the request for an answer's format and are told not to answer: else answers
          are what they write. `see: task` restores the original.
        * The answerer's own passage is not even asked for where it is excluded.
        * A passage that ends at the token limit is shown up to its last whole sentence.
        * Passages stand in delimited blocks, and the answer format is repeated at the end.
    """

    class Params(MethodParams):
        """Settings of the knowledge card."""

        exclude_self: bool = identity("Leave out the knowledge of the member that answers.", False)
        see: Literal["question", "task"] = identity(
            "What members write about: the question with its options, or the whole prompt of the task.", "question"
        )
        passage_tokens: int | None = identity("Longest passage, in tokens; as a reply when null.", None, ge=1)

    def needs(self, pool: PoolInfo) -> Needs:
        """Dev scores choose who answers; no plain response is read."""
        return Needs(
            fit=FitNeeds(dev_scores=True),
            answer=AnswerNeeds(generates=True),
            min_models=2 if self.params.exclude_self else 1,
        )

    def fit(self, ctx: FitContext) -> State:
        """Choose who answers."""
        return best_on_dev(ctx)

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Gather knowledge, then answer."""
        best = state.data["member"]
        gathered = self._gather(ctx, best)
        passages = {uid: [whole_sentences(reply) for reply in replies] for uid, replies in gathered.items()}
        requests = [
            Request(best, item.uid, informed_prompt(item, passages[item.uid]), "answer") for item in ctx.questions
        ]
        for item, reply in zip(ctx.questions, ctx.generate(requests), strict=True):
            replies = gathered[item.uid]
            yield Answer(
                item.uid,
                reply.text,
                models=(ctx.pool[best].model,),
                record={
                    "member": best,
                    "passages": [one.text for one in replies],
                    "cut": [one.finish == "length" for one in replies],
                },
                fallback=None if any(passages[item.uid]) else "no knowledge was written",
            )

    def _gather(self, ctx: AnswerContext, best: int) -> dict[str, list[Response]]:
        """Return the passages on every item, in pool order."""
        tokens = self.params.passage_tokens
        decoding = ctx.decoding.model_copy(update={"max_new_tokens": tokens}) if tokens else None
        writers = [place.index for place in ctx.pool if not (self.params.exclude_self and place.index == best)]
        requests = [
            Request(writer, item.uid, prompt, "knowledge", decoding=decoding)
            for item in ctx.questions
            for prompt in [knowledge_prompt(item, whole_task=self.params.see == "task")]
            for writer in writers
        ]
        replies = iter(ctx.generate(requests))
        return {item.uid: [next(replies) for _ in writers] for item in ctx.questions}


def whole_sentences(reply: Response) -> str:
    """Return the text of a passage; of one that ends at the token limit, what its last whole sentence ends."""
    found = _SENTENCES.match(reply.text) if reply.finish == "length" else None
    return (reply.text if found is None else found[0]).strip()
