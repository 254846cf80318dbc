"""Multi-agent feedback: members review each other's answers and rewrite their own, then one summarises."""

from collections.abc import Iterator, Sequence

from moco.config.fields import identity
from moco.methods.base import Answer, Method, MethodParams, Needs, PoolInfo, Request, State, method
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.rounds import (
    History,
    answers,
    first_round,
    next_round,
    shown,
    summarised,
    summary_needs,
    summary_prompt,
)
from moco.methods.shared.selection import best_on_dev
from moco.prompts import blocks
from moco.prompts.prompt import Prompt
from moco.tasks.item import Question


def review_prompt(item: Question, answer: str) -> Prompt:
    """Return the prompt in which a member reviews somebody else's answer."""
    return blocks.compose(
        blocks.instruction("You work with other assistants on one question. Review the answer of one of them."),
        blocks.question(item),
        blocks.block("answer", answer),
        blocks.instruction("Say what is right, what is wrong or missing, and how to improve it. Write feedback only."),
    )


def rewrite_prompt(item: Question, own: str, reviews: Sequence[str]) -> Prompt:
    """Return the prompt in which a member rewrites its own answer after reading reviews of it."""
    # A request that speaks of feedback has small models write some.
    return blocks.compose(
        blocks.instruction("Several assistants work on one question. Improve your answer with what they say about it."),
        blocks.question(item),
        blocks.block("your answer", own),
        *(blocks.feedback(number, text) for number, text in enumerate(reviews, 1)),
        blocks.instruction("Some of it may be wrong. Write your improved answer."),
        blocks.answer_format(item.type),
    )


Reviews = dict[tuple[str, int], dict[int, str]]
"""Reviews of each item's and author's answer by reviewer, in the order in which the author reads them."""


@method("text_multiagent_feedback", level="text", papers=("2402.00367",))
class MultiagentFeedback(Method):
    """All members answer, rewrite their answers after reviews by others, and the member best on dev writes the final one.

    Round 1 is the plain response. In every further round some other members review each answer without seeing their
    own, and its author rewrites it from its previous answer and the reviews. The summariser sees all last answers.

    Papers:
        2402.00367 Don't Hallucinate, Abstain: Identifying LLM Knowledge Gaps via Multi-LLM Collaboration

    Cost:
        `(rounds - 1) * members * (min(reviewers, members - 1) + 1) + 1` calls per item: reviews and rewritten answers
        of every round, and the summary. One plain response of every member; dev scores.

    Records:
        Per item all `rounds`, each with the `answers` and what was `extracted` from them, and from the second on the
        `reviewers` and `reviews` of every answer; and the `summariser`. Of the fit its position as `member` and all members'
        `dev_means`.

    Deviations:
        * Reviewers are drawn by seed, item, author and round, so that a run can be repeated; with `balanced` all review
          equally much.
        * Answers and reviews stand in delimited blocks: between bare dashes a list within one answer looks like further
          answers.
        * The answer format is repeated at the end: asked for a long answer, models forget it.
        * The summariser sees the answers in an order drawn per item: else the first member would always stand first.
        * `rounds` counts the first answers, as the original does, whose text says otherwise.
    """

    class Params(MethodParams):
        """Settings of multi-agent feedback."""

        rounds: int = identity(
            "Rounds in total; the first is the plain answer, the others review and rewrite.", 3, ge=1
        )
        reviewers: int = identity("Reviewers of an answer in a round; all others where the pool has fewer.", 3, ge=1)
        balanced: bool = identity("Let all members review equally many answers of an item in a round.", False)

    def needs(self, pool: PoolInfo) -> Needs:
        """Dev scores choose the summariser; round 1 is shared."""
        return summary_needs()

    def fit(self, ctx: FitContext) -> State:
        """Choose the summariser."""
        return best_on_dev(ctx)

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Review and rewrite round by round, then summarise."""
        history = first_round(ctx)
        for number in range(2, self.params.rounds + 1):
            reviews = self._review(ctx, history, number)
            prompts = {
                (item.uid, author): rewrite_prompt(item, text, list(reviews[item.uid, author].values()))
                for item in ctx.questions
                for author, text in enumerate(answers(history, item))
            }
            next_round(ctx, history, prompts, f"rewrite {number}")
            for item in ctx.questions:
                own = [reviews[item.uid, member.index] for member in ctx.pool]
                about = {"reviewers": [list(each) for each in own], "reviews": [list(each.values()) for each in own]}
                history[item.uid][-1].update(about)
        summaries = {item.uid: summary_prompt(item, shown(ctx, history, item)) for item in ctx.questions}
        yield from summarised(ctx, history, state, summaries)

    def _review(self, ctx: AnswerContext, history: History, number: int) -> Reviews:
        requests, assigned = [], []
        for item in ctx.questions:
            for author, text in enumerate(answers(history, item)):
                prompt = review_prompt(item, text)
                for reviewer in self._reviewers(ctx, item.uid, author, number):
                    requests.append(Request(reviewer, item.uid, prompt, f"review {number}"))
                    assigned.append((item.uid, author, reviewer))
        reviews: Reviews = {}
        for (uid, author, reviewer), reply in zip(assigned, ctx.generate(requests), strict=True):
            reviews.setdefault((uid, author), {})[reviewer] = reply.text
        return reviews

    def _reviewers(self, ctx: AnswerContext, uid: str, author: int, number: int) -> list[int]:
        """Return who reviews an answer. How far they stand behind its author in the pool is drawn.

        Equal distances for all authors make all members review equally many answers.
        """
        whose = "" if self.params.balanced else f" of {author}"
        distances = 1 + ctx.rng(f"reviewers{whose} in round {number}", uid).permutation(len(ctx.pool) - 1)
        return [(author + int(distance)) % len(ctx.pool) for distance in distances[: self.params.reviewers]]
