"""What was compared with what: the outcome of every model and method, pool by pool and task by task."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from moco.analysis.results import RESULT, Spec, item_scores, load_scores, summarise
from moco.analysis.statistics import Estimate, average, estimate, paired_difference
from moco.methods.base import LEVELS

UNAVERAGED_TYPES = frozenset({"reward_model", "text_generation", "generation_diversity"})
"""Task types whose scores are no accuracies: shown in their own unit and left out of every average."""

BEST_SINGLE = "best single (test)"
MEAN_SINGLE = "mean single"

_TIE = 1e-9


@dataclass(frozen=True, eq=False)
class Outcome:
    """A number, or the reason why there is none.

    Attributes:
        estimate: The mean with its replicates; None when there is no number.
        text: What the cell says instead of a number.
        scores: Score per item, indexed by uid; None when there is no number or it is not of one result.
    """

    estimate: Estimate | None = None
    text: str = ""
    scores: "pd.Series[float] | None" = None


@dataclass(frozen=True)
class Line:
    """The outcomes of one row of a pool, by task."""

    pool: str
    name: str
    level: str
    outcomes: Mapping[str, Outcome]


@dataclass(frozen=True)
class Wins:
    """How often a method beats the best single model.

    Attributes:
        name: Name of the variant.
        level: Level of the method.
        wins: Settings (pool and task) where the method's mean is higher.
        ties: Settings where both are equal.
        settings: Settings where both have a number.
        gain: Mean paired difference over the settings whose scores may be averaged; None without one.
    """

    name: str
    level: str
    wins: int
    ties: int
    settings: int
    gain: Estimate | None


class Comparison:
    """Outcomes of a study.

    Args:
        spec: What was compared.
        results: The results folder.

    Attributes:
        summaries: How complete each result is.

    Raises:
        WorkError: Score files are missing or damaged.
    """

    def __init__(self, spec: Spec, results: Path) -> None:
        self.spec = spec
        frame = load_scores(spec, results)
        self.summaries = summarise(frame)
        self._outcomes = self._make_outcomes(item_scores(frame))
        self._not_applicable = {
            (entry["pool"], entry["variant"], entry["task"]): entry["reason"] for entry in spec["not_applicable"]
        }
        known = {(entry["pool"], entry["variant"]): entry["level"] for entry in spec["methods"]}
        # A variant that applies nowhere in a pool has no level in the plan of that pool, but may have one elsewhere.
        elsewhere = {entry["variant"]: entry["level"] for entry in spec["methods"]}
        for pool, variant, _ in self._not_applicable:
            known.setdefault((pool, variant), elsewhere.get(variant, ""))
        self._variants = known

    def _make_outcomes(self, items: "pd.Series[float]") -> dict[tuple[str, str, str, str], Outcome]:
        scores: dict[Any, pd.Series[float]] = {
            key: group.droplevel([*RESULT]) for key, group in items.groupby(level=RESULT, observed=True, sort=False)
        }
        outcomes = {}
        # Task by task: results of one task share their resampling.
        for each in sorted(self.summaries, key=lambda summary: summary.task):
            key = each.key()
            if key not in scores or each.coverage < self.spec["min_coverage"]:
                outcomes[key] = Outcome(text=f"failed: {each.reason or 'no valid items'}")
            else:
                outcomes[key] = Outcome(estimate(scores[key], each.task, seeds=each.seeds), scores=scores[key])
        return outcomes

    def averaged(self, task: str) -> bool:
        """Return whether scores of the task are accuracies, which averages may include."""
        return self.spec["tasks"][task]["type"] not in UNAVERAGED_TYPES

    def models(self, pool: str) -> list[str]:
        """Return the different models of a pool, in its order."""
        return list(dict.fromkeys(self.spec["pools"][pool]))

    def tasks(self, pool: str) -> list[str]:
        """Return the tasks on which a pool was compared, in the study's order."""
        planned = {entry["task"] for entry in self.spec["methods"] if entry["pool"] == pool}
        planned |= {task for where, _, task in self._not_applicable if where == pool}
        if not planned:
            planned = {entry["task"] for entry in self.spec["singles"] if entry["model"] in self.models(pool)}
        return [task for task in self.spec["tasks"] if task in planned]

    def single(self, model: str, task: str) -> Outcome:
        """Return the outcome of a model on its own."""
        return self._outcomes.get(("single", "", model, task), Outcome(text="not compared"))

    def method(self, pool: str, variant: str, task: str) -> Outcome:
        """Return the outcome of a method variant."""
        reason = self._not_applicable.get((pool, variant, task))
        if reason is not None:
            return Outcome(text=f"not applicable: {reason}")
        return self._outcomes.get(("method", pool, variant, task), Outcome(text="not compared"))

    def best_single(self, pool: str, task: str) -> Outcome:
        """Return the outcome of the pool's model with the highest test mean; no number unless all models have one."""
        outcomes = [self.single(model, task) for model in sorted(self.models(pool))]
        found = [(outcome.estimate.mean, outcome) for outcome in outcomes if outcome.estimate is not None]
        if not found or len(found) < len(outcomes):
            return Outcome(text="-")
        return max(found, key=lambda pair: pair[0])[1]

    def mean_single(self, pool: str, task: str) -> Outcome:
        """Return the mean over the pool's members, copies counted; no number unless all models have one."""
        estimates = [self.single(model, task).estimate for model in self.spec["pools"][pool]]
        found = [each for each in estimates if each is not None]
        if not found or len(found) < len(estimates):
            return Outcome(text="-")
        return Outcome(average(found, n=min(each.n for each in found)))

    def variants(self, pool: str) -> list[tuple[str, str]]:
        """Return (level, variant) of every method of a pool, by level and name."""
        found = [(level, variant) for (where, variant), level in self._variants.items() if where == pool]
        return sorted(found, key=_by_level)

    def lines(self, pool: str) -> list[Line]:
        """Return the rows of a pool: its models, best and mean single, its methods."""
        tasks = list(self.spec["tasks"])
        planned = set(self.tasks(pool))
        nothing = Outcome(text="not compared")
        lines = [
            Line(
                pool,
                model,
                "single",
                {task: self.single(model, task) if task in planned else nothing for task in tasks},
            )
            for model in self.models(pool)
        ]
        references = ((BEST_SINGLE, "oracle", self.best_single), (MEAN_SINGLE, "single", self.mean_single))
        for name, level, outcome_of in references:
            outcomes = {task: outcome_of(pool, task) if task in planned else nothing for task in tasks}
            lines.append(Line(pool, name, level, outcomes))
        for level, variant in self.variants(pool):
            lines.append(Line(pool, variant, level, {task: self.method(pool, variant, task) for task in tasks}))
        return lines

    def average_over_tasks(self, line: Line) -> Outcome:
        """Return the average over the pool's tasks; no number unless the row has one on each of them."""
        tasks = [task for task in self.tasks(line.pool) if self.averaged(task)]
        return _average(line.outcomes[task].estimate for task in tasks)

    def average_over_domains(self, line: Line) -> Outcome:
        """Return the average over domains of the average over their tasks, under the same condition."""
        domains: dict[str, list[Estimate | None]] = {}
        for task in self.tasks(line.pool):
            if self.averaged(task):
                domains.setdefault(self.spec["tasks"][task]["domain"], []).append(line.outcomes[task].estimate)
        return _average(_average(estimates).estimate for estimates in domains.values())

    def wins(self) -> list[Wins]:
        """Return how every variant does against the best single model, over pools and tasks, by level and name."""
        levels: dict[str, str] = {}
        for (_, variant), level in self._variants.items():
            levels[variant] = levels.get(variant) or level
        found = [
            self._wins_of(level, name) for level, name in sorted(((v, k) for k, v in levels.items()), key=_by_level)
        ]
        return [wins for wins in found if wins.settings]

    def _wins_of(self, level: str, name: str) -> Wins:
        wins = ties = settings = 0
        gains: list[Estimate] = []
        for pool in self.spec["pools"]:
            for task in self.tasks(pool):
                ours, best = self.method(pool, name, task), self.best_single(pool, task)
                if ours.estimate is None or best.estimate is None:
                    continue
                settings += 1
                difference = ours.estimate.mean - best.estimate.mean
                wins += difference > _TIE
                ties += abs(difference) <= _TIE
                if self.averaged(task) and ours.scores is not None and best.scores is not None:
                    seeds = min(ours.estimate.seeds, best.estimate.seeds)
                    gains.append(paired_difference(ours.scores, best.scores, task, seeds=seeds))
        return Wins(name, level, wins, ties, settings, average(gains) if gains else None)


def _by_level(variant: tuple[str, str]) -> tuple[int, str]:
    level, name = variant
    return (LEVELS.index(level) if level in LEVELS else len(LEVELS), name)


def _average(estimates: Iterable[Estimate | None]) -> Outcome:
    every: Sequence[Estimate | None] = list(estimates)
    found = [each for each in every if each is not None]
    if not found or len(found) < len(every):
        return Outcome(text="-")
    return Outcome(average(found))
