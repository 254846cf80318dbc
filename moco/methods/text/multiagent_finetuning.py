"""Multiagent finetuning: members become specialists, tuned on what their debates on dev agreed on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from moco.config.fields import identity
from moco.config.training import SftRecipe
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
from moco.methods.resources import Model
from moco.methods.shared.voting import ballot
from moco.models.recipes import Recipe, Trained
from moco.prompts import blocks
from moco.prompts.prompt import Prompt
from moco.tasks.item import Question
from moco.training.examples import Example


class SpecialistTraining(SftRecipe):
    """How specialists are tuned."""

    epochs: float = identity("Times that all examples are read, where steps are left out.", 1.0, gt=0)


@dataclass(frozen=True)
class Debate:
    """What was said on one item.

    Attributes:
        rounds: Replies of every round, in pool order.
        prompts: What each member read in the last round; the question itself where there is one round.
    """

    rounds: tuple[tuple[str, ...], ...]
    prompts: tuple[str, ...]


@method(
    "text_multiagent_finetuning",
    level="text",
    task_types={"multiple_choice", "exact_match", "f1_match"},
    papers=("2501.05707",),
)
class MultiagentFinetuning(Method):
    """Every member becomes a generator and a critic, tuned on debates that ended in agreement; they debate and vote.

    Members debate dev questions, and no label decides what is learnt. What most of them agree on in the end is taken for right: a generator
    learns its member's own first answers that say so, a critic its member's own last ones, after the prompt that it read.

    Papers:
        2501.05707 Multiagent Finetuning: Self Improvement with Diverse Reasoning Chains

    Cost:
        `members * (rounds if iterations else rounds - 1)` calls per item: every generator answers, and every critic in
        every further round; without training the first answers are plain responses. The fit reads a plain dev response
        of every member, debates on dev, and trains 2 models per member and iteration.

    Records:
        Per item the `votes` by normal form, all replies of all `rounds`, and whether the vote was `tied`. Of the fit
        for all `iterations` how many `items` were debated and `agreed` on, and the number of `examples` of every
        specialist, with those in which its answer was `changed` and `kept`.

    Deviations:
        * Critics learn from the prompt of inference: the original's prompt holds the critic's last reply, often the
          target itself, so it learns to copy.
        * Critics learn their own words: the original teaches all of them one text, which removes the diversity that the
          method is for.
        * More than half must agree: among answers that all differ, the original takes the first in the alphabet for
          right.
        * The share of changed answers among a critic's examples is what `w` says: in the original the numbers at hand
          decide.
        * Later iterations train the same adapters on: the original's new ones lose what was learnt before.
        * Unreadable answers have no vote, and `iterations: 0` is a debate without training, to compare with.
    """

    class Params(MethodParams):
        """Settings of multiagent finetuning."""

        iterations: int = identity("Rounds of debate and tuning on dev.", 1, ge=0)
        rounds: int = identity("Rounds of a debate, the first answers counted.", 2, ge=1)
        w: float = identity(
            "Share of a critic's examples in which its first answer was another, as far as there are.", 0.5, ge=0, le=1
        )
        agreement: float = identity("Share of the members that must be exceeded by those who agree.", 0.5, ge=0, lt=1)
        training_ratio: float = identity(
            "Share of the dev questions that are debated, drawn at random.", 1.0, gt=0, le=1
        )
        training: SpecialistTraining = identity("How specialists are tuned.", factory=SpecialistTraining)

    def needs(self, pool: PoolInfo) -> Needs:
        """Plain dev responses and debates, and references for the record; on test the specialists, or plain responses."""
        if not self.params.iterations:
            debates = self.params.rounds > 1
            return Needs(answer=AnswerNeeds(plain=1, generates=debates, extracts=True), min_models=2)
        debates = self.params.rounds > 1 or self.params.iterations > 1
        return Needs(
            fit=FitNeeds(plain=1, references=True, generates=debates, trains=True),
            answer=AnswerNeeds(generates=True, extracts=True),
            min_models=2,
            capabilities=frozenset({"trainable", "weights"}),
            models=tuple(name for place in range(len(pool)) for name in self._specialists(place)),
        )

    def _specialists(self, place: int) -> list[str]:
        return [f"generator{place}", *([f"critic{place}"] if self.params.rounds > 1 else [])]

    def fit(self, ctx: FitContext) -> State:
        """Debate on dev and tune, as often as the iterations say."""
        items = _drawn_items(ctx, self.params.training_ratio)
        places = range(len(ctx.pool))
        now: dict[str, Model] = {name: place for place in places for name in self._specialists(place)}
        made: dict[str, Recipe | Trained] = {
            name: Recipe("linear", (ctx.fingerprint(place),), (1.0,))
            for place in places
            for name in self._specialists(place)
        }
        record = []
        for iteration in range(self.params.iterations):
            first = self._first(ctx, items, [now[f"generator{place}"] for place in places], plain=iteration == 0)
            critics = [now.get(f"critic{place}", place) for place in places]
            debates = debate(ctx, items, first, critics, self.params.rounds)
            agreed = {
                item.uid: form
                for item in items
                if (form := agreement(ctx, item, debates[item.uid].rounds[-1], self.params.agreement)) is not None
            }
            sizes: dict[str, dict[str, int]] = {}
            tuned: dict[str, Trained] = {}
            for place in places:
                data = self._examples(ctx, items, debates, agreed, place, iteration)
                for name, (examples, about) in data.items():
                    sizes[name] = about
                    if examples:
                        how = self.params.training.slice()
                        tuned[name] = ctx.train("sft", now[name], examples, name, **how)
            made.update(tuned)
            now.update({name: name for name in tuned})
            right = self._right(ctx, items, debates, agreed)
            record.append({"items": len(items), "agreed": len(agreed), "right": right, "examples": sizes})
        return State({"iterations": record}, models=made)

    def _right(
        self, ctx: FitContext, items: Sequence[Question], debates: Mapping[str, Debate], agreed: Mapping[str, str]
    ) -> float | None:
        """Return the mean score of what was agreed on; it is recorded, and decides nothing."""
        said = [
            (
                item.uid,
                next(text for text in debates[item.uid].rounds[-1] if _form(ctx, item, text) == agreed[item.uid]),
            )
            for item in items
            if item.uid in agreed
        ]
        scores = [score for score in ctx.score(said) if score is not None] if said else []
        return fmean(scores) if scores else None

    def _first(
        self, ctx: AnswerContext | FitContext, items: Sequence[Question], models: Sequence[Model], *, plain: bool
    ) -> dict[str, list[str]]:
        """Return the first answers by item, in pool order."""
        if plain:
            read = [ctx.plain(member.index) for member in ctx.pool]
            return {item.uid: [of_member[item.uid].text for of_member in read] for item in items}
        requests = [Request(model, item.uid, item.prompt, "answer") for model in models for item in items]
        texts = [reply.text for reply in ctx.generate(requests)] if requests else []
        return {item.uid: texts[place :: len(items)] for place, item in enumerate(items)}

    def _examples(
        self,
        ctx: FitContext,
        items: Sequence[Question],
        debates: Mapping[str, Debate],
        agreed: Mapping[str, str],
        place: int,
        iteration: int,
    ) -> dict[str, tuple[list[Example], dict[str, int]]]:
        """Return what the specialists of a member learn, by name, with counts."""
        who = ctx.pool[place].model
        generator: list[Example] = []
        same: list[Example] = []
        changed: list[Example] = []
        for item in items:
            if item.uid not in agreed:
                continue
            said = debates[item.uid]
            forms = [_form(ctx, item, replies[place]) for replies in (said.rounds[0], said.rounds[-1])]
            if forms[0] == agreed[item.uid]:
                generator.append(
                    Example(item.prompt, said.rounds[0][place], uid=item.uid, source=f"{who}: first answer")
                )
            if forms[1] == agreed[item.uid] and self.params.rounds > 1:
                kept = same if forms[0] == agreed[item.uid] else changed
                kind = "kept" if kept is same else "changed"
                kept.append(
                    Example(said.prompts[place], said.rounds[-1][place], uid=item.uid, source=f"{who}: {kind} answer")
                )
        found = {f"generator{place}": (generator, {"examples": len(generator)})}
        if self.params.rounds > 1:
            counts = shares(len(changed), len(same), self.params.w)
            taken = []
            for name, pool, count in zip(("changed", "kept"), (changed, same), counts, strict=True):
                order = ctx.rng(f"{name} answers of {place} in {iteration}", "dev").permutation(len(pool)).tolist()
                taken += [pool[at] for at in sorted(order[:count])]
            about = {"examples": len(taken), "changed": len(changed), "kept": len(same)}
            found[f"critic{place}"] = (taken, about)
        return found

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Debate with the specialists, and answer what most of them say in the end."""
        trained, places = self.params.iterations > 0, range(len(ctx.pool))
        generators: list[Model] = [f"generator{place}" if trained else place for place in places]
        critics: list[Model] = [f"critic{place}" if trained and self.params.rounds > 1 else place for place in places]
        first = self._first(ctx, ctx.questions, generators, plain=not trained)
        debates = debate(ctx, ctx.questions, first, critics, self.params.rounds)
        last = critics if self.params.rounds > 1 else generators
        names = [ctx.pool[model].model if isinstance(model, int) else model for model in last]
        counts = [one["examples"] for each in state.data.get("iterations", ()) for one in each["examples"].values()]
        untaught = "no debate on dev ended in agreement to learn from" if trained and not any(counts) else None
        for item in ctx.questions:
            said = debates[item.uid]
            cast = ballot(ctx, item, said.rounds[-1])
            record: dict[str, Any] = {"votes": cast.votes, "rounds": [list(replies) for replies in said.rounds]}
            if not cast.tied:
                yield Answer(item.uid, "", record=record, has_extracted=True, fallback="no readable vote")
                continue
            form = cast.tied[0]
            yield Answer(
                item.uid,
                cast.reply(form),
                extracted=cast.spelling(form),
                has_extracted=True,
                models=tuple(names[place] for place in cast.voters[form]),
                record={**record, "tied": len(cast.tied) > 1},
                fallback=untaught,
            )


