"""The figures of the loop: scores by round, single against multi, newly solved items, how alike the models become."""

from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moco.analysis import style
from moco.analysis.drawing import BESIDE, SMALL, Drawing, finish_layout, panels, plain_axes, short_name
from moco.analysis.evolution import Course, Evolution
from moco.analysis.evolution_tables import GAINS, LEAKS, SINGLE_AND_MULTI, leaky
from moco.analysis.notes import study_notes
from moco.analysis.results import Spec
from moco.analysis.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
_HEIGHT = 2.1
_MARKERS = "osD^vPX"


def evo_rounds(spec: Spec, results: Path) -> Drawing:
    """Draw the mean single model and the system by round, on average over tasks; a panel per entry and variant."""
    found = Evolution(spec, results)

    def panel(axes: "Axes", groups: Sequence[Sequence[Course]]) -> None:
        for courses, marker in zip(groups, cycle(_MARKERS), strict=False):
            for level in ("single", "multi"):
                points = [found.over_tasks(courses, found.score, level, at) for at in range(courses[0].last + 1)]
                label = courses[0].method if level == "multi" else ""
                _line(axes, points, courses[0], marker, label, hollow=level == "single")
        axes.set_ylabel("mean score, %")

    notes = (
        f"{SINGLE_AND_MULTI} Filled marks: multi; hollow marks: single. Lines are averages over tasks whose scores are"
        " accuracies, bars their intervals.",
    )
    return _panels(found, panel, "by round", notes, ("multi", "single"))


def evo_diversity(spec: Spec, results: Path) -> Drawing:
    """Draw how often two models of a pool give the same answer, and how far their adapters are from each other, by round."""
    found = Evolution(spec, results)

    def panel(axes: "Axes", groups: Sequence[Sequence[Course]]) -> None:
        for courses, marker in zip(groups, cycle(_MARKERS), strict=False):
            known = [course for course in courses if found.agreement(course, 0) is not None]
            points = [found.over_tasks(known, found.agreement, at) for at in range(courses[0].last + 1)]
            _line(axes, points, courses[0], marker, courses[0].method)
            apart = [_mean_distance(found, courses, at) for at in range(courses[0].last + 1)]
            known_at = [(at, 100 * value) for at, value in enumerate(apart) if value is not None]
            if known_at:
                look = _look(_colour(courses[0]), hollow=True)
                axes.plot(*zip(*known_at, strict=True), marker=marker, color=_colour(courses[0]), zorder=3, **look)
        axes.set_ylabel("agreement, distance, %")

    notes = (
        "Share of pairs of models of the pool that give the same answer to a test item, as the scorer reads it; an answer"
        " that it cannot read agrees with none. A higher share is a pool that is more alike.",
        "Hollow marks: mean distance of what two adapters of the pool add to their bases, over all weights, as a share of their"
        " common length: 0 where both add the same, 100 where these have nothing in common. It is missing where models are no"
        " adapters of one shape.",
    )
    return _panels(found, panel, "how alike the models of a pool are", notes, ("answers that agree", "distance"))


def _mean_distance(found: Evolution, courses: Sequence[Course], number: int) -> float | None:
    known = [each for course in courses if (each := found.distance(course, number)) is not None]
    return sum(known) / len(known) if len(known) == len(courses) else None


def evo_new_solved(spec: Spec, results: Path) -> Drawing:
    """Draw the share of items that a round solves and round 0 did not, beside what chance alone gives."""
    found = Evolution(spec, results)

    def panel(axes: "Axes", groups: Sequence[Sequence[Course]]) -> None:
        for courses, marker in zip(groups, cycle(_MARKERS), strict=False):
            last, colour = courses[0].last, _colour(courses[0])
            points = [found.over_tasks(courses, found.new_solved, at) for at in range(1, last + 1)]
            _line(axes, [None, *points], courses[0], marker, courses[0].method)
            lost = [found.over_tasks(courses, found.lost, at) for at in range(1, last + 1)]
            _line(axes, [None, *lost], courses[0], marker, "", hollow=True)
            chance = found.over_tasks(courses, found.by_chance)
            if chance is not None:
                axes.axhline(100 * chance.mean, color=colour, linewidth=0.7, linestyle=_LINES[2], zorder=1)
        axes.set_ylabel("items, %")

    notes = (
        "Filled marks: items that a model or the system solves after a round, and none did in round 0. Hollow marks: items"
        " solved in round 0 and not after the round. Dotted: what would be new if nothing changed, from round 0 under one"
        " seed and another, where there are several. Without a change as many items are lost as are new.",
    )
    return _panels(found, panel, "newly solved items", notes, ("newly solved", "lost"))


