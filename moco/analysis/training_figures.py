"""The figures of training: what fits, tuned models and students of the loop are trained by, step by step."""

from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pandas as pd

from moco import paths
from moco.analysis import style
from moco.analysis.drawing import SMALL, Drawing, finish_layout, panels, plain_axes, short_name
from moco.analysis.notes import study_notes
from moco.analysis.results import Spec
from moco.records import ALL_CURVES, read_frame

_HEIGHT, _LEGEND = 1.7, 6
_COLOURS = (*style.LEVEL_COLOURS.values(), style.OTHER_COLOUR)
_NOTE = (
    "A line is one training of one model: the loss by optimiser step, or where rewards are learnt from, the mean reward of"
    " the step's replies. Lines of one colour differ in seed, task or student. A model of a step count of 0 has no line."
)


def training_curves(spec: Spec, results: Path) -> Drawing:
    """Draw how the models of fits and tuned models were trained; a panel per method variant or tuned model."""

    def what(row: Any) -> tuple[str, str]:
        who = f"{row.name}, {row.pool}" if row.pool else row.name
        return who, row.model.rpartition("/")[2] if row.pool else ""

    return _curves(spec, results, paths.BENCHMARK, "training of methods and models", what)


def evo_training_curves(spec: Spec, results: Path) -> Drawing:
    """Draw how students were trained, a colour per round; a panel per entry, method and variant, and per baseline."""
    runs = {run["run"]: run for run in spec["evolution"]["runs"]}
    rounds = {each["pool"]: at for run in runs.values() for at, each in enumerate(run["rounds"])}

    def what(row: Any) -> tuple[str, str]:
        run = runs.get(row.name)
        if run is None:
            return f"{row.name}, {row.pool}", row.model.rpartition("/")[2]
        return f"{run['entry']}, {run['method']}, {run['variant']}", f"round {rounds[row.pool]}"

    return _curves(spec, results, paths.EVOLUTION, "training of students", what)


def _curves(spec: Spec, results: Path, part: str, title: str, what: Callable[[Any], tuple[str, str]]) -> Drawing:
    """Return a panel for every first and a colour for every second name of what a training is of."""
    frame = read_frame(results / paths.collected(part, "curves"), ALL_CURVES)
    shown: dict[str, dict[str, list[pd.DataFrame]]] = {}
    key = ["pool", "name", "seed", "model"]
    for _, rows in frame[frame["metric"].isin(("loss", "reward"))].groupby(key, dropna=False, sort=False):
        panel, line = what(next(rows.itertuples()))
        shown.setdefault(panel, {}).setdefault(line, []).append(rows)
    figure, every = panels(len(shown), _HEIGHT, 0.4)
    for axes, (panel, groups) in zip(every, shown.items(), strict=True):
        metrics = dict.fromkeys(_metric(rows) for trainings in groups.values() for rows in trainings)
        for (name, trainings), colour in zip(groups.items(), cycle(_COLOURS), strict=False):
            for number, rows in enumerate(trainings):
                of_metric = rows[rows["metric"] == _metric(rows)]
                label = short_name(name) if name and not number else "_"
                axes.plot(of_metric["step"], of_metric["value"], color=colour, linewidth=0.7, alpha=0.8, label=label)
        axes.set_title(short_name(panel), fontsize=SMALL, loc="left")
        axes.set_xlabel("step")
        axes.set_ylabel(" or ".join(metrics))
        plain_axes(axes)
        if 1 < len(groups) <= _LEGEND:
            axes.legend(frameon=False, fontsize=SMALL)
    if not shown:
        figure.text(0.02, 0.5, "no training has a step")
    finish_layout(figure, spec)
    return Drawing(figure, f"Study {spec['study']}: {title}", (_NOTE, *study_notes(spec)))


def _metric(rows: pd.DataFrame) -> str:
    """Return what a training goes by: the reward where it has one, else the loss."""
    return "reward" if (rows["metric"] == "reward").any() else "loss"
