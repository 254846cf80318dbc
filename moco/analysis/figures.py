"""The figures, each computed from files with scores per item and costs per model.

Matplotlib is imported where something is drawn, so that the names of the figures cost nothing.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moco import paths
from moco.analysis import style
from moco.analysis.comparison import Comparison, Wins
from moco.analysis.drawing import SMALL, Drawing, finish_layout, level_place, short_name
from moco.analysis.evolution_figures import evo_diversity, evo_new_solved, evo_rounds, evo_single_multi
from moco.analysis.frontier import moco_cost_frontier
from moco.analysis.notes import study_notes, whose
from moco.analysis.render import number_text
from moco.analysis.results import Spec
from moco.analysis.statistics import LEVEL
from moco.analysis.training_figures import evo_training_curves, training_curves
from moco.errors import RequestError
from moco.methods.base import LEVELS
from moco.records.files import replace_file
from moco.registry import did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Dates and versions would make files differ that show the same.
_METADATA: dict[str, dict[str, str | None]] = {"pdf": {"CreationDate": None}, "png": {"Software": None}}


def _signed(value: float) -> str:
    text = number_text(value)
    return text.replace("-", "\N{MINUS SIGN}") if float(text) <= 0 else f"+{text}"


def _bars(axes: "Axes", wins: list[Wins]) -> None:
    for place, each in enumerate(wins):
        colour = style.LEVEL_COLOURS.get(each.level, style.OTHER_COLOUR)
        share, ties = each.wins / each.settings, each.ties / each.settings
        axes.barh(
            place,
            share,
            height=0.72,
            facecolor=colour,
            edgecolor="white",
            hatch=style.LEVEL_HATCHES.get(each.level, ""),
            linewidth=0,
        )
        axes.barh(place, ties, left=share, height=0.72, facecolor="white", edgecolor=colour, linewidth=0.7)
        tied = f" (+{ties:.0%} tied)" if each.ties else ""
        # The background keeps a label readable that stands on the line at one half.
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        label = f"{share:.0%}{tied}"
        axes.text(share + ties + 0.02, place, label, va="center", ha="left", fontsize=SMALL, bbox=ground)
    # Labels of full bars stand to the right of 100 %.
    axes.set_xlim(0, 1.42)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
    axes.spines["bottom"].set_bounds(0, 1)
    axes.axvline(0.5, color=style.INK, linewidth=0.6, linestyle=(0, (4, 3)), zorder=2)
    axes.set_xlabel("settings won against the best single model", loc="left")


def _gains(axes: "Axes", wins: list[Wins]) -> None:
    axes.axvline(0, color=style.INK, linewidth=0.6, linestyle=(0, (4, 3)), zorder=1)
    beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": SMALL}
    for place, each in enumerate(wins):
        axes.text(1.72, place, str(each.settings), ha="right", **beside)
        if each.gain is None:
            continue
        gain = each.gain.interval()
        colour = style.LEVEL_COLOURS.get(each.level, style.OTHER_COLOUR)
        axes.plot([100 * gain.low, 100 * gain.high], [place, place], color=colour, linewidth=1.6, zorder=2)
        axes.plot(100 * gain.mean, place, "o", markersize=3.4, color=colour, markeredgecolor=style.INK, zorder=3)
        label = f"{_signed(gain.mean)} [{_signed(gain.low)}, {_signed(gain.high)}]"
        axes.text(1.03, place, label, ha="left", **beside)
    axes.margins(x=0.08)
    axes.set_xlabel("mean gain, percentage points")


def moco_win_rate(spec: Spec, results: Path) -> Drawing:
    """Draw how often, and by how much, each method beats the best single model of its pool."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    wins = Comparison(spec, results).wins()
    wins.sort(key=lambda each: (level_place(each.level), -each.wins / each.settings, -each.ties, each.name))
    rows = max(len(wins), 1)
    figure = Figure(figsize=(style.TWO_COLUMN, 0.95 + 0.19 * rows), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.0, 0.75])
    _bars(left, wins)
    _gains(right, wins)
    left.set_yticks(range(len(wins)), [short_name(each.name) for each in wins])
    left.set_ylim(rows - 0.4, -0.6)
    for axes in (left, right):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=style.GRID, linewidth=0.5)
        axes.set_axisbelow(True)
    if not wins:
        left.text(0.02, 0, "no method has a number to compare", va="center")
    above: dict[str, Any] = {"transform": right.transAxes, "va": "bottom", "fontsize": SMALL}
    right.text(1.03, 1.0, f"gain [{LEVEL:.0%} interval]", ha="left", **above)
    right.text(1.72, 1.0, "n", ha="right", **above)
    handles = [
        Patch(facecolor=style.LEVEL_COLOURS[level], hatch=style.LEVEL_HATCHES[level], edgecolor="white", label=level)
        for level in LEVELS
        if any(each.level == level for each in wins)
    ]
    handles.append(Patch(facecolor="white", edgecolor=style.INK, linewidth=0.7, label="tied"))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False, handlelength=1.8)
    finish_layout(figure, spec)
    notes = (
        "Filled: share of settings (pool and task) in which the method's mean is above that of the best single model"
        " of the pool, chosen on the test items themselves; outlined: equal means. n is the number of settings in which"
        " both have a number.",
        "Gain: mean paired difference over settings, leaving out tasks whose scores are no accuracies.",
        *study_notes(spec),
    )
    return Drawing(figure, f"Study {spec['study']}: methods against the best single model", notes)


