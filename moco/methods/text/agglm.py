"""AggLM: a small model learns by reinforcement to read candidate solutions and to write the right one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from moco.config.fields import identity
from moco.config.training import GrpoRecipe, SftRecipe
from moco.methods.base import (
    Answer,
    AnswerNeeds,
    FitNeeds,
    Helper,
    Method,
    MethodParams,
    Needs,
    PoolInfo,
    Request,
    State,
    method,
)
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.voting import ballot
from moco.models.recipes import Recipe
from moco.prompts import blocks
from moco.prompts.prompt import Prompt
from moco.tasks.item import Question
from moco.training.examples import Example


@dataclass(frozen=True)
class Candidates:
    """One answer of every member to an item, and whether most of them are wrong.

    Attributes:
        item: The question.
        number: Which sample of the members it is.
        texts: Replies, in pool order.
        right: Places of those that are right.
        hard: The most frequent readable answer is not right, or there is none.
        majority: Score of that answer; 0 where there is none.
    """

    item: Question
    number: int
    texts: tuple[str, ...]
    right: tuple[int, ...]
    hard: bool
    majority: float


@method("text_agglm", level="text", task_types={"multiple_choice", "exact_match", "f1_match"}, papers=("2509.06870",))
class AggLM(Method):
    """A model that was trained to aggregate reads all members' answers and writes the final one.

    It learns by group-relative policy optimisation on dev: it is shown candidates and rewarded by the task's score of
    what it writes, on all sets of candidates whose majority is wrong and as many of the others.

    Papers:
        2509.06870 The Majority is not always right: RL training for solution aggregation

    Cost:
        `1` call per item, of the aggregator. One plain response of every member. The fit reads `samples` plain dev
        responses of every member and trains one model, which draws a group of replies per example; with `warm_start` it
        is tuned before.

    Records:
        Per item the `votes` of the members by normal form, their `parsed` answers, and the `order` in which they were
        shown. Of the fit the number of `sets` of candidates, how many were `hard` and how many `learnt`, from how many
        of these right candidates were `copied` at the warm start, whether it `learned`, and on the items that were
        `held_out` the `scores` of the majority and of the aggregator before and after.

    Deviations:
        * Answers are compared in the metric's normal form, and unreadable ones have no vote: else sets count as hard
          for their spelling.
        * The order of candidates is drawn by item, in training too: in pool order the model learns which place to
          trust.
        * Items are told apart by their unique names: where ids repeat, the original rewards by another item's
          reference.
        * Prompts that are too long lose parts of candidates and never the problem, which the original cuts first.
        * The share of dev that is held out says what training changed: the original never asks the untrained
          aggregator.
        * With `warm_start` the aggregator is first tuned to write down a right candidate, on the same sets, and goes on
          by rewards from there. The original has no such step, so there is none by default; it is for models that were
          never taught to follow such a prompt: where all replies of a group are equally wrong, rewards teach nothing.
        * Without a set whose majority is wrong nothing is trained, and the untrained model answers, counted as a
          fallback: the original stops with an error.
    """

    class Params(MethodParams):
        """Settings of AggLM."""

        aggregator: str = identity("Model of the study that learns to aggregate.", "base")
        samples: int = identity("Sets of candidates per dev item: samples of every member.", 2, ge=1)
        right: float = identity("Score from which an answer counts as right.", 1.0, gt=0)
        held_out: float = identity("Share of dev on which it is compared, trained and untrained.", 0.2, ge=0, lt=1)
        warm_start: SftRecipe | None = identity(
            "How it is tuned beforehand to write down right candidates; not at all when left out.", None
        )
        training: GrpoRecipe = identity("How the aggregator learns.", factory=GrpoRecipe)

    def needs(self, pool: PoolInfo) -> Needs:
        """Samples on dev with references; plain responses and the trained aggregator on test."""
        return Needs(
            fit=FitNeeds(plain=self.params.samples, references=True, generates=True, trains=True),
            answer=AnswerNeeds(plain=1, generates=True, extracts=True),
            min_models=2,
            models=("aggregate",),
            helpers={"aggregator": Helper(self.params.aggregator, frozenset({"generate", "trainable"}))},
        )

    def fit(self, ctx: FitContext) -> State:
        """Train on sets of candidates, and compare on the dev items that were held out."""
        sets = candidate_sets(ctx, self.params.samples, self.params.right)
        held_out = _held_out(ctx, self.params.held_out)
        learnt = balanced(ctx, [one for one in sets if one.item.uid not in held_out])
        checked = [one for one in sets if one.item.uid in held_out and one.number == 0]
        record: dict[str, Any] = {
            "sets": len(sets),
            "hard": sum(one.hard for one in sets),
            "learnt": len(learnt),
            "held_out": len(checked),
            "copied": 0,
            "learned": bool(learnt),
        }
        made: Any = Recipe("linear", (ctx.fingerprint("aggregator"),), (1.0,))
        if learnt:
            examples = [
                Example(
                    aggregation_prompt(ctx, one.item, one.texts, one.number),
                    uid=one.item.uid,
                    source=f"{'hard' if one.hard else 'easy'} set {one.number}",
                )
                for one in learnt
            ]
            start = "aggregator"
            copied = [
                example._replace(reply=one.texts[place])
                for one, example in zip(learnt, examples, strict=True)
                if (place := _shown_first(ctx, one)) is not None
            ]
            if self.params.warm_start is not None and copied:
                start, record["copied"] = "beginner", len(copied)
                ctx.train("sft", "aggregator", copied, start, **self.params.warm_start.slice())
            made = ctx.train("grpo", start, examples, "aggregate", **self.params.training.slice())
        if checked:
            models = ("aggregator", "aggregate") if learnt else ("aggregator",)
            scores = dict(zip(models, self._means(ctx, models, checked), strict=True))
            record["scores"] = {"majority": fmean(one.majority for one in checked), **scores}
        return State(record, models={"aggregate": made})

    def _means(self, ctx: FitContext, models: Sequence[str], checked: Sequence[Candidates]) -> list[float]:
        requests = [
            Request(model, one.item.uid, aggregation_prompt(ctx, one.item, one.texts, one.number), "aggregate")
            for model in models
            for one in checked
        ]
        replies = ctx.generate(requests)
        scores = ctx.score([(request.uid, reply.text) for request, reply in zip(requests, replies, strict=True)])
        parts = [scores[start : start + len(checked)] for start in range(0, len(scores), len(checked))]
        return [fmean([score for score in part if score is not None] or [0.0]) for part in parts]

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Show all members' answers to the aggregator."""
        plain = [ctx.plain(member.index) for member in ctx.pool]
        texts = [[of_member[item.uid].text for of_member in plain] for item in ctx.questions]
        requests = [
            Request("aggregate", item.uid, aggregation_prompt(ctx, item, shown), "aggregate")
            for item, shown in zip(ctx.questions, texts, strict=True)
        ]
        for item, shown, reply in zip(ctx.questions, texts, ctx.generate(requests), strict=True):
            votes = ballot(ctx, item, shown)
            record = {"votes": votes.votes, "parsed": list(votes.parsed), "order": shown_order(ctx, item, len(shown))}
            yield Answer(
                item.uid,
                reply.text,
                models=("aggregate",),
                record=record,
                fallback=None if state.data["learned"] else "no dev item has a wrong majority to learn from",
            )