def evo_single_multi(spec: Spec, results: Path) -> Drawing:
    """Draw the gain of the system against that of the mean single model, after the last round."""
    from matplotlib.figure import Figure

    found = Evolution(spec, results)
    figure = Figure(figsize=(style.TWO_COLUMN * 0.7, 2.9), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color=style.INK, linewidth=0.6, linestyle=(0, (4, 3)), zorder=1)
    axes.axvline(0, color=style.INK, linewidth=0.6, linestyle=(0, (4, 3)), zorder=1)
    drawn = 0
    for courses, marker in zip(found.groups.values(), cycle(_MARKERS), strict=False):
        single, multi = (found.over_tasks(courses, found.gain, level, courses[0].last) for level in ("single", "multi"))
        if single is None or multi is None:
            continue
        drawn += 1
        across, up, colour = single.interval(), multi.interval(), _colour(courses[0])
        axes.plot([100 * across.low, 100 * across.high], [100 * up.mean] * 2, color=colour, linewidth=0.9, zorder=2)
        axes.plot([100 * across.mean] * 2, [100 * up.low, 100 * up.high], color=colour, linewidth=0.9, zorder=2)
        name = f"{short_name(courses[0].method)}, {courses[0].entry}, {courses[0].variant}{leaky(courses[0])}"
        axes.plot(100 * across.mean, 100 * up.mean, marker, **_mark(colour), linestyle="none", label=name, zorder=3)
    if not drawn:
        axes.text(0.02, 0.5, "no run has numbers of both", transform=axes.transAxes)
    axes.set_xlabel("gain of the mean single model, percentage points")
    axes.set_ylabel("gain of the system, percentage points")
    plain_axes(axes)
    if drawn:
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=SMALL)
    finish_layout(figure, spec)
    notes = (
        SINGLE_AND_MULTI,
        f"{GAINS} Gains are those of the last round against round 0, averaged over tasks, with their intervals.",
        *_notes(found),
    )
    return Drawing(figure, f"Study {spec['study']}: what the loop brings to models and to their system", notes)


def _panels(
    found: Evolution,
    draw: Callable[["Axes", Sequence[Sequence[Course]]], None],
    what: str,
    notes: tuple[str, ...],
    marks: Sequence[str] = (),
) -> Drawing:
    """Return a figure with a panel per entry and variant, over rounds, whose lines are methods.

    Args:
        found: Scores of all rounds.
        draw: Draws a panel.
        what: The panels show.
        notes: About them.
        marks: What filled marks stand for and what hollow ones do, where there are both.
    """
    from matplotlib.lines import Line2D

    shown: dict[tuple[str, str], list[list[Course]]] = {}
    for (entry, _, variant), courses in found.groups.items():
        shown.setdefault((entry, variant), []).append(courses)
    figure, every = panels(len(shown), _HEIGHT, 0.5, sharey=True)
    names: dict[str, Any] = {}
    for place, (axes, ((entry, variant), groups)) in enumerate(zip(every, shown.items(), strict=True)):
        draw(axes, groups)
        if place % BESIDE:
            axes.set_ylabel("")
        last = max(courses[0].last for courses in groups)
        axes.set_xticks(range(last + 1))
        axes.set_xlim(-0.25, last + 0.25)
        axes.set_xlabel("round")
        axes.set_title(f"{short_name(entry)}, {variant}{leaky(groups[0][0])}", fontsize=7.0, loc="left")
        plain_axes(axes)
        names |= {text: handle for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    if names:
        for name, hollow in zip(marks, (False, True), strict=False):
            names[name] = Line2D([], [], marker="o", color=style.SOFT, **_look(style.SOFT, hollow=hollow))
        labels = [short_name(name) for name in names]
        figure.legend(names.values(), labels, loc="outside upper left", ncols=4, frameon=False, fontsize=SMALL)
    finish_layout(figure, found.spec)
    title = f"Study {found.spec['study']}: the loop, {what}"
    return Drawing(figure, title, (*notes, *_notes(found)))


def _line(
    axes: "Axes", points: Sequence[Estimate | None], course: Course, marker: str, label: str, *, hollow: bool = False
) -> None:
    """Draw numbers over rounds with their intervals; rounds without a number are left out."""
    known = [(at, point.interval()) for at, point in enumerate(points) if point is not None]
    if not known:
        return
    colour = _colour(course)
    aside = 0.06 if hollow else 0.0  # so that both intervals can be seen
    xs, means = [at + aside for at, _ in known], [100 * each.mean for _, each in known]
    lows, highs = ([100 * getattr(each, end) for _, each in known] for end in ("low", "high"))
    axes.vlines(xs, lows, highs, color=colour, linewidth=0.8, zorder=2)
    look = _look(colour, hollow=hollow)
    axes.plot(xs, means, marker=marker, color=colour, label=label or "_", zorder=3, **look)


def _look(colour: str, *, hollow: bool) -> dict[str, Any]:
    line = {"linestyle": _LINES[1] if hollow else _LINES[0], "linewidth": 1.0}
    return {**_mark(colour), **line, **({"markerfacecolor": "white"} if hollow else {})}


def _mark(colour: str) -> dict[str, Any]:
    return {"markersize": 3.6, "markerfacecolor": colour, "markeredgecolor": colour, "markeredgewidth": 0.7}


def _colour(course: Course) -> str:
    return style.LEVEL_COLOURS.get(course.level, style.OTHER_COLOUR)


def _notes(found: Evolution) -> tuple[str, ...]:
    leaks = (LEAKS,) if any(course.leaks for course in found.courses) else ()
    return (*leaks, *study_notes(found.spec))
