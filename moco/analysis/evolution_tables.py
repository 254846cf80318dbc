"""The tables of the loop: single models and systems by round, by variant, by domain, and beside what they compare with."""

from collections.abc import Callable, Sequence
from math import isnan
from pathlib import Path
from typing import Any

from moco.analysis.comparison import BEST_SINGLE
from moco.analysis.cost_tables import GIGA
from moco.analysis.evolution import LEARNT, Course, Evolution
from moco.analysis.notes import ATTRIBUTED, study_notes
from moco.analysis.render import Cell, Quantity, Table
from moco.analysis.results import Spec
from moco.analysis.statistics import Estimate

LEVELS = ("single", "multi")
ALL_TASKS = "average"
NOTHING = "-"

SINGLE_AND_MULTI = (
    "single: mean over the models of the pool, each alone; multi: the system that they make with the method. Both are in"
    " percent, and round 0 is the pool before anything was learnt."
)
GAINS = "A gain is the paired difference, item by item, in percentage points."
LEAKS = (
    "leaky: protocol upstream learns from replies to test items and chooses by their scores; such rows stand last and are"
    " to be compared with each other alone."
)
HELD_OUT = (
    "Held-out loss: per token, on examples of distill that no student learns from, before the first training and after the"
    " last; of on_policy the divergence to the teacher. Replies are those of each round's own collaboration."
)
COST_OF_ROUNDS = (
    "Learning GFLOPs: answers and replies that were learnt, and training, over all rounds. Per point: divided by the gain"
    " in percentage points, where its interval is above 0."
)


def evo_main(spec: Spec, results: Path) -> Table:
    """Return single and multi by round, for every course and on average over tasks."""
    found = Evolution(spec, results)
    rounds = range(1 + max((course.last for course in found.courses), default=0))
    rows: list[tuple[Cell, ...]] = []
    for courses in found.groups.values():
        for course in courses:
            percent = found.averaged(course.task)
            for level in LEVELS:
                scores = [_cell(found.score(course, level, each), percent) for each in range(course.last + 1)]
                scores += [NOTHING] * (len(rounds) - len(scores))
                gain = _cell(found.gain(course, level, course.last), percent)
                rows.append((*_names(course), course.task, level, *scores, gain, _spread(found, course, level)))
        if len(courses) > 1:
            for level in LEVELS:
                rows.append(_average_row(found, courses, level, rounds))
    notes = (
        SINGLE_AND_MULTI,
        GAINS,
        "sd over models: standard deviation of the models' means after the last round, with N - 1; none for one model.",
        *_notes(found),
    )
    columns = (
        "entry",
        "method",
        "variant",
        "task",
        "level",
        *(f"round {each}" for each in rounds),
        "gain",
        "sd over models (%)",
    )
    return Table(f"Study {spec['study']}: the single-multi evolution loop, by round", columns, tuple(rows), notes)


def _average_row(found: Evolution, courses: Sequence[Course], level: str, rounds: range) -> tuple[Cell, ...]:
    last = courses[0].last
    scores = [_over(found, courses, found.score, level, each) for each in range(last + 1)]
    scores += [NOTHING] * (len(rounds) - len(scores))
    return (*_names(courses[0]), ALL_TASKS, level, *scores, _over(found, courses, found.gain, level, last), NOTHING)


def evo_variants(spec: Spec, results: Path) -> Table:
    """Return gains over all rounds by method and variant, what they cost, and items that were newly solved."""
    found = Evolution(spec, results)
    measured = any(found.held_out_losses(course) for course in found.courses)
    rows: list[tuple[Cell, ...]] = []
    for courses in found.groups.values():
        last, spent = courses[0].last, _total(found, courses)
        gains = [_gain(found, courses, level) for level in LEVELS]
        solved = (
            _over(found, courses, found.new_solved, last),
            _over(found, courses, found.by_chance),
            _over(found, courses, found.lost, last),
        )
        costs: tuple[Cell, ...] = (_giga(spent), *(_per_point(spent, gain) for gain in gains))
        losses = _losses(found, courses) if measured else ()
        rows.append((*_names(courses[0]), len(courses), *map(_cell, gains), *solved, *costs, *losses))
    notes = (
        SINGLE_AND_MULTI,
        f"{GAINS} Gains are those of the last round against round 0, as the average over tasks whose scores are accuracies.",
        "Newly solved: items that a model or the system solves after the last round, and none did in round 0. By chance: as"
        " many would be new if nothing changed, from round 0 under one seed and another; it needs two seeds. Lost: items"
        " solved in round 0 and not after the last round; without a change as many are lost as are new.",
        COST_OF_ROUNDS,
        *((HELD_OUT,) if measured else ()),
        *_notes(found),
    )
    names = ("entry", "method", "variant", "tasks", "gain single", "gain multi", "newly solved", "by chance", "lost")
    costs_of = ("learning GFLOPs", "GFLOPs per point single", "GFLOPs per point multi")
    losses_of = ("held-out loss before", "held-out loss after") if measured else ()
    columns = (*names, *costs_of, *losses_of)
    return Table(f"Study {spec['study']}: what each way of learning brings", columns, tuple(rows), notes)


