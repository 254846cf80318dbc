"""Duels: two members answer, the others judge, ratings weigh the judges, and preferences train all members."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import erf, sqrt, tanh
from statistics import fmean, pstdev
from typing import Any, Literal

import numpy as np

from moco.config.fields import identity
from moco.config.training import DpoRecipe
from moco.methods.base import Answer, AnswerNeeds, FitNeeds, MethodParams, Needs, Request, State
from moco.methods.context import AnswerContext, FitContext
from moco.methods.resources import Model
from moco.models.recipes import Recipe, Trained
from moco.prompts import blocks
from moco.prompts.prompt import Prompt
from moco.tasks.item import Question
from moco.training.examples import Example

Generator = np.random.Generator
_START, _SPREAD, _LOWEST = 100.0, 0.5, 10.0
_OBJECT = re.compile(r"\{[^{}]*\}")
_OTHER_FORMS = re.compile(r"(?:score\W{0,4}(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?)\s*/\s*10\b)", re.IGNORECASE)
_FROZEN_FROM = 7


class DuelParams(MethodParams):
    """Settings of methods that let members duel."""

    num_instructions: int = identity("Dev questions that duels are about.", 500, ge=1)
    held_out: float = identity("Share of dev on which the best model is chosen, without duels.", 0.3, gt=0, lt=1)
    random_match_prob: float = identity("Probability of an opponent drawn from all others.", 0.2, ge=0, le=1)
    num_opponents: int = identity("Others of the nearest rating among which an opponent is drawn.", 3, ge=1)
    judge_rounds: int = identity("Verdicts of every judge on every answer.", 1, ge=1)
    judge_tokens: int = identity("Longest verdict, in tokens.", 64, ge=1)
    rating: Literal["sparta", "elo"] = identity(
        "How a duel moves ratings: as the original does, or against the score that ratings expect.", "sparta"
    )
    initial_k: float = identity("Largest step of a rating.", 10.0, gt=0)
    min_k: float = identity("Smallest step, after decay.", 5.0, gt=0)
    decay_rate: float = identity("Factor of the step per `decay_steps` duels.", 0.9, gt=0, le=1)
    decay_steps: int = identity("Duels after which the step has decayed by the rate.", 10, ge=1)
    scaling_factor: float = identity("Divides moves of ratings.", 20.0, gt=0)
    epsilon: float = identity("Least weight of the gap of two ratings.", 0.01, gt=0)
    window_size: int = identity("Moves that a rating's deviation is taken from.", 10, ge=2)
    min_deviation: float = identity("Least deviation of a rating.", 0.1, gt=0)
    freeze_ratings: bool = identity("Leave all ratings as they are.", False)
    score_type: Literal["normal", "dynamic", "static"] = identity(
        "Whether scores of low-rated contestants count less for ratings: no, by the last ratings, or once and for all.",
        "normal",
    )
    training: DpoRecipe = identity("How members learn from preferences.", factory=DpoRecipe)


@dataclass(frozen=True)
class Duel:
    """Two contestants, by place in the pool, and the question that they answer."""

    item: Question
    first: int
    second: int


@dataclass(frozen=True)
class Judged:
    """A duel with both answers and every judge's mean scores of them; a judge that could not be read is left out."""

    duel: Duel
    texts: tuple[str, str]
    scores: dict[int, tuple[float, float]]

    def means(self, ratings: Sequence[float]) -> tuple[float, float] | None:
        """Return both answers' scores, weighted by the judges' ratings; None without a judge."""
        total = sum(ratings[judge] for judge in self.scores)
        if not self.scores or total <= 0:
            return None
        first, second = (
            sum(ratings[judge] * score[side] for judge, score in self.scores.items()) / total for side in (0, 1)
        )
        return first, second