FIGURES: dict[str, Callable[[Spec, Path], Drawing]] = {
    "moco_win_rate": moco_win_rate,
    "moco_cost_frontier": moco_cost_frontier,
    "training_curves": training_curves,
    "evo_rounds": evo_rounds,
    "evo_single_multi": evo_single_multi,
    "evo_new_solved": evo_new_solved,
    "evo_diversity": evo_diversity,
    "evo_training_curves": evo_training_curves,
}
"""Figures by name."""


def figures_of(spec: Spec) -> list[str]:
    """Return the names of the figures that a study has; those of the loop need runs of it, curves what is trained."""
    needed = {"training_curves": "trains", **{name: "evolution" for name in FIGURES if name.startswith("evo_")}}
    return [name for name in FIGURES if name not in needed or needed[name] in spec]


@dataclass(frozen=True)
class Rendered:
    """A figure as files."""

    title: str
    notes: tuple[str, ...]
    files: dict[str, bytes]


def make_figure(name: str, spec: Spec, results: Path, formats: Sequence[str] = ("pdf", "png")) -> Rendered:
    """Return the figure called `name` in the wanted formats, the same bytes for the same scores.

    Raises:
        RequestError: There is no such figure.
        WorkError: Score files are missing or damaged.
    """
    if name not in FIGURES:
        raise RequestError(f"unknown figure {name!r}", remedy=did_you_mean(name, FIGURES))
    from matplotlib import rc_context

    files = {}
    with rc_context(style.RC):
        drawing = FIGURES[name](spec, results)
        for suffix in formats:
            stream = io.BytesIO()
            about = {"Title": drawing.title, "Subject" if suffix == "pdf" else "Description": whose(spec)}
            drawing.figure.savefig(stream, format=suffix, metadata={**_METADATA[suffix], **about})
            files[suffix] = stream.getvalue()
    return Rendered(drawing.title, (*drawing.notes, whose(spec)), files)


def write_figure(name: str, spec: Spec, results: Path) -> None:
    """Write a figure as PDF and PNG; errors as in `make_figure`."""
    for suffix, content in make_figure(name, spec, results).files.items():
        target = results / paths.figure(name, suffix)
        replace_file(target, lambda path, content=content: path.write_bytes(content))