def debate(
    ctx: AnswerContext | FitContext,
    items: Sequence[Question],
    first: Mapping[str, Sequence[str]],
    critics: Sequence[Model],
    rounds: int,
) -> dict[str, Debate]:
    """Return debates by item: in every round after the first each member sees the others' last answers and its own.

    Args:
        ctx: Of the method.
        items: What is debated.
        first: First answers by item, in pool order.
        critics: Who speaks in later rounds, in pool order.
        rounds: All rounds, the first answers counted.
    """
    said = {item.uid: [tuple(first[item.uid])] for item in items}
    read: dict[str, tuple[str, ...]] = {item.uid: (item.prompt,) * len(critics) for item in items}
    for _ in range(rounds - 1):
        read = {
            item.uid: tuple(critic_prompt(item, said[item.uid][-1], place) for place in range(len(critics)))
            for item in items
        }
        requests = [
            Request(critic, item.uid, read[item.uid][place], "debate")
            for place, critic in enumerate(critics)
            for item in items
        ]
        texts = [reply.text for reply in ctx.generate(requests)] if requests else []
        for place, item in enumerate(items):
            said[item.uid].append(tuple(texts[place :: len(items)]))
    return {item.uid: Debate(tuple(said[item.uid]), read[item.uid]) for item in items}