class Ratings:
    """What members are rated at, and how sure that is.

    Args:
        members: How many there are.
        params: Settings.

    Attributes:
        values: Ratings, by place.
        deviations: Likewise.
        updates: Duels since the step was largest.
    """

    def __init__(self, members: int, params: DuelParams) -> None:
        self._params = params
        self.values, self.deviations = [_START] * members, [_SPREAD] * members
        self._moves: list[list[float]] = [[] for _ in range(members)]
        self.updates = 0

    def update(self, first: int, second: int, gap: float) -> None:
        """Move two ratings, both from where they were.

        Args:
            first: Place of one contestant.
            second: Of the other.
            gap: How much better the first one's answer was judged.
        """
        params = self._params
        if params.freeze_ratings:
            return
        self.updates += 1
        step = max(params.min_k, params.initial_k * params.decay_rate ** (self.updates / params.decay_steps))
        moves = [self._move(first, second, step, gap), self._move(second, first, step, -gap)]
        for place, move in zip((first, second), moves, strict=True):
            before = self.values[place]
            self.values[place] = max(_LOWEST, before + move)
            self._moves[place] = [*self._moves[place], self.values[place] - before][-params.window_size :]
            if len(self._moves[place]) > 1:
                self.deviations[place] = max(pstdev(self._moves[place]), params.min_deviation)

    def _move(self, mine: int, other: int, step: float, gap: float) -> float:
        params, difference = self._params, self.values[mine] - self.values[other]
        if params.rating == "elo":
            won = 0.5 if gap == 0 else float(gap > 0)
            return step * (won - 1 / (1 + 10 ** (-difference / 400)))
        z = difference / sqrt(self.deviations[mine] ** 2 + self.deviations[other] ** 2)
        weight = max(abs(erf(z / sqrt(2))), params.epsilon)  # the normal's share between -z and z
        return step * gap * tanh(self.deviations[mine]) * weight / params.scaling_factor


def opponent(rng: Generator, ratings: Sequence[float], mine: int, params: DuelParams) -> int:
    """Return an opponent: any other by chance, else one of those whose rating is nearest, equal ones in random order."""
    others = [place for place in range(len(ratings)) if place != mine]
    if rng.random() < params.random_match_prob:
        return int(rng.choice(others))
    mixed = rng.permutation(others).tolist()
    nearest = sorted(mixed, key=lambda place: abs(ratings[place] - ratings[mine]))
    return int(rng.choice(nearest[: params.num_opponents]))


def contestant_weights(kind: str, history: Sequence[Sequence[float]], iteration: int) -> list[float]:
    """Return by what the contestants' scores are multiplied where ratings are updated.

    Args:
        kind: `score_type` of the settings.
        history: Ratings after every iteration so far; at least the first ones.
        iteration: From 0; weights begin with 2 and stay as they are from 7 on.
    """
    weights = [1.0] * len(history[0])
    last = min(iteration, _FROZEN_FROM)
    if kind == "normal" or last < 2:
        return weights

    def lowest(ratings: Sequence[float]) -> list[int]:
        return sorted(range(len(ratings)), key=lambda place: (ratings[place], place))

    if kind == "dynamic":
        chosen = lowest(history[last - 1])[: last - 1]
    else:
        chosen = []
        for number in range(2, last + 1):
            chosen += [place for place in lowest(history[number - 1]) if place not in chosen][:1]
    for number, place in enumerate(chosen):
        weights[place] = min(1.0, number / 10)
    return weights


def judge_prompt(item: Question, answer: str) -> Prompt:
    """Return the prompt in which a judge scores one answer."""
    return blocks.compose(
        blocks.instruction("Rate the answer to this question."),
        blocks.question(item),
        blocks.block("answer to rate", answer),
        blocks.instruction(
            'Reply with {"score": N} and nothing else, where N is a number from 1 (bad) to 10 (perfect).'
        ),
    )


def verdict(text: str) -> float | None:
    """Return the score in a reply, from 1 to 10; None where there is none that can be read.

    The last object with a score counts, a number in quotes too; without one, `score: 7` or `7/10`.
    """
    for found in reversed(_OBJECT.findall(text)):
        try:
            given = json.loads(found).get("score")
        except ValueError:
            continue
        score = _in_range(given)
        if score is not None:
            return score
    others = [first or second for first, second in _OTHER_FORMS.findall(text)]
    scores = [score for each in others if (score := _in_range(each)) is not None]
    return scores[-1] if scores else None