def _losses(found: Evolution, courses: Sequence[Course]) -> tuple[Cell, ...]:
    """Return the mean over tasks of the losses on what is held out; nothing where a task has none."""
    known = [losses for course in courses if (losses := found.held_out_losses(course)) is not None]
    if len(known) < len(courses):
        return NOTHING, NOTHING
    return tuple(Quantity(sum(each) / len(known)) for each in zip(*known, strict=True))


def evo_domains(spec: Spec, results: Path) -> Table:
    """Return gains over all rounds by method, variant and domain."""
    found = Evolution(spec, results)
    rows: list[tuple[Cell, ...]] = []
    for courses in found.groups.values():
        domains: dict[str, list[Course]] = {}
        for course in courses:
            domains.setdefault(spec["tasks"][course.task]["domain"], []).append(course)
        for domain, mine in domains.items():
            scores = (_over(found, mine, found.score, level, mine[0].last) for level in LEVELS)
            gains = (_cell(_gain(found, mine, level)) for level in LEVELS)
            rows.append((*_names(mine[0]), domain, len(mine), *scores, *gains))
    notes = (
        SINGLE_AND_MULTI,
        f"{GAINS} Gains are those of the last round against round 0, as the average over the tasks of the domain.",
        *_notes(found),
    )
    columns = ("entry", "method", "variant", "domain", "tasks", "single", "multi", "gain single", "gain multi")
    return Table(f"Study {spec['study']}: the loop by domain", columns, tuple(rows), notes)


def evo_baselines(spec: Spec, results: Path) -> Table:
    """Return what the loop reaches beside round 0 and methods that learn by themselves, with what each costs."""
    found = Evolution(spec, results)
    rows: list[tuple[Cell, ...]] = []
    begun: set[tuple[str, frozenset[str]]] = set()
    for courses in found.groups.values():
        first, last = courses[0], courses[0].last
        where = (first.pool, frozenset(course.task for course in courses))
        if where not in begun:
            begun.add(where)
            rows += _before(found, courses)
        system = f"{first.method}, {first.variant}, round {last}{leaky(first)}"
        for level in LEVELS:
            score = _over(found, courses, found.score, level, last)
            gain = _over(found, courses, found.over_single, level, last)
            item = [found.item_flops(course, level, last) for course in courses]
            costs = (_giga(_total(found, courses)), _mean_giga(item))
            budget = _budget(found, courses)
            rows.append((first.pool, len(courses), first.entry, system, level, score, gain, *costs, *budget))
    notes = (
        SINGLE_AND_MULTI,
        f"Scores and gains are averages over the same tasks of an entry. {GAINS} All gains are against the mean single model"
        " of round 0. best single (test): for each task the model with the highest mean on the test items themselves.",
        "Baselines learn on dev, with the settings that the study gives them, and are asked with the pool of round 0; an"
        " entry with other settings or shares of the mixture is a control of the loop.",
        "Learning GFLOPs: of the loop, what all rounds learn from and their training; of a baseline, its fit.",
        "Learnt: examples, optimiser steps and tokens (with repeats) of all trained models and rounds together, the mean over"
        " seeds; of the loop: these tokens by the mean of the loop's rows of this pool and these tasks. Compare at equal"
        " budgets, near 1.",
        *_notes(found),
    )
    columns = (
        "pool",
        "tasks",
        "entry",
        "system",
        "level",
        "score",
        "gain over round 0",
        "learning GFLOPs",
        "GFLOPs/item",
        *(f"learnt {each}" for each in LEARNT),
        "of the loop",
    )
    return Table(f"Study {spec['study']}: the loop beside what it compares with", columns, tuple(rows), notes)


