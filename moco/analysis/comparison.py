"""What was compared with what: the outcome of every model and method, pool by pool and task by task."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from moco.analysis.costs import Cost, load_costs, mean_cost, over_tasks, result_costs
from moco.analysis.measures import PARTED
from moco.analysis.results import RESULT, Spec, answered_items, item_scores, load_scores, summarise
from moco.analysis.statistics import Estimate, average, estimate, paired_difference
from moco.methods.base import LEVELS

UNAVERAGED_TYPES = frozenset({"reward_model", "text_generation", "generation_diversity", *PARTED})
"""Task types whose scores are no accuracies, or of several kinds: shown apart and left out of every average."""

IN_PARTS = "see moco_measures"
"""What stands where the items of a task have scores of several kinds."""

NOT_SCORED = "not scored"
"""What stands where a rule set scores no reply of a task."""

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


NOT_COMPARED = Outcome(text="not compared")
"""Of a pair that no block of the study has."""


@dataclass(frozen=True)
class Line:
    """The outcomes of one row of a pool, and what they cost, by task; no cost where there is no number.

    Attributes:
        pool: Pool.
        name: Model, method variant, or a summary of the single models.
        level: Level of the method; `single` or `oracle` otherwise.
        outcomes: Outcome by task.
        costs: Attributed cost by task.
        method: Id of the method; empty for what is none.
    """

    pool: str
    name: str
    level: str
    outcomes: Mapping[str, Outcome]
    costs: Mapping[str, Cost | None]
    method: str = ""


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
        self._results = results
        frame = load_scores(spec, results)
        self._answered = answered_items(frame)
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
            if each.unscored and key not in scores and each.coverage >= self.spec["min_coverage"]:
                outcomes[key] = Outcome(text=NOT_SCORED)
            elif key not in scores or each.coverage < self.spec["min_coverage"]:
                outcomes[key] = Outcome(text=f"failed: {each.reason or 'no valid items'}")
            elif self.spec["tasks"][each.task]["type"] in PARTED:
                outcomes[key] = Outcome(text=IN_PARTS)
            else:
                found = estimate(scores[key], each.task, seeds=each.seeds, accuracy=self.averaged(each.task))
                outcomes[key] = Outcome(found, scores=scores[key])
        return outcomes

    @cached_property
    def costs(self) -> pd.DataFrame:
        """Attributed cost of every result, by stage and model."""
        return load_costs(self._results)

    @cached_property
    def _result_costs(self) -> dict[tuple[str, str, str, str], Cost]:
        return result_costs(self.costs, self._answered)

    def _cost(self, kind: str, pool: str, name: str, task: str) -> Cost | None:
        outcome = self._outcomes.get((kind, pool, name, task))
        if outcome is None or outcome.estimate is None:
            return None
        return self._result_costs.get((kind, pool, name, task))

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
        return self._outcomes.get(("single", "", model, task), NOT_COMPARED)

    def method(self, pool: str, variant: str, task: str) -> Outcome:
        """Return the outcome of a method variant."""
        reason = self._not_applicable.get((pool, variant, task))
        if reason is not None:
            return Outcome(text=f"not applicable: {reason}")
        return self._outcomes.get(("method", pool, variant, task), NOT_COMPARED)

    def best_model(self, pool: str, task: str) -> str | None:
        """Return the pool's model with the highest test mean, the first by name; None unless all have a number."""
        models = sorted(self.models(pool))
        estimates = [self.single(model, task).estimate for model in models]
        means = [each.mean for each in estimates if each is not None]
        if not means or len(means) < len(models):
            return None
        return models[means.index(max(means))]

    def best_single(self, pool: str, task: str) -> Outcome:
        """Return the outcome of the pool's model with the highest test mean; no number unless all models have one."""
        best = self.best_model(pool, task)
        return Outcome(text="-") if best is None else self.single(best, task)

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
        return sorted(found, key=by_level)

    def lines(self, pool: str) -> list[Line]:
        """Return the rows of a pool: its models, best and mean single, its methods."""
        tasks, planned = list(self.spec["tasks"]), set(self.tasks(pool))
        nothing = NOT_COMPARED

        def single(
            name: str, level: str, outcome: Callable[[str], Outcome], cost: Callable[[str], Cost | None]
        ) -> Line:
            outcomes = {task: outcome(task) if task in planned else nothing for task in tasks}
            return Line(pool, name, level, outcomes, {task: cost(task) if task in planned else None for task in tasks})

        lines = [
            single(model, "single", partial(self.single, model), partial(self._cost, "single", "", model))
            for model in self.models(pool)
        ]
        lines.append(
            single(BEST_SINGLE, "oracle", partial(self.best_single, pool), partial(self._best_single_cost, pool))
        )
        lines.append(
            single(MEAN_SINGLE, "single", partial(self.mean_single, pool), partial(self._mean_single_cost, pool))
        )
        for level, variant in self.variants(pool):
            outcomes = {task: self.method(pool, variant, task) for task in tasks}
            costs = {task: self._cost("method", pool, variant, task) for task in tasks}
            lines.append(Line(pool, variant, level, outcomes, costs, self._method_ids.get(variant, "")))
        return lines

    @cached_property
    def _method_ids(self) -> dict[str, str]:
        return {entry["variant"]: entry["method"] for entry in self.spec["methods"]}

    def _best_single_cost(self, pool: str, task: str) -> Cost | None:
        best = self.best_model(pool, task)
        return None if best is None else self._cost("single", "", best, task)

    def _mean_single_cost(self, pool: str, task: str) -> Cost | None:
        costs = [self._cost("single", "", model, task) for model in self.spec["pools"][pool]]
        found = [cost for cost in costs if cost is not None]
        return mean_cost(found) if len(found) == len(costs) else None

    def cost_over_tasks(self, line: Line) -> Cost | None:
        """Return the cost over the tasks of the row's average, or over all tasks of a pool without an average."""
        tasks = self.tasks(line.pool)
        return over_tasks(line.costs[task] for task in [task for task in tasks if self.averaged(task)] or tasks)

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

    def gain(self, pool: str, variant: str, task: str) -> Estimate | None:
        """Return the mean paired difference between a method and the best single model; None without both numbers."""
        key = (pool, variant, task)
        if key not in self._gains:
            self._gains[key] = self._make_gain(*key)
        return self._gains[key]

    @cached_property
    def _gains(self) -> dict[tuple[str, str, str], Estimate | None]:
        return {}

    def _make_gain(self, pool: str, variant: str, task: str) -> Estimate | None:
        ours, best = self.method(pool, variant, task), self.best_single(pool, task)
        if ours.estimate is None or best.estimate is None or ours.scores is None or best.scores is None:
            return None
        seeds = min(ours.estimate.seeds, best.estimate.seeds)
        return paired_difference(ours.scores, best.scores, task, seeds=seeds, accuracy=self.averaged(task))

    def oracle_router(self, pool: str, task: str) -> Outcome:
        """Return what a router would reach that sends every item to the member that does best on it."""
        outcomes = [self.single(model, task) for model in self.models(pool)]
        scores = [each.scores for each in outcomes if each.scores is not None]
        if not scores or len(scores) < len(outcomes):
            return Outcome(text="-")
        best = pd.concat(scores, axis=1).max(axis=1)
        seeds = min(each.estimate.seeds for each in outcomes if each.estimate is not None)
        return Outcome(estimate(best, task, seeds=seeds, accuracy=self.averaged(task)), scores=best)

    def wins(self) -> list[Wins]:
        """Return how every variant does against the best single model, over pools and tasks, by level and name."""
        levels: dict[str, str] = {}
        for (_, variant), level in self._variants.items():
            levels[variant] = levels.get(variant) or level
        found = [
            self._wins_of(level, name) for level, name in sorted(((v, k) for k, v in levels.items()), key=by_level)
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
                gain = self.gain(pool, name, task)
                if self.averaged(task) and gain is not None:
                    gains.append(gain)
        return Wins(name, level, wins, ties, settings, average(gains) if gains else None)


def by_level(variant: tuple[str, str]) -> tuple[int, str]:
    """Return the key by which methods, as (level, variant), are sorted: by level and name."""
    level, name = variant
    return (LEVELS.index(level) if level in LEVELS else len(LEVELS), name)


def _average(estimates: Iterable[Estimate | None]) -> Outcome:
    every: Sequence[Estimate | None] = list(estimates)
    found = [each for each in every if each is not None]
    if not found or len(found) < len(every):
        return Outcome(text="-")
    return Outcome(average(found))
