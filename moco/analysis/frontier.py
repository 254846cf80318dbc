"""The figure of cost and accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from moco.analysis import style
from moco.analysis.comparison import MEAN_SINGLE, Comparison, Line
from moco.analysis.cost_tables import GIGA
from moco.analysis.drawing import Drawing, Label, finish_layout, level_place, place_labels, plain_axes, short_name
from moco.analysis.notes import ATTRIBUTED, study_notes
from moco.analysis.placement import Array
from moco.analysis.results import Spec
from moco.analysis.statistics import Interval
from moco.methods.base import LEVELS

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SELF_CONSISTENCY = "control_self_consistency"
ORACLE = "oracle"

_FRONTIER: dict[str, Any] = {"color": style.INK, "linewidth": 0.8, "alpha": 0.6, "zorder": 2}
_SAMPLES: dict[str, Any] = {
    "color": style.LEVEL_COLOURS["control"],
    "linewidth": 0.8,
    "linestyle": (0, (1.5, 1.5)),
    "zorder": 2,
}
_STRETCHES = (1.25, 1.6, 2.0)
_SIZES = {"s": 17, "o": 19, "^": 22, "D": 15, "X": 22, "v": 24, "*": 42}


@dataclass(frozen=True)
class Point:
    """A system in the plane of cost and accuracy.

    Attributes:
        line: Its row of the comparison.
        gflops: Attributed GFLOPs per test item.
        accuracy: Average over tasks with its interval.
    """

    line: Line
    gflops: float
    accuracy: Interval


def points(comparison: Comparison, pool: str) -> list[Point]:
    """Return the systems of a pool that have an average accuracy and a cost above zero."""
    found = []
    for line in comparison.lines(pool):
        outcome, cost = comparison.average_over_tasks(line), comparison.cost_over_tasks(line)
        if line.name != MEAN_SINGLE and outcome.estimate is not None and cost is not None and cost.flops > 0:
            found.append(Point(line, cost.flops / GIGA, outcome.estimate.interval()))
    return found


def frontier(candidates: Sequence[Point]) -> list[Point]:
    """Return the points that nothing cheaper or equally dear beats, by cost; the oracle is no choice one has."""
    best: list[Point] = []
    choices = [point for point in candidates if point.line.level != ORACLE]
    for point in sorted(choices, key=lambda each: (each.gflops, -each.accuracy.mean, each.line.name)):
        if not best or point.accuracy.mean > best[-1].accuracy.mean:
            best.append(point)
    return best


def moco_cost_frontier(spec: Spec, results: Path) -> Drawing:
    """Draw accuracy against attributed cost, a panel per pool."""
    comparison = Comparison(spec, results)
    panels = {pool: points(comparison, pool) for pool in spec["pools"]}
    panels = {pool: found for pool, found in panels.items() if found} or {"": []}
    figure, crowded = _draw(spec, panels, 1.0)
    for stretch in _STRETCHES:
        if not crowded:
            break
        higher, fewer = _draw(spec, panels, stretch)
        if fewer < crowded:
            figure, crowded = higher, fewer
    notes = (
        "Accuracy: average over tasks as in table moco_main, with its interval as a vertical line. The line is the"
        " Pareto frontier: no system is both cheaper and better than one on it. The best single model is chosen on the test items themselves,"
        " which nobody can do beforehand, and so it is not on the frontier; its cost is that of the models chosen.",
        "Cost: answering one test item, as the mean over the same tasks; what a fit or training costs is not part of it"
        " (see table moco_main). " + ATTRIBUTED,
        *study_notes(spec),
    )
    return Drawing(figure, f"Study {spec['study']}: accuracy against attributed cost", notes)


def _draw(spec: Spec, panels: Mapping[str, Sequence[Point]], stretch: float) -> "tuple[Figure, int]":
    """Return the figure, and the number of names for which there was no room; `stretch` makes panels higher."""
    from matplotlib.figure import Figure

    heights = [(2.3 + 0.055 * len(found)) * stretch for found in panels.values()]
    figure = Figure(figsize=(style.TWO_COLUMN, 0.45 + sum(heights)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for one, (pool, found) in zip(axes, panels.items(), strict=True):
        _panel(one, pool, found)
    axes[-1].set_xlabel("attributed inference cost, GFLOPs per test item")
    handles = _handles(list(panels.values()))
    if handles:
        words: dict[str, Any] = {"frameon": False, "handlelength": 1.6, "handletextpad": 0.4, "columnspacing": 1.1}
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), **words)
    finish_layout(figure, spec)
    crowded = [_name_points(one, found) for one, found in zip(axes, panels.values(), strict=True)]
    return figure, sum(crowded)


def _name_points(axes: "Axes", found: Sequence[Point]) -> int:
    labels = [Label(each.gflops, 100 * each.accuracy.mean, _name(each), _size(each) ** 0.5 / 2) for each in found]
    lines = [line for line in (_frontier_line(axes, found), _samples_line(found)) if len(line) > 1]
    intervals = [
        np.array([(each.gflops, 100 * each.accuracy.low), (each.gflops, 100 * each.accuracy.high)]) for each in found
    ]
    return place_labels(axes, labels, lines, intervals)


def _name(point: Point) -> str:
    level, name = point.line.level, point.line.name
    return short_name(name.removeprefix(f"{level}_"))


def _marker(point: Point) -> str:
    level = point.line.level
    return style.LEVEL_MARKERS.get(level) or style.SINGLE_MARKERS.get(level, "o")


def _size(point: Point) -> float:
    """Return the area of a point's marker in square points; hollow ones are drawn around others."""
    return _SIZES[_marker(point)] * (1.0 if point.line.level in style.LEVEL_COLOURS else 1.5)


