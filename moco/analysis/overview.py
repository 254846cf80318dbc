"""All pools and tasks at a glance: what every method gains over the best single model of its pool, and one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from moco.analysis.comparison import Comparison, by_level
from moco.analysis.evidence import signed
from moco.analysis.render import number_text
from moco.analysis.statistics import Estimate, Interval, average

_DENSE = 16
"""Columns from which cells have no room for numbers."""
_LEAST_SCALE = 0.05
_GAIN, _LOSS = "0, 90, 160", "196, 84, 0"


@dataclass(frozen=True)
class Square:
    """A cell of the map.

    Attributes:
        text: The gain in points, rounded; a dash where there is none.
        title: What the cell is of, and its gain with the interval, or why there is none.
        colour: Of its ground, in CSS.
        is_dark: Whether the ground asks for white letters.
        is_sure: Whether the whole interval is on one side of zero.
        is_first: Whether it is the first of its pool.
    """

    text: str
    title: str
    colour: str = ""
    is_dark: bool = False
    is_sure: bool = False
    is_first: bool = False


@dataclass(frozen=True)
class GainMap:
    """Gains by method, pool and task; tasks whose scores are no accuracies are left out.

    Attributes:
        groups: Each pool with its tasks: the columns after the first.
        rows: Level and name of each method, its mean gain over all settings, and its gain in each of them.
        is_dense: Whether cells have no room for numbers.
        scale: Gain of the strongest colour, in points.
        sentence: What came out over all settings.
    """

    groups: list[tuple[str, list[str]]]
    rows: list[tuple[str, str, Square, list[Square]]]
    is_dense: bool
    scale: str
    sentence: str


def gain_map(comparison: Comparison) -> GainMap | None:
    """Return the map of a study, or None where no method can be compared with a single model."""
    pools = comparison.spec["pools"]
    groups = [(pool, [task for task in comparison.tasks(pool) if comparison.averaged(task)]) for pool in pools]
    groups = [(pool, tasks) for pool, tasks in groups if tasks]
    settings = [(pool, task) for pool, tasks in groups for task in tasks]
    gains: dict[tuple[str, str, str], Estimate] = {}
    for pool, task in sorted(settings, key=lambda setting: setting[1]):  # results of one task share their resampling
        for _, variant in comparison.variants(pool):
            if (found := comparison.gain(pool, variant, task)) is not None:
                gains[pool, variant, task] = found
    if not gains:
        return None
    methods = dict.fromkeys((level, name) for pool in pools for level, name in comparison.variants(pool) if level)
    order = sorted(methods, key=by_level)
    of_method = {
        name: [gains[pool, name, task] for pool, task in settings if (pool, name, task) in gains] for _, name in order
    }
    scale = max(_LEAST_SCALE, *(abs(each.mean) for each in gains.values()))
    rows, firsts = [], {(pool, tasks[0]) for pool, tasks in groups}
    for level, name in order:
        squares = []
        for pool, task in settings:
            where = f"{name}, pool {pool}, task {task}"
            gain = gains.get((pool, name, task))
            reason = comparison.method(pool, name, task).text or "no best single model to compare with"
            square = Square("–", f"{where}: {reason}") if gain is None else _square(where, gain, scale)
            squares.append(replace(square, is_first=(pool, task) in firsts))
        if of_method[name]:
            mean = _square(f"{name}, mean of {len(of_method[name])} settings", average(of_method[name]), scale)
            rows.append((level, name, mean, squares))
    sentence = _sentence({name: of_method[name] for level, name, *_ in rows if level != "control"}, len(settings))
    return GainMap(groups, rows, len(settings) >= _DENSE, number_text(scale), sentence)


def _square(where: str, gain: Estimate, scale: float) -> Square:
    interval = gain.interval()
    strength = round(min(1.0, abs(gain.mean) / scale), 2)
    colour = f"rgba({_GAIN if gain.mean > 0 else _LOSS}, {strength})"
    points = round(100 * gain.mean)
    text = f"{points:+d}".replace("-", "\N{MINUS SIGN}") if points else "0"
    return Square(text, f"{where}: {signed(interval)}", colour, strength > 0.6, _sign(interval) != 0)


def _sign(gain: Interval) -> int:
    return int(gain.low > 0) - int(gain.high < 0)


def _sentence(gains: dict[str, Sequence[Estimate]], settings: int) -> str:
    """Return what the methods gain over all settings; only those with a number in most settings can be first."""
    if not gains:
        return "No method can be compared with the best single model of its pool."
    most = max(map(len, gains.values()))
    means = {name: average(found).interval() for name, found in gains.items() if len(found) == most}
    best = max(sorted(means), key=lambda name: means[name].mean)
    above = sum(_sign(each.interval()) > 0 for each in gains[best])
    ever = sum(any(_sign(each.interval()) > 0 for each in found) for found in gains.values())
    return (
        f"Over {'all' if most == settings else f'{most} of'} {settings} settings (a pool on a task), {best} does best against the best single model of"
        f" its pool: {signed(means[best])} points on average, with its whole interval above zero in {above} of them;"
        f" {ever} of {len(gains)} methods have their whole interval above zero in any setting."
    )
