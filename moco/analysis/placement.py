"""Where names of points go: each near its point, covering no other name, no point and no line.

All lengths are in points, 1/72 inch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# Aslant first: lines between points often leave them sideways.
_ANGLES = np.radians((40, 320, 140, 220, 0, 180, 90, 270, 20, 340, 160, 200, 65, 295, 115, 245))
_DISTANCES = (5, 6, 8, 10, 13, 17, 22, 28, 35, 43, 52, 62)
_GRID = 12.0
_LEADER = 10
_CLEAR, _GAP = 3.0, 1.5
_CROSSED_LEADER, _CROSSED_MARK, _CROSSED_FAINT = 40.0, 40.0, 5.0


@dataclass(frozen=True)
class Name:
    """A name that belongs to a point.

    Attributes:
        x: Of the point.
        y: Of the point.
        mark: Half the size of its marker.
        width: Of the name.
        height: Of the name.
    """

    x: float
    y: float
    mark: float
    width: float
    height: float


@dataclass(frozen=True)
class Place:
    """Where a name goes.

    Attributes:
        box: Left, bottom, right, top.
        leader: Where a line to the point begins, at the edge of the box; None where the name is unmistakable.
        free: It covers nothing.
    """

    box: tuple[float, float, float, float]
    leader: tuple[float, float] | None
    free: bool


def places(names: Sequence[Name], inside: Sequence[float], lines: Array, faint: Array) -> list[Place]:
    """Return a place for every name, found one after another, always the same for the same names.

    Args:
        names: What is placed.
        inside: Left, bottom, right and top of where names may be.
        lines: Segments that no name may cover, as rows of x, y, x, y.
        faint: Segments that names should rather not cover.
    """
    spots = np.array([(name.x, name.y) for name in names]).reshape(-1, 2)
    half = np.array([name.mark + _GAP for name in names]).reshape(-1, 1)
    marks = np.hstack([spots - half, spots + half])
    boxes, leaders = np.empty((0, 4)), np.empty((0, 4))
    found: dict[int, Place] = {}
    near = (np.linalg.norm(spots[:, None] - spots, axis=2) < 40).sum(axis=1)
    # Where it is crowded, outer points find room outwards and leave what is between to the inner ones.
    for index in sorted(range(len(names)), key=lambda i: (near[i], -names[i].y, names[i].x)):
        tried = np.vstack([_around(names[index]), _anywhere(names[index], inside)])
        starts = np.clip(spots[index], tried[:, :2], tried[:, 2:])
        apart = np.linalg.norm(starts - spots[index], axis=1)
        tails = np.hstack([starts, np.broadcast_to(spots[index], starts.shape)])
        others = np.delete(np.arange(len(names)), index)
        gaps = np.linalg.norm(np.clip(spots[others], tried[:, None, :2], tried[:, None, 2:]) - spots[others], axis=2)
        unclear = (gaps < apart[:, None] + _CLEAR).any(axis=1) | (apart >= _LEADER)
        covered = _common(tried, np.vstack([boxes, marks])).sum(axis=1)
        covered += 100 * _outside(tried, inside)
        covered += 50 * (_crosses(lines, tried).sum(axis=1) + _crosses(leaders, tried).sum(axis=1))
        covered += 50 * unclear * _crosses(tails, boxes).T.sum(axis=1)
        cost = apart + _CROSSED_FAINT * _crosses(faint, tried).sum(axis=1)
        cost += _CROSSED_MARK * unclear * _crosses(tails, marks[others]).T.sum(axis=1)
        cost += _CROSSED_LEADER * unclear * _meet(tails, leaders).sum(axis=1)
        best = int(np.lexsort((np.arange(len(tried)), cost, covered.round(6)))[0])
        left, bottom, right, top = map(float, tried[best])
        leader = (float(starts[best, 0]), float(starts[best, 1])) if unclear[best] else None
        found[index] = Place((left, bottom, right, top), leader, bool(covered[best] < 1e-6))
        boxes = np.vstack([boxes, tried[best]])
        if leader is not None:
            leaders = np.vstack([leaders, tails[best]])
    return [found[index] for index in range(len(names))]


def _around(name: Name) -> Array:
    """Return boxes around a point, near ones first."""
    directions = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
    size = np.array([name.width, name.height])
    # A box moves aside by half of its size unless it stands nearly straight above, below or beside.
    sides = np.clip(1.8 * directions, -1, 1) * size / 2
    centres = np.array([name.x, name.y]) + np.array(_DISTANCES)[:, None, None] * directions + sides
    centres = centres.reshape(-1, 2)
    return np.hstack([centres - size / 2, centres + size / 2])


def _anywhere(name: Name, inside: Sequence[float]) -> Array:
    """Return boxes all over the place, for names that find no room near their points."""
    left, bottom, right, top = inside
    across = np.arange(left, right - name.width, _GRID)
    up = np.arange(bottom, top - name.height, _GRID / 3)
    corners = np.stack(np.meshgrid(across, up, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.hstack([corners, corners + np.array([name.width, name.height])])


def _common(boxes: Array, others: Array) -> Array:
    """Return the area that every box shares with every other."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    area: Array = np.clip(high - low, 0, None).prod(axis=2)
    return area


def _outside(boxes: Array, inside: Sequence[float]) -> Array:
    """Return how far boxes reach out of where they may be."""
    bounds = np.array(inside)
    under, over = np.clip(bounds[:2] - boxes[:, :2], 0, None), np.clip(boxes[:, 2:] - bounds[2:], 0, None)
    out: Array = (under + over).sum(axis=1)
    return out


def _crosses(segments: Array, boxes: Array) -> Array:
    """Return for every box and segment whether they touch: no axis separates them."""
    middle, half = (segments[:, :2] + segments[:, 2:]) / 2, (segments[:, 2:] - segments[:, :2]) / 2
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    away = middle[None] - centre[:, None]
    reach = np.abs(half)
    along = (np.abs(away) <= size[:, None] + reach[None]).all(axis=2)
    turned = np.abs(half[None, :, 0] * away[..., 1] - half[None, :, 1] * away[..., 0])
    across: Array = turned <= size[:, None, 0] * reach[None, :, 1] + size[:, None, 1] * reach[None, :, 0]
    return along & across


def _meet(segments: Array, others: Array) -> Array:
    """Return for every segment and other segment whether they cross."""

    def side(ends: Array, points: Array) -> Array:
        along, to = ends[:, None, 2:] - ends[:, None, :2], points[None] - ends[:, None, :2]
        turn: Array = along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0]
        return turn

    apart = side(segments, others[:, :2]) * side(segments, others[:, 2:]) < 0
    crossing: Array = apart & (side(others, segments[:, :2]) * side(others, segments[:, 2:]) < 0).T
    return crossing
