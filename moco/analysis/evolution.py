"""What the rounds of the loop came to: models alone and their system, round by round, from what is collected of them.

A *course* is a method with a variant on a task, in one entry of the study; its runs differ in their seed. An item's
score is its mean over seeds. `single` is the mean over the models of a pool, `multi` the system that they make.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, permutations
from pathlib import Path
from statistics import stdev
from typing import Any, TypeAlias

import pandas as pd

from moco import paths
from moco.analysis.collect import ROUND
from moco.analysis.comparison import UNAVERAGED_TYPES
from moco.analysis.costs import load_costs
from moco.analysis.results import Spec, load_scores
from moco.analysis.statistics import Estimate, average, estimate, paired_difference
from moco.records import ALL_STUDENTS, read_frame

Items: TypeAlias = "pd.Series[float]"
LEARNT = ("examples", "steps", "tokens")
"""By what the budget of a training is counted."""
_FULL = 1 - 1e-9
"""A score from which on an item is solved; a mean of equal scores may miss 1 by a rounding."""


@dataclass(frozen=True)
class Course:
    """Runs of the loop that differ in their seed.

    Attributes:
        entry: Of the study.
        pool: Of round 0.
        method: Method variant that teaches, and makes the system.
        level: Of the method.
        variant: How students learn.
        protocol: `clean`, or `upstream`, whose results leak.
        task: Task.
        runs: As the plan describes them.
    """

    entry: str
    pool: str
    method: str
    level: str
    variant: str
    protocol: str
    task: str
    runs: tuple[Mapping[str, Any], ...]

    @property
    def last(self) -> int:
        """Number of the last round."""
        return len(self.runs[0]["rounds"]) - 1

    @property
    def leaks(self) -> bool:
        """Whether it learns from the test split."""
        return self.protocol == "upstream"

    def kind(self) -> tuple[str, str, str]:
        """Return what courses of several tasks share: entry, method and variant."""
        return self.entry, self.method, self.variant


class Evolution:
    """Scores and costs of all rounds.

    Args:
        spec: What was compared; `evolution` has runs and baselines.
        results: The results folder.

    Raises:
        WorkError: Collected files are missing or damaged.
    """

    def __init__(self, spec: Spec, results: Path) -> None:
        self.spec, self._results = spec, results
        frame = load_scores(spec, results, paths.EVOLUTION, ["parsed"])
        by = ["kind", "pool", "name", "task", "seed"]
        self._rows = {key: rows for key, rows in frame.groupby(by, observed=True, sort=False)}

    @cached_property
    def courses(self) -> list[Course]:
        """All courses; those that leak come last, since nothing may be compared with them."""
        found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
        names = ("entry", "pool", "method", "level", "variant", "protocol", "task")
        for run in self.spec["evolution"]["runs"]:
            found.setdefault(tuple(run[name] for name in names), []).append(run)
        courses = [Course(**dict(zip(names, key, strict=True)), runs=tuple(runs)) for key, runs in found.items()]
        return sorted(courses, key=lambda course: course.leaks)

    @property
    def groups(self) -> dict[tuple[str, str, str], list[Course]]:
        """Courses of one entry, method and variant, over its tasks."""
        found: dict[tuple[str, str, str], list[Course]] = {}
        for course in self.courses:
            found.setdefault(course.kind(), []).append(course)
        return found

    def averaged(self, task: str) -> bool:
        """Return whether scores of a task are accuracies, which averages may include."""
        return self.spec["tasks"][task]["type"] not in UNAVERAGED_TYPES

    # Scores by item

    def _scores(self, kind: str, pool: str, name: str, task: str, seed: int) -> "Items | None":
        """Return a result's score per item; None where too few of its items were answered."""
        rows = self._rows.get((kind, pool, name, task, seed))
        if rows is None:
            return None
        valid = rows[rows["status"] != "invalid"]
        scores = valid.loc[valid["score"].notna()].groupby("uid", observed=True)["score"].mean()
        answered = (valid["status"] != "failed").mean() if len(valid) else 0.0
        return scores.sort_index() if len(scores) and answered >= self.spec["min_coverage"] else None

    def _of_run(self, run: Mapping[str, Any], number: int) -> "list[Items | None]":
        """Return scores by item of every model of a pool, in its order, and of its system."""
        made = run["rounds"][number]
        alone = [("single", made["pool"], model) for model in made["models"]]
        return [
            self._scores(*what, run["task"], run["seed"]) for what in (*alone, ("method", made["pool"], run["method"]))
        ]

    def multi(self, course: Course, number: int) -> "Items | None":
        """Return the system's score per item after a round."""
        return _mean(self._of_run(run, number)[-1] for run in course.runs)

    def models(self, course: Course, number: int) -> "list[Items | None]":
        """Return the score per item of every model of the pool after a round."""
        of_runs = [self._of_run(run, number)[:-1] for run in course.runs]
        return [_mean(of_place) for of_place in zip(*of_runs, strict=True)]

    def single(self, course: Course, number: int) -> "Items | None":
        """Return the score per item after a round, as the mean over the models of the pool."""
        return _mean(self.models(course, number))

    # Numbers

    def _estimate(self, course: Course, items: "Items | None") -> Estimate | None:
        if items is None:
            return None
        return estimate(items, course.task, seeds=len(course.runs), accuracy=self.averaged(course.task))

    def score(self, course: Course, level: str, number: int) -> Estimate | None:
        """Return the mean of `single` or `multi` after a round."""
        return self._estimate(course, self._level(course, level, number))

    def gain(self, course: Course, level: str, number: int) -> Estimate | None:
        """Return the paired difference to round 0."""
        after, before = (self._level(course, level, each) for each in (number, 0))
        if after is None or before is None:
            return None
        seeds, accuracy = len(course.runs), self.averaged(course.task)
        return paired_difference(after, before, course.task, seeds=seeds, accuracy=accuracy)

    def _level(self, course: Course, level: str, number: int) -> "Items | None":
        return self.multi(course, number) if level == "multi" else self.single(course, number)

    def spread(self, course: Course, number: int) -> float | None:
        """Return the standard deviation of the models' means after a round; None for fewer than two models."""
        means = [items.mean() for items in self.models(course, number) if items is not None]
        return stdev(means) if len(means) > 1 else None

    def best_single(self, course: Course, number: int) -> Estimate | None:
        """Return the model with the highest test mean after a round, the first of equal ones: an oracle."""
        known = [items for items in self.models(course, number) if items is not None]
        return self._estimate(course, max(known, key=lambda items: items.mean())) if known else None

    def baseline(self, course: Course, method: str) -> Estimate | None:
        """Return a baseline's score on the task and pool of a course."""
        return self._estimate(course, self._of_method(course, method))

    def baseline_gain(self, course: Course, method: str) -> Estimate | None:
        """Return the paired difference of a baseline to the mean single model of round 0."""
        found, before = self._of_method(course, method), self.single(course, 0)
        if found is None or before is None:
            return None
        seeds, accuracy = len(course.runs), self.averaged(course.task)
        return paired_difference(found, before, course.task, seeds=seeds, accuracy=accuracy)

    def over_single(self, course: Course, level: str, number: int) -> Estimate | None:
        """Return the paired difference of `single` or `multi` after a round to the mean single model of round 0."""
        after, before = self._level(course, level, number), self.single(course, 0)
        if after is None or before is None:
            return None
        seeds, accuracy = len(course.runs), self.averaged(course.task)
        return paired_difference(after, before, course.task, seeds=seeds, accuracy=accuracy)

    def _of_method(self, course: Course, method: str) -> "Items | None":
        return _mean(self._scores("method", course.pool, method, course.task, run["seed"]) for run in course.runs)

    # What was solved

    def _solved(self, run: Mapping[str, Any], number: int) -> "pd.Series[bool] | None":
        """Return by item whether a model or the system of a round solves it."""
        found = self._of_run(run, number)
        if any(items is None for items in found):
            return None
        return pd.concat([items for items in found if items is not None], axis=1).max(axis=1) >= _FULL

    def new_solved(self, course: Course, number: int) -> Estimate | None:
        """Return the share of items that a round solves, and that neither a model nor the system of round 0 did."""
        return self._changed(course, number, 0)

    def lost(self, course: Course, number: int) -> Estimate | None:
        """Return the share of items that round 0 solves, and the round does not."""
        return self._changed(course, 0, number)

    def _changed(self, course: Course, solved: int, unsolved: int) -> Estimate | None:
        pairs = [(self._solved(run, solved), self._solved(run, unsolved)) for run in course.runs]
        return self._estimate(course, _mean(_only(one, other) for one, other in pairs))

    def by_chance(self, course: Course) -> Estimate | None:
        """Return the share of items that round 0 solves with one seed and not with another; None for a single seed.

        So many items would a round solve newly if nothing had changed.
        """
        drawn = [self._solved(run, 0) for run in course.runs]
        return self._estimate(course, _mean(_only(one, other) for one, other in permutations(drawn, 2)))

    # How alike the models are

    def agreement(self, course: Course, number: int) -> Estimate | None:
        """Return how often two models of a pool give the same answer; None for one model, and for answers without form.

        An answer that could not be read agrees with none.
        """
        of_runs = []
        for run in course.runs:
            made = run["rounds"][number]
            names = dict.fromkeys(made["models"])
            keys = [("single", made["pool"], name, run["task"], run["seed"]) for name in names]
            if len(keys) < 2 or any(key not in self._rows for key in keys):
                return None
            said = [self._rows[key].groupby("uid", observed=True)["parsed"].first() for key in keys]
            if not any(each.notna().any() for each in said):
                return None
            equal = [(one == other) & one.notna() for one, other in combinations(said, 2)]
            of_runs.append(pd.concat(equal, axis=1).mean(axis=1))
        return self._estimate(course, _mean(of_runs))

    @cached_property
    def _students(self) -> pd.DataFrame:
        return read_frame(self._results / paths.collected(paths.EVOLUTION, "students"), ALL_STUDENTS)

    def distance(self, course: Course, number: int) -> float | None:
        """Return the mean distance of two models' adapters after a round, over seeds; None where one is not known."""
        found = [self._of_students(run, number)["distance"] for run in course.runs]
        if not all(len(each) and each.notna().all() for each in found):
            return None
        return float(pd.concat(found).mean())

    def held_out_losses(self, course: Course) -> tuple[float, float] | None:
        """Return the mean loss on what is held out before the first and after the last round; None where there is none.

        What is held out has what the collaboration of each round says for replies, so the two are of different replies.
        """
        if not course.last:
            return None
        ends = ((1, "loss_before"), (course.last, "loss_after"))
        before, after = (
            pd.concat([self._of_students(run, number)[column] for run in course.runs]) for number, column in ends
        )
        known = len(before) and before.notna().all() and len(after) and after.notna().all()
        return (float(before.mean()), float(after.mean())) if known else None

    def _of_students(self, run: Mapping[str, Any], number: int) -> pd.DataFrame:
        rows: pd.DataFrame = self._students
        found: pd.DataFrame = rows[(rows["pool"] == run["rounds"][number]["pool"]) & (rows["name"] == run["run"])]
        return found

    # Costs

    @cached_property
    def _costs(self) -> pd.DataFrame:
        return load_costs(self._results, paths.EVOLUTION)

    def learning_flops(self, course: Course, number: int) -> float:
        """Return what the rounds up to one cost, teaching and training, as the mean over seeds."""
        rows = self._costs[(self._costs["kind"] == ROUND) & (self._costs["task"] == course.task)]
        pools = {run["rounds"][each]["pool"] for run in course.runs for each in range(1, number + 1)}
        return float(rows.loc[rows["pool"].isin(pools), "flops"].sum(skipna=False)) / len(course.runs)

    def learnt(self, course: Course, method: str | None = None) -> "pd.Series[float]":
        """Return what was trained on, by the loop or by a baseline, as the mean over seeds: examples, steps, tokens.

        They are those of all rounds and models together, tokens with repeats.
        """
        costs = self._costs[self._costs["task"] == course.task]
        if method is None:
            pools = {run["rounds"][each]["pool"] for run in course.runs for each in range(1, course.last + 1)}
            rows = costs[(costs["kind"] == ROUND) & costs["pool"].isin(pools)]
        else:
            rows = self._of_baseline(course, method)
        trained = rows.loc[rows["stage"] == "train", ["items", "calls", "prompt_tokens"]]
        found: pd.Series[float] = trained.astype(float).sum() / len(course.runs)
        return found.set_axis(list(LEARNT))

    def fit_flops(self, course: Course, method: str) -> float:
        """Return what a baseline learned for, as the mean over seeds."""
        rows = self._of_baseline(course, method)
        return float(rows.loc[rows["stage"] != "answer", "flops"].sum(skipna=False)) / len(course.runs)

    def item_flops(self, course: Course, level: str, number: int) -> float:
        """Return what one test item costs a system, or one model on average, after a round."""
        costs = self._costs[(self._costs["task"] == course.task) & (self._costs["stage"] == "answer")]
        pools = {run["rounds"][number]["pool"] for run in course.runs}
        seeds = {run["seed"] for run in course.runs}
        rows = costs[costs["pool"].isin(pools) & costs["seed"].isin(seeds)]
        if level == "multi":
            rows = rows[(rows["kind"] == "method") & (rows["name"] == course.method)]
            return float(rows["flops"].sum(skipna=False)) / len(course.runs) / self._items(course, number)
        rows = rows[rows["kind"] == "single"]
        return float(rows["flops"].mean(skipna=False)) / self._items(course, number)

    def baseline_item_flops(self, course: Course, method: str) -> float:
        """Return what one test item costs a baseline."""
        rows = self._of_baseline(course, method)
        spent = float(rows.loc[rows["stage"] == "answer", "flops"].sum(skipna=False))
        return spent / len(course.runs) / self._items(course, 0)

    def _of_baseline(self, course: Course, method: str) -> pd.DataFrame:
        costs = self._costs
        wanted = (costs["kind"] == "method") & (costs["pool"] == course.pool) & (costs["name"] == method)
        return costs[wanted & (costs["task"] == course.task)]

    def _items(self, course: Course, number: int) -> int:
        items = self.multi(course, number)
        return 1 if items is None else len(items)

    # Over tasks

    def over_tasks(
        self, courses: Sequence[Course], value: Callable[..., Estimate | None], *about: Any
    ) -> Estimate | None:
        """Return the average over tasks whose scores are accuracies; None where a task has no number.

        Args:
            courses: One per task.
            value: Gives the number of a course.
            about: Further arguments of `value`, such as level and round.
        """
        found = [value(course, *about) for course in courses if self.averaged(course.task)]
        known = [each for each in found if each is not None]
        return average(known) if known and len(known) == len(found) else None


def _mean(series: Iterable["pd.Series[Any] | None"]) -> "pd.Series[float] | None":
    """Return the mean by item over the items that all have; None where one is missing."""
    every = list(series)
    known = [each for each in every if each is not None]
    if not known or len(known) < len(every):
        return None
    found: pd.Series[float] = pd.concat(known, axis=1, join="inner").mean(axis=1)
    return found if len(found) else None


def _only(one: "pd.Series[bool] | None", other: "pd.Series[bool] | None") -> "pd.Series[float] | None":
    """Return 1 by item where only the first is true."""
    if one is None or other is None:
        return None
    both = pd.concat([one, other], axis=1, join="inner")
    return (both.iloc[:, 0] & ~both.iloc[:, 1]).astype(float)
