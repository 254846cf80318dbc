"""What the figures share: a figure with its words, short names, labels that keep out of each other's way."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moco.analysis import style
from moco.methods.base import LEVELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

SMALL = 6.0

_NAME = 34
# Aslant first: lines between points often leave them sideways.
_ANGLES = (40, 320, 140, 220, 0, 180, 90, 270, 20, 340, 160, 200, 65, 295, 115, 245)
_RADII = (5, 8, 12, 17, 23, 30, 38, 47, 57, 68, 80)
_LEADER = 9
_MARKER = 3.2


@dataclass(frozen=True)
class Drawing:
    """A figure with the words that belong to it."""

    figure: "Figure"
    title: str
    notes: tuple[str, ...] = ()


def short_name(name: str) -> str:
    """Return a name that leaves room for what it names; variants differ at their ends, so the middle goes."""
    return name if len(name) <= _NAME else f"{name[: _NAME // 2 - 1]}\N{HORIZONTAL ELLIPSIS}{name[-(_NAME // 2) :]}"


def level_place(level: str) -> int:
    """Return where a level stands among the others."""
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


@dataclass(frozen=True)
class Label:
    """A name for a point, in data coordinates."""

    x: float
    y: float
    text: str


def place_labels(axes: "Axes", labels: Sequence[Label]) -> None:
    """Write names beside their points, each at the nearest place where it covers no other name and no point.

    Every label tries places around its point, near ones first; one that ends up far away gets a line to its point.
    The figure's limits and size must be final.
    """
    from matplotlib.patheffects import withStroke

    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    unit = figure.dpi / 72
    spots = [tuple(axes.transData.transform((label.x, label.y))) for label in labels]
    taken = [_box(x, y, 2 * _MARKER * unit, 2 * _MARKER * unit) for x, y in spots]
    crowd = [sum(math.dist(one, other) < 40 * unit for other in spots) for one in spots]
    # Where it is crowded, the outer points find free places outwards, and leave those between to the inner ones.
    for index in sorted(range(len(labels)), key=lambda i: (crowd[i], -spots[i][1], spots[i][0], labels[i].text)):
        label, (x, y) = labels[index], spots[index]
        text = axes.text(0, 0, label.text, fontsize=SMALL, zorder=5)
        size = text.get_window_extent()
        text.remove()
        box, radius = _free_place(x, y, size.width + 1.5 * unit, size.height, unit, taken, axes.bbox)
        taken.append(box)
        line: dict[str, Any] = {"arrowstyle": "-", "color": style.INK, "linewidth": 0.35, "shrinkA": 0, "shrinkB": 2.2}
        axes.annotate(
            label.text,
            (label.x, label.y),
            xytext=(((box.x0 + box.x1) / 2 - x) / unit, ((box.y0 + box.y1) / 2 - y) / unit),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=SMALL,
            zorder=5,
            arrowprops=line if radius >= _LEADER else None,
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
        ).set_in_layout(False)


def _box(x: float, y: float, width: float, height: float) -> "Bbox":
    from matplotlib.transforms import Bbox

    return Bbox.from_extents(x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _free_place(
    x: float, y: float, width: float, height: float, unit: float, taken: Sequence["Bbox"], inside: "Bbox"
) -> "tuple[Bbox, float]":
    """Return the nearest free box and its distance from the point in points, or the one that covers least."""
    best, best_covered, best_radius = None, math.inf, 0.0
    for radius in _RADII:
        for angle in _ANGLES:
            across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            reach = radius * unit
            box = _box(
                x + across * reach + _side(across) * width / 2, y + up * reach + _side(up) * height / 2, width, height
            )
            covered = sum(_common_area(box, other) for other in taken)
            covered += 10 * (box.width * box.height - _common_area(box, inside))
            if covered < best_covered - 1e-6:
                best, best_covered, best_radius = box, covered, radius
            if covered < 1e-6:
                return box, radius
    assert best is not None
    return best, best_radius


def _side(direction: float) -> float:
    """Return how far a box moves aside, in halves of its size: whole ones unless it stands nearly straight."""
    return max(-1.0, min(1.0, 1.8 * direction))


def _common_area(one: "Bbox", other: "Bbox") -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return float(max(width, 0.0) * max(height, 0.0))