def _in_range(given: Any) -> float | None:
    if isinstance(given, bool) or not isinstance(given, (str, int, float)):
        return None
    try:
        score = float(given)
    except ValueError:
        return None
    return score if 1 <= score <= 10 else None


@dataclass(frozen=True)
class Entry:
    """A model that may win: a member after some iterations of training; 0 is the member as it is."""

    iteration: int
    place: int
    model: Model
    made: Recipe | Trained


class Tournament:
    """Members that duel, are rated, and learn.

    Args:
        ctx: Of the fit.
        params: Settings.

    Attributes:
        instructions: Questions of duels.
        ratings: Of the members.
        history: Ratings after every iteration.
        entries: Every model there was, with those that were not trained.
    """

    def __init__(self, ctx: FitContext, params: DuelParams) -> None:
        self._ctx, self._params = ctx, params
        count = len(ctx.questions)
        order = ctx.rng("held-out items", "dev").permutation(count).tolist()
        chosen = set(order[: min(max(1, round(params.held_out * count)), max(count - 1, 1))])
        self._checked = [item for place, item in enumerate(ctx.questions) if place in chosen]
        learnt = [item for place, item in enumerate(ctx.questions) if place not in chosen]
        self.instructions = (learnt or self._checked)[: params.num_instructions]
        self.ratings = Ratings(len(ctx.pool), params)
        self.history: list[list[float]] = []
        self.entries = [
            Entry(0, place, place, Recipe("linear", (ctx.fingerprint(place),), (1.0,)))
            for place in range(len(ctx.pool))
        ]

    @property
    def models(self) -> list[Model]:
        """The members as they are now, by place."""
        return [entry.model for entry in self.entries[-len(self._ctx.pool) :]]

    def judged(self, duels: Sequence[Duel]) -> list[Judged]:
        """Let both contestants of every duel answer and all others judge."""
        ctx, models = self._ctx, self.models
        wanted = list(dict.fromkeys((place, duel.item) for duel in duels for place in (duel.first, duel.second)))
        texts = self._texts([(models[place], item) for place, item in wanted])
        answers = {(place, item.uid): text for (place, item), text in zip(wanted, texts, strict=True)}
        asked = list(
            dict.fromkeys(
                (judge, side, duel.item, sample)
                for duel in duels
                for judge in range(len(models))
                if judge not in (duel.first, duel.second)
                for side in (duel.first, duel.second)
                for sample in range(self._params.judge_rounds)
            )
        )
        decoding = ctx.decoding.model_copy(update={"max_new_tokens": self._params.judge_tokens})
        requests = [
            Request(models[judge], item.uid, judge_prompt(item, answers[side, item.uid]), "judge", sample, decoding)
            for judge, side, item, sample in asked
        ]
        replies = ctx.generate(requests) if requests else []
        said = {
            (judge, side, item.uid, sample): verdict(reply.text)
            for (judge, side, item, sample), reply in zip(asked, replies, strict=True)
        }
        return [
            Judged(
                duel,
                (answers[duel.first, duel.item.uid], answers[duel.second, duel.item.uid]),
                self._scores(duel, said),
            )
            for duel in duels
        ]

    def _scores(
        self, duel: Duel, said: dict[tuple[int, int, str, int], float | None]
    ) -> dict[int, tuple[float, float]]:
        found = {}
        for judge in range(len(self._ctx.pool)):
            if judge in (duel.first, duel.second):
                continue
            rounds = [
                (first, second)
                for sample in range(self._params.judge_rounds)
                if (first := said[judge, duel.first, duel.item.uid, sample]) is not None
                and (second := said[judge, duel.second, duel.item.uid, sample]) is not None
            ]
            if rounds:
                found[judge] = fmean(one for one, _ in rounds), fmean(other for _, other in rounds)
        return found

    def _texts(self, wanted: Sequence[tuple[Model, Question]]) -> list[str]:
        """Return answers; those of members as they are are their plain responses."""
        asked = [(model, item) for model, item in wanted if isinstance(model, str)]
        replies = (
            self._ctx.generate([Request(model, item.uid, item.prompt, "answer") for model, item in asked])
            if asked
            else []
        )
        own = dict(zip(((model, item.uid) for model, item in asked), (reply.text for reply in replies), strict=True))
        plain = {model: self._ctx.plain(model) for model in dict.fromkeys(m for m, _ in wanted if isinstance(m, int))}
        return [
            plain[model][item.uid].text if isinstance(model, int) else own[model, item.uid] for model, item in wanted
        ]

    def rate(self, judged: Sequence[Judged], iteration: int) -> None:
        """Update the ratings by all duels that were judged, in order."""
        weights = contestant_weights(self._params.score_type, self.history or [self.ratings.values], iteration)
        for one in judged:
            scores = one.means(self.ratings.values)
            if scores is not None:
                first, second = one.duel.first, one.duel.second
                self.ratings.update(first, second, weights[first] * scores[0] - weights[second] * scores[1])
        self.history.append(list(self.ratings.values))

    def preferences(self, judged: Sequence[Judged]) -> list[Example]:
        """Return what all members learn: the better answer of every duel before the worse one; equal ones teach nothing."""
        names = [member.model for member in self._ctx.pool]
        found = []
        for one in judged:
            scores = one.means(self.ratings.values)
            if scores is None or scores[0] == scores[1] or one.texts[0] == one.texts[1]:
                continue
            better = int(scores[1] > scores[0])
            places = (one.duel.first, one.duel.second)
            found.append(
                Example(
                    one.duel.item.prompt,
                    one.texts[better],
                    one.texts[1 - better],
                    one.duel.item.uid,
                    f"{names[places[better]]} over {names[places[1 - better]]}",
                )
            )
        return [one for one in found if one.reply.strip()]

    def train(self, preferences: Sequence[Example], iteration: int) -> None:
        """Train every member on all preferences; without any they stay as they are."""
        before = self.entries[-len(self._ctx.pool) :]
        for entry in before:
            name = f"round{iteration + 1}_{entry.place}"
            if preferences:
                made = self._ctx.train("dpo", entry.model, preferences, name, **self._params.training.slice())
                self.entries.append(Entry(iteration + 1, entry.place, name, made))
            else:
                self.entries.append(Entry(iteration + 1, entry.place, entry.model, entry.made))

    def best(self) -> tuple[Entry, list[float]]:
        """Return the model of the highest mean score on held-out dev items, the first among equals, and all means."""
        texts = self._texts([(entry.model, item) for entry in self.entries for item in self._checked])
        uids = [item.uid for _ in self.entries for item in self._checked]
        scores = self._ctx.score(list(zip(uids, texts, strict=True)))
        step = len(self._checked)
        means = [
            fmean([score for score in scores[start : start + step] if score is not None] or [0.0])
            for start in range(0, len(scores), step)
        ]
        return self.entries[means.index(max(means))], means


def tournament_needs() -> Needs:
    """Return the needs of methods whose members duel."""
    return Needs(
        fit=FitNeeds(plain=1, references=True, generates=True, trains=True),
        answer=AnswerNeeds(fitted_plain=1),
        min_models=3,
        capabilities=frozenset({"trainable", "weights"}),
        models=("winner",),
    )


def chosen_state(contest: Tournament, record: dict[str, Any]) -> State:
    """Return the best of all models, with what there was to choose from."""
    best, means = contest.best()
    entries = [
        {"iteration": entry.iteration, "member": entry.place, "score": mean}
        for entry, mean in zip(contest.entries, means, strict=True)
    ]
    chosen = {"iteration": best.iteration, "member": best.place}
    return State(
        {**record, "ratings": contest.history, "entries": entries, "chosen": chosen}, models={"winner": best.made}
    )


def winner_answers(ctx: AnswerContext, state: State) -> Iterator[Answer]:
    """Yield the plain responses of the model that was chosen."""
    plain = ctx.plain("winner")
    learned = any(each["preferences"] for each in state.data["iterations"])
    fallback = None if learned else "no duel had a preference to learn from"
    for item in ctx.questions:
        yield Answer(item.uid, plain[item.uid].text, models=("winner",), fallback=fallback)
