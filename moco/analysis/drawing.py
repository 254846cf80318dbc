"""What the figures share: a figure with its words, whose it is, a layout that holds, names of points."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from moco.analysis import style
from moco.analysis.notes import configuration
from moco.analysis.placement import Array, Name, places
from moco.analysis.results import Spec
from moco.methods.base import LEVELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALL = 6.0
BESIDE = 3
"""Panels in a row."""
LABEL = "label"
"""What names of points are called among the artists of a figure (`gid`)."""

_NAME = 34
_SETTLED = 1e-6
_SAME_POINT = 2.5
_WRAPPED = 44


@dataclass(frozen=True)
class Drawing:
    """A figure with the words that belong to it."""

    figure: "Figure"
    title: str
    notes: tuple[str, ...] = ()


def short_name(name: str) -> str:
    """Return a name that leaves room for what it names; variants differ at their ends, so the middle goes."""
    return name if len(name) <= _NAME else f"{name[: _NAME // 2 - 1]}\N{HORIZONTAL ELLIPSIS}{name[-(_NAME // 2) :]}"


def panels(count: int, height: float, above: float, *, sharey: bool = False) -> tuple["Figure", list["Axes"]]:
    """Return a figure over two columns of text, and its panels, row by row.

    Args:
        count: Number of panels.
        height: Of a row of panels, in inches.
        above: Room for what stands above them, in inches.
        sharey: All panels have one vertical axis.
    """
    from matplotlib.figure import Figure

    columns = min(BESIDE, max(count, 1))
    rows = -(-max(count, 1) // columns)
    figure = Figure(figsize=(style.TWO_COLUMN, above + height * rows), layout="constrained")
    every = figure.subplots(rows, columns, squeeze=False, sharey=sharey).ravel()
    for axes in every[count:]:
        axes.set_visible(False)
    return figure, list(every[:count])


def plain_axes(axes: "Axes") -> None:
    """Leave of a frame what is read, and draw a grid below all marks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=style.GRID, linewidth=0.5)
    axes.set_axisbelow(True)


def level_place(level: str) -> int:
    """Return where a level stands among the others."""
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def finish_layout(figure: "Figure", spec: Spec) -> None:
    """Write on a figure whose it is, and find its layout, which every drawing then has; sizes must be final.

    One pass is not enough: the room that words need depends on the size of the axes, which depends on that room.
    """
    text = f"study {short_name(spec['study'])}{configuration(spec)}"
    figure.supxlabel(text, x=0.995, ha="right", fontsize=5.0, color=style.SOFT)
    engine = figure.get_layout_engine()
    assert engine is not None
    before = np.array([])
    for _ in range(50):
        engine.execute(figure)
        now = np.array([axes.get_position(original=False).extents for axes in figure.axes])
        if now.shape == before.shape and np.abs(now - before).max() < _SETTLED:
            break
        before = now
    figure.set_layout_engine("none")


@dataclass(frozen=True)
class Label:
    """A name for a point, in data coordinates.

    Attributes:
        x: Of the point.
        y: Of the point.
        text: The name.
        mark: Half the size of its marker, in points.
    """

    x: float
    y: float
    text: str
    mark: float = 2.5


def place_labels(
    axes: "Axes", labels: Sequence[Label], lines: Sequence[Array] = (), faint: Sequence[Array] = ()
) -> int:
    """Write names beside their points, with a line to the point where one could be mistaken; see `placement`.

    Points that lie on one another share a name. The figure's limits and size must be final.

    Args:
        axes: Where the points are.
        labels: Their names.
        lines: Polylines in data coordinates that no name may cover, of shape (points, 2).
        faint: The same, which names should rather not cover.

    Returns:
        Number of names for which there was no room.
    """
    from matplotlib.patheffects import withStroke

    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # limits and a layout may be pending
    unit = figure.dpi / 72

    def measured(points: Array) -> Array:
        place: Array = axes.transData.transform(np.asarray(points, dtype=float)) / unit
        return place

    def segments(polylines: Sequence[Array]) -> Array:
        parts = [np.hstack([measured(each)[:-1], measured(each)[1:]]) for each in polylines]
        return np.vstack(parts) if parts else np.empty((0, 4))

    groups = _on_one_another(labels, measured(np.array([(each.x, each.y) for each in labels]).reshape(-1, 2)))
    names = []
    for label in groups:
        text = axes.text(0, 0, label.text, fontsize=SMALL, linespacing=1.05)
        size = text.get_window_extent()
        text.remove()
        x, y = measured(np.array([(label.x, label.y)]))[0]
        names.append(Name(x, y, label.mark, size.width / unit + 1.5, size.height / unit + 0.5))
    inside = [float(end) / unit for end in axes.bbox.extents]
    found = places(names, inside, segments(lines), segments(faint))
    for label, name, place in zip(groups, names, found, strict=True):
        left, bottom, right, top = place.box
        leader: dict[str, Any] | None = None
        if place.leader is not None:
            start = ((place.leader[0] - left) / (right - left), (place.leader[1] - bottom) / (top - bottom))
            leader = {"arrowstyle": "-", "color": style.INK, "linewidth": 0.4, "relpos": start}
            leader |= {"shrinkA": 0, "shrinkB": name.mark}
        axes.annotate(
            label.text,
            xy=(label.x, label.y),
            xytext=((left + right) / 2 - name.x, (bottom + top) / 2 - name.y),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=SMALL,
            linespacing=1.05,
            zorder=5,
            gid=LABEL,
            arrowprops=leader,
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
        )
    return sum(not place.free for place in found)


def _on_one_another(labels: Sequence[Label], spots: Array) -> list[Label]:
    """Return labels of which those share one that stand for points on one another."""
    groups: list[list[int]] = []
    for index in range(len(labels)):
        near = [group for group in groups if np.linalg.norm(spots[group] - spots[index], axis=1).min() < _SAME_POINT]
        if near:
            near[0].append(index)
        else:
            groups.append([index])
    return [_shared([labels[index] for index in group]) for group in groups]


def _shared(labels: Sequence[Label]) -> Label:
    first = labels[0]
    names = [label.text for label in labels]
    lines = names if len(names) <= 3 else _lines(names)
    return Label(first.x, first.y, "\n".join(lines), max(label.mark for label in labels))


def _lines(names: Sequence[str]) -> list[str]:
    """Return names as lines that break between names only."""
    held = ", ".join(name.replace(" ", "\N{NO-BREAK SPACE}") for name in names)
    return wrap(held, _WRAPPED, break_long_words=False, break_on_hyphens=False)
