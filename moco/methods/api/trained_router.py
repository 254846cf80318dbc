"""A router that was tuned on dev to name the member that will answer a question best."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from math import log as ln
from statistics import fmean
from typing import Any, Literal

from moco.config.fields import identity
from moco.config.training import SftRecipe
from moco.methods.base import (
    Answer,
    AnswerNeeds,
    Choice,
    FitNeeds,
    Helper,
    Method,
    MethodParams,
    Needs,
    PoolInfo,
    State,
    method,
)
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.routing import chosen_responses
from moco.methods.shared.selection import dev_table
from moco.models.recipes import Recipe
from moco.prompts import blocks
from moco.prompts.prompt import Prompt
from moco.tasks.item import Question
from moco.training.examples import Example

log = logging.getLogger("moco")

_FEW_STEPS = 20


class RouterTraining(SftRecipe):
    """How the router learns."""

    epochs: float = identity("Times that all examples are read, where steps are left out.", 5.0, gt=0)
    batch: int = identity("Examples per step.", 32, ge=1)


@method("api_trained_router", level="api", papers=("2406.18665",))
class TrainedRouter(Method):
    """Routes every question to the member that a tuned language model names as the best for it.

    The model learns on dev to write the number of the member whose reply scored best; equal scores are told apart by a
    reward model. The chosen member's plain response is the answer.

    Papers:
        2406.18665 RouteLLM: Learning to Route LLMs with Preference Data

    Cost:
        At most `1` call per item, in which the router reads its prompt with every name; none where `fall_back` leaves
        it out. One plain response, of the chosen member. The fit reads dev scores, has replies of equal score rewarded,
        and trains one model.

    Records:
        Per item the `member` that answers, and the `logprobs` of all names. Of the fit the `labels` with their counts
        and `label_entropy`, how many items were `learnt`, whether it `learned` and `routes`, the `best_single` member,
        and what the router reaches on the dev items that were `held_out`.

    Deviations:
        * Prompts have the same chat format in training and afterwards: the original trains on bare text and asks in a
          chat, where what was learnt is not what is asked for.
        * The choice is the name of the highest log-probability: nothing is parsed, and no random choice hides that
          nothing was.
        * Only replies of equal score are rewarded: a reward decides nothing else.
        * A share of dev is held out and says how well it routes, and whether it beats the best single member: the
          original measures on what it learnt.
    """

    class Params(MethodParams):
        """Settings of the trained router."""

        router: str = identity("Model of the study that learns to route.", "base")
        reward_model: str = identity("Model of the study that tells replies of equal score apart.", "reward_strict")
        ties: Literal["reward", "first", "drop"] = identity(
            "Among members of equal score the label is the best rewarded or the first, or the item is left out.",
            "reward",
        )
        undecided: Literal["keep", "drop"] = identity(
            "Whether items are learnt on which all members score alike.", "keep"
        )
        descriptions: bool = identity("Show the members' descriptions to the router.", False)
        held_out: float = identity("Share of dev that is not learnt and measures the router.", 0.2, ge=0, lt=1)
        fall_back: bool = identity("Answer with the best single member where the router is not better.", False)
        training: RouterTraining = identity("How the router learns.", factory=RouterTraining)

    def needs(self, pool: PoolInfo) -> Needs:
        """Dev scores to learn from, replies where they are rewarded; plain responses of the chosen members."""
        helpers = {"base": Helper(self.params.router, frozenset({"generate", "logits", "trainable"}))}
        rewards = self.params.ties == "reward"
        if rewards:
            helpers["judge"] = Helper(self.params.reward_model, frozenset({"reward"}))
        return Needs(
            fit=FitNeeds(plain=int(rewards), dev_scores=True, generates=True, trains=True),
            answer=AnswerNeeds(plain=1, plain_mode="lazy", generates=True),
            min_models=2,
            descriptions=self.params.descriptions,
            models=("router",),
            helpers=helpers,
        )

    def fit(self, ctx: FitContext) -> State:
        """Label dev items with their best member, tune, and measure on what was held out."""
        scores = dev_table(ctx)
        single = _best_single(scores, len(ctx.pool))
        labels = self._labels(ctx, scores)
        items = [item for item in ctx.questions if item.uid in labels]
        order = ctx.rng("held-out items", "dev").permutation(len(items)).tolist()
        held_out = [items[place] for place in sorted(order[: round(self.params.held_out * len(items))])]
        learnt = [items[place] for place in sorted(order[len(held_out) :])]
        record: dict[str, Any] = {
            "labels": dict(Counter(str(label) for label in labels.values())),
            "label_entropy": round(_entropy(list(labels.values())), 6),
            "learnt": len(learnt),
            "best_single": single,
            "learned": bool(learnt),
            "routes": bool(learnt),
        }
        if not learnt:
            untrained = Recipe("linear", (ctx.fingerprint("base"),), (1.0,))
            return State(record, models={"router": untrained})
        names = targets(len(ctx.pool))
        examples = [
            Example(self._prompt(ctx, item), names[labels[item.uid]], uid=item.uid, source="best member")
            for item in learnt
        ]
        how = self.params.training
        steps = ceil(len(examples) * how.epochs / how.batch) if how.steps is None else how.steps
        if steps < _FEW_STEPS:
            log.warning("a router hardly learns in %d steps; raise training.epochs or training.steps", steps)
        made = ctx.train("sft", "base", examples, "router", **how.slice())
        if held_out:
            routed = self._routed(ctx, held_out)
            rows = [scores[item.uid] for item in held_out]
            record["held_out"] = {
                "items": len(held_out),
                "accuracy": fmean(place == labels[item.uid] for (place, _), item in zip(routed, held_out, strict=True)),
                "router": fmean(row[place] for (place, _), row in zip(routed, rows, strict=True)),
                "best_single": fmean(row[single] for row in rows),
                "oracle": fmean(max(row) for row in rows),
            }
            better = record["held_out"]["router"] > record["held_out"]["best_single"]
            record["routes"] = better or not self.params.fall_back
        return State(record, models={"router": made})

    def _labels(self, ctx: FitContext, scores: Mapping[str, Sequence[float]]) -> dict[str, int]:
        """Return the best member of every item that is learnt from."""
        kept = {uid: row for uid, row in scores.items() if self.params.undecided == "keep" or max(row) > min(row)}
        rewards: dict[tuple[str, int], float] = {}
        if self.params.ties == "reward":
            prompts = {item.uid: item.prompt for item in ctx.questions}
            tied = [(uid, place) for uid, row in kept.items() for place in _best(row) if len(_best(row)) > 1]
            plain = [ctx.plain(member.index) for member in ctx.pool]
            pairs = [(prompts[uid], plain[place][uid].text) for uid, place in tied]
            rewards = dict(zip(tied, ctx.reward("judge", pairs), strict=True)) if pairs else {}
        elif self.params.ties == "drop":
            kept = {uid: row for uid, row in kept.items() if len(_best(row)) == 1}
        return {
            uid: max(_best(row), key=lambda place: (rewards.get((uid, place), 0.0), -place))
            for uid, row in kept.items()
        }

    def _prompt(self, ctx: AnswerContext | FitContext, item: Question) -> Prompt:
        names = targets(len(ctx.pool))
        known = [member.description for member in ctx.pool] if self.params.descriptions else []
        return blocks.compose(
            blocks.instruction("Which model will answer the question below best?"),
            *(blocks.block(name, text) for name, text in zip(names, known, strict=False)),
            blocks.block("question", blocks.question(item), shrinks=False),
            blocks.instruction(f"Reply with one of {names[0]} to {names[-1]} and nothing else."),
        )

    def _routed(
        self, ctx: AnswerContext | FitContext, items: Sequence[Question]
    ) -> list[tuple[int, tuple[float, ...]]]:
        """Return the member that is named for each item, and the log-probabilities of all."""
        names = tuple(targets(len(ctx.pool)))
        found = ctx.choose([Choice("router", item.uid, self._prompt(ctx, item), names, "route") for item in items])
        return [(values.index(max(values)), values) for values in found]

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Route every question by itself, then look the chosen members' responses up."""
        if not ctx.questions:
            return
        if state.data["routes"]:
            routed = self._routed(ctx, ctx.questions)
        else:
            routed = [(state.data["best_single"], ())] * len(ctx.questions)
        responses = chosen_responses(ctx, [place for place, _ in routed])
        reason = "the router does not beat the best single member" if state.data["learned"] else "no dev item to learn"
        for item, (place, values) in zip(ctx.questions, routed, strict=True):
            yield Answer(
                item.uid,
                responses[item.uid].text,
                models=(ctx.pool[place].model,),
                record={"member": place, "logprobs": [round(value, 6) for value in values]},
                fallback=None if state.data["routes"] else reason,
            )


def targets(count: int) -> list[str]:
    """Return what the router writes for each member; none is the beginning of another, so that sums can be compared."""
    width = len(str(count))
    return [f"Model {str(number).zfill(width)}" for number in range(1, count + 1)]


def _best(row: Sequence[float]) -> list[int]:
    return [place for place, score in enumerate(row) if score == max(row)]


def _best_single(scores: Mapping[str, Sequence[float]], count: int) -> int:
    """Return the member of the highest mean, the first among equals."""
    means = [fmean([row[place] for row in scores.values()] or [0.0]) for place in range(count)]
    return means.index(max(means))


def _entropy(labels: Sequence[int]) -> float:
    """Return the entropy of labels in nats."""
    shares = [count / len(labels) for count in Counter(labels).values()]
    return -sum(share * ln(share) for share in shares)