def critic_prompt(item: Question, last: Sequence[str], place: int) -> Prompt:
    """Return what a member reads: the question, the others' last answers, its own, and what to do."""
    others = [text for other, text in enumerate(last) if other != place]
    return blocks.compose(
        blocks.question(item),
        blocks.instruction("Other assistants answered this question as follows."),
        *(blocks.candidate(number, text) for number, text in enumerate(others, 1)),
        blocks.block("your last answer", last[place]),
        blocks.instruction("Compare the answers, correct yours where it is wrong, and answer the question again."),
        blocks.answer_format(item.type),
    )


def agreement(ctx: FitContext, item: Question, replies: Sequence[str], share: float) -> str | None:
    """Return the form of the answer that more than this share of all members give; None where there is none."""
    cast = ballot(ctx, item, replies)
    if not cast.tied or cast.votes[cast.tied[0]] <= share * len(replies):
        return None
    return cast.tied[0]


def shares(changed: int, kept: int, w: float) -> tuple[int, int]:
    """Return how many of two kinds to take so that the first has the share `w`, and as many as there are.

    Where there is none of one kind, the other has its own share of what there is.
    """
    if not changed or not kept:
        return round(w * changed), round((1 - w) * kept)
    total = min(changed / w if w else float("inf"), kept / (1 - w) if w < 1 else float("inf"))
    return min(changed, round(w * total)), min(kept, round((1 - w) * total))


def _form(ctx: FitContext, item: Question, reply: str) -> str | None:
    return ballot(ctx, item, [reply]).forms[0]


def _drawn_items(ctx: FitContext, share: float) -> list[Question]:
    count = max(1, round(share * len(ctx.questions)))
    order = ctx.rng("debated items", "dev").permutation(len(ctx.questions)).tolist()
    return [ctx.questions[place] for place in sorted(order[:count])]