def _panel(axes: "Axes", pool: str, found: Sequence[Point]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    plain_axes(axes)
    axes.set_ylabel("accuracy, %")
    axes.set_title(f"pool {short_name(pool)}" if pool else "", loc="left", fontsize=7.0)
    if not found:
        axes.text(0.02, 0.5, "no system has an average accuracy and a cost", transform=axes.transAxes, va="center")
        axes.set(xticks=[], yticks=[])
        return
    costs = [each.gflops for each in found]
    axes.set_xscale("log")
    # Room for names at both sides.
    room = max((max(costs) / min(costs)) ** 0.12, 1.25)
    axes.set_xlim(min(costs) / room, max(costs) * room)
    low, high = 100 * min(each.accuracy.low for each in found), 100 * max(each.accuracy.high for each in found)
    space = max(0.05 * (high - low), 1.5)
    axes.set_ylim(low - space, high + space)
    close = max(costs) / min(costs) < 300
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if close else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.plot(*_frontier_line(axes, found).T, **_FRONTIER)
    if len(samples := _samples_line(found)) > 1:
        axes.plot(*samples.T, **_SAMPLES)
    for each in sorted(found, key=lambda point: level_place(point.line.level)):
        level = each.line.level
        colour = style.LEVEL_COLOURS.get(level, style.OTHER_COLOUR)
        hollow = level not in style.LEVEL_COLOURS
        interval = [100 * each.accuracy.low, 100 * each.accuracy.high]
        axes.plot([each.gflops] * 2, interval, color=colour, linewidth=0.7, alpha=0.28, zorder=1.5)
        axes.scatter(
            each.gflops,
            100 * each.accuracy.mean,
            s=_size(each),
            marker=_marker(each),
            facecolor="none" if hollow else colour,
            edgecolor=colour if hollow else style.INK,
            linewidth=0.7 if hollow else 0.4,
            zorder=3.5 if hollow else 3,
        )


def _frontier_line(axes: "Axes", found: Sequence[Point]) -> Array:
    """Return the corners of the Pareto frontier, which goes on to the right end."""
    corners: list[tuple[float, float]] = []
    for each in frontier(found):
        mean = 100 * each.accuracy.mean
        corners += [(each.gflops, corners[-1][1])] if corners else []
        corners.append((each.gflops, mean))
    return np.array([*corners, (axes.get_xlim()[1], corners[-1][1])] if corners else []).reshape(-1, 2)


def _samples_line(found: Sequence[Point]) -> Array:
    """Return the points of self-consistency, from few samples to many."""
    return np.array([(each.gflops, 100 * each.accuracy.mean) for each in _self_consistency(found)]).reshape(-1, 2)


def _self_consistency(found: Sequence[Point]) -> list[Point]:
    """Return the variants of self-consistency, from few samples to many."""
    return sorted((each for each in found if each.line.method == SELF_CONSISTENCY), key=lambda each: each.gflops)


def _handles(panels: Sequence[Sequence[Point]]) -> "list[Artist]":
    from matplotlib.lines import Line2D

    levels = {each.line.level for found in panels for each in found}
    handles: list[Artist] = []
    for level in (*LEVELS, *style.SINGLE_MARKERS):
        if level in levels:
            face = style.LEVEL_COLOURS.get(level, "none")
            edge = style.INK if level in style.LEVEL_COLOURS else style.OTHER_COLOUR
            label = {"single": "single model", ORACLE: "best single (test)"}.get(level, level)
            marker = style.LEVEL_MARKERS.get(level) or style.SINGLE_MARKERS[level]
            handles.append(
                Line2D([], [], linestyle="", marker=marker, markersize=4.5, mfc=face, mec=edge, mew=0.5, label=label)
            )
    if handles:
        handles.append(Line2D([], [], label="Pareto frontier", **_FRONTIER))
    if any(len(_self_consistency(found)) > 1 for found in panels):
        handles.append(Line2D([], [], label="self-consistency", **_SAMPLES))
    return handles