def candidate_sets(ctx: FitContext, samples: int, right: float) -> list[Candidates]:
    """Return the sets of candidates of all dev items that can be scored, items in order, then samples."""
    replies = [[ctx.plain(member.index, sample) for member in ctx.pool] for sample in range(samples)]
    texts = {
        (item.uid, number): tuple(of_member[item.uid].text for of_member in replies[number])
        for item in ctx.questions
        for number in range(samples)
    }
    flat = [(uid, text) for (uid, _), of_set in texts.items() for text in of_set]
    scores = iter(ctx.score(flat))
    found = []
    for item in ctx.questions:
        for number in range(samples):
            shown = texts[item.uid, number]
            scored = [next(scores) for _ in shown]
            if None in scored:
                continue
            voters = ballot(ctx, item, shown).voters
            most = max(voters.values(), key=len, default=[])  # the first one among equals
            majority = (scored[most[0]] or 0.0) if most else 0.0
            places = tuple(place for place, score in enumerate(scored) if (score or 0.0) >= right)
            found.append(Candidates(item, number, shown, places, majority < right, majority))
    return found


def balanced(ctx: FitContext, sets: Sequence[Candidates]) -> list[Candidates]:
    """Return all hard sets and as many easy ones, drawn at random; in the order in which they came."""
    easy = [place for place, one in enumerate(sets) if not one.hard]
    hard = [place for place, one in enumerate(sets) if one.hard]
    drawn = ctx.rng("easy sets", "dev").permutation(easy).tolist()[: len(hard)]
    return [sets[place] for place in sorted([*hard, *drawn])]


def _held_out(ctx: FitContext, share: float) -> set[str]:
    uids = [item.uid for item in ctx.questions]
    order = ctx.rng("held-out items", "dev").permutation(len(uids)).tolist()
    return {uids[place] for place in order[: round(share * len(uids))]}


def _shown_first(ctx: FitContext, one: Candidates) -> int | None:
    """Return the place of the right candidate that is shown first; None where none is right."""
    return next((place for place in shown_order(ctx, one.item, len(one.texts), one.number) if place in one.right), None)


def shown_order(ctx: AnswerContext | FitContext, item: Question, count: int, number: int = 0) -> list[int]:
    """Return the order in which an item's candidates are shown, drawn by item and set."""
    return [int(place) for place in ctx.rng(f"order of set {number}", item.uid).permutation(count)]


def aggregation_prompt(
    ctx: AnswerContext | FitContext, item: Question, texts: Sequence[str], number: int = 0
) -> Prompt:
    """Return the prompt in which candidates are shown to the aggregator, the same in training and afterwards."""
    shown = [texts[place] for place in shown_order(ctx, item, len(texts), number)]
    return blocks.compose(
        blocks.instruction("A problem and several proposed solutions follow."),
        blocks.question(item),
        *(blocks.candidate(place, text) for place, text in enumerate(shown, 1)),
        blocks.instruction(
            "Some, all or none of the solutions may be right, and some may be incomplete. Check them, keep what is"
            " right, mend what is not, and write one full solution."
        ),
        blocks.answer_format(item.type),
    )