def _before(found: Evolution, courses: Sequence[Course]) -> list[tuple[Cell, ...]]:
    """Return the rows of a pool before anything was learnt by rounds: its models, its systems, and baselines."""
    pool, tasks = courses[0].pool, {course.task for course in courses}
    alone = _mean_giga([found.item_flops(course, "single", 0) for course in courses])
    mean, best = _over(found, courses, found.score, "single", 0), _over(found, courses, found.best_single, 0)
    rows: list[tuple[Cell, ...]] = [
        (pool, len(tasks), NOTHING, "mean single, round 0", "single", mean, NOTHING, NOTHING, alone, *_NO_BUDGET),
        (pool, len(tasks), NOTHING, f"{BEST_SINGLE}, round 0", "oracle", best, NOTHING, NOTHING, alone, *_NO_BUDGET),
    ]
    of_method = {
        mine[0].method: mine
        for mine in found.groups.values()
        if mine[0].pool == pool and {course.task for course in mine} == tasks
    }
    for method, mine in of_method.items():
        score, gain = _over(found, mine, found.score, "multi", 0), _over(found, mine, found.over_single, "multi", 0)
        item = _mean_giga([found.item_flops(course, "multi", 0) for course in mine])
        rows.append((pool, len(tasks), NOTHING, f"{method}, round 0", "multi", score, gain, NOTHING, item, *_NO_BUDGET))
    baselines = [
        each for each in found.spec["evolution"]["baselines"] if each["pool"] == pool and each["task"] in tasks
    ]
    for method, level in {each["method"]: each["level"] for each in baselines}.items():
        score, gain = _over(found, courses, found.baseline, method), _over(found, courses, found.baseline_gain, method)
        spent = _giga(sum(found.fit_flops(course, method) for course in courses))
        item = _mean_giga([found.baseline_item_flops(course, method) for course in courses])
        budget = _budget(found, courses, method)
        rows.append((pool, len(tasks), "baseline", method, level, score, gain, spent, item, *budget))
    return rows


_NO_BUDGET = (NOTHING,) * (len(LEARNT) + 1)
"""What was trained for what nobody trained."""


def _budget(found: Evolution, courses: Sequence[Course], method: str | None = None) -> tuple[Cell, ...]:
    """Return what the loop or a baseline was trained on, over tasks, and its tokens by those of the loop."""
    where = courses[0].pool, {course.task for course in courses}
    alike = [mine for mine in found.groups.values() if (mine[0].pool, {course.task for course in mine}) == where]
    learnt = {name: sum(float(found.learnt(course, method)[name]) for course in courses) for name in LEARNT}
    tokens = [sum(float(found.learnt(course)["tokens"]) for course in mine) for mine in alike]
    usual = sum(tokens) / len(tokens)
    share = Quantity(learnt["tokens"] / usual) if usual else NOTHING
    return (*map(Quantity, learnt.values()), share)


def _names(course: Course) -> tuple[str, str, str]:
    return course.entry, course.method, course.variant + leaky(course)


def leaky(course: Course) -> str:
    """Return what follows the name of a course that learns from the test split."""
    return " (leaky)" if course.leaks else ""


def _notes(found: Evolution) -> tuple[str, ...]:
    leaks = (LEAKS,) if any(course.leaks for course in found.courses) else ()
    others = sorted({course.task for course in found.courses if not found.averaged(course.task)})
    apart = (f"In no average, because the scores are no accuracies: {', '.join(others)}.",) if others else ()
    return (*leaks, *apart, *study_notes(found.spec), ATTRIBUTED)


def _cell(number: Estimate | None, percent: bool = True) -> Cell:
    return NOTHING if number is None else number.interval(percent=percent)


def _over(found: Evolution, courses: Sequence[Course], value: Callable[..., Estimate | None], *about: Any) -> Cell:
    """Return the average over tasks of a value of each course, which may depend on a level or round."""
    return _cell(found.over_tasks(courses, value, *about))


def _gain(found: Evolution, courses: Sequence[Course], level: str) -> Estimate | None:
    return found.over_tasks(courses, found.gain, level, courses[0].last)


def _spread(found: Evolution, course: Course, level: str) -> Cell:
    shown = level == "single" and found.averaged(course.task)
    spread = found.spread(course, course.last) if shown else None
    return NOTHING if spread is None else spread


def _total(found: Evolution, courses: Sequence[Course]) -> float:
    return sum(found.learning_flops(course, course.last) for course in courses)


def _giga(number: float) -> Cell:
    return NOTHING if isnan(number) else Quantity(number / GIGA)


def _mean_giga(numbers: Sequence[float]) -> Cell:
    return _giga(sum(numbers) / len(numbers)) if numbers else NOTHING


def _per_point(spent: float, gain: Estimate | None) -> Cell:
    """Return what a percentage point cost; nothing where the gain may be none."""
    if gain is None or gain.interval().low <= 0:
        return NOTHING
    return _giga(spent / (100 * gain.mean))
