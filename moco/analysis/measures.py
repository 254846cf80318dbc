"""The table of further measures: of tasks about which one score does not say all."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from moco import paths
from moco.analysis.notes import study_notes
from moco.analysis.render import Cell, Table
from moco.analysis.results import RESULT, Spec
from moco.analysis.statistics import estimate
from moco.records import ALL_SCORES, read_frame

_COLUMNS = ("pool", "system", "level", "task", "measure", "mean")
_READ = [*RESULT, "level", "seed", "scorer", "uid", "status", "score", "details_json"]

Items = pd.DataFrame
"""The items of a result: index uid, a column for each detail and `score`."""


def _share(part: str, whole: str) -> Callable[[Items], "pd.Series[float]"]:
    """Return a measure: the sum of one detail as a share of the sum of another.

    Its values by item have that share as their mean, and the spread that the share has when items are drawn anew.
    """

    def values(items: Items) -> "pd.Series[float]":
        both = items[[part, whole]].dropna()
        share = both[part].sum() / both[whole].sum()
        found: pd.Series[float] = share + (both[part] - share * both[whole]) / both[whole].mean()
        return found

    return values


def _mean(detail: str) -> Callable[[Items], "pd.Series[float]"]:
    """Return a measure: the mean of a detail over the items that have it."""
    return lambda items: items[detail].dropna()


MEASURES: dict[str, dict[str, tuple[str, Callable[[Items], "pd.Series[float]"]]]] = {
    "ifeval": {
        "prompt level": ("loose", _mean("score")),
        "instruction level": ("loose", _share("followed", "instructions")),
        "prompt level, loose": ("loose", _mean("loose")),
        "instruction level, loose": ("loose", _share("followed_loose", "instructions")),
        "share of instructions": ("followed", _mean("score")),
    },
    "smdd": {
        "pharmacophore": ("pharmacophore", _mean("pharmacophore")),
        "lead optimisation, constraints only": ("lead_opt_constraints", _mean("lead_opt_constraints")),
    },
}
"""By task type: the name of a measure, a detail without which there is none, and its values."""

PARTED = frozenset({"smdd"})
"""Task types whose items have scores of several kinds, which no mean mixes."""


def moco_measures(spec: Spec, results: Path) -> Table:
    """Return the measures of every model and method on tasks of the types in `MEASURES`."""
    frame = read_frame(results / paths.collected(paths.BENCHMARK, "scores"), ALL_SCORES, _READ)
    types = {task: about["type"] for task, about in spec["tasks"].items() if about["type"] in MEASURES}
    frame = frame.loc[(frame["scorer"] == spec["scorer"]) & frame["task"].isin(types) & frame["score"].notna()]
    rows: list[tuple[Cell, ...]] = []
    for (_, pool, name, task), found in frame.groupby(RESULT, sort=False, observed=True):
        items = _items(found)
        known = MEASURES[types[task]]
        given = {measure: values for measure, (needs, values) in known.items() if needs in items}
        if types[task] == "ifeval" and "prompt level" in given:
            del given["share of instructions"]
        where = (pool or "-", name, found["level"].iloc[0], task)
        for measure, values in given.items():
            of_items = values(items)
            if len(of_items):
                mean = estimate(of_items, task, seeds=found["seed"].nunique(), accuracy=True)
                rows.append((*where, measure, mean.interval(percent=True)))
    notes = (
        "Mean over the test items that the measure is about, in percent, with its interval and their number n.",
        "Instruction level: instructions that are followed, as a share of all; prompt level: items of which all are"
        " followed. Loose: also without the first or last line of a reply, or without asterisks.",
        "Lead optimisation, constraints only: molecules that keep to the constraints; whether their properties improve"
        " is not computed.",
        *study_notes(spec),
    )
    return Table(f"Study {spec['study']}: measures within tasks", _COLUMNS, tuple(rows), notes)


def _items(rows: pd.DataFrame) -> Items:
    """Return the items of one result: their details and scores, as means over answers within a seed, and then seeds."""
    details = pd.DataFrame([json.loads(each) if each else {} for each in rows["details_json"]], index=rows.index)
    numbers = details.select_dtypes("number").assign(score=rows["score"], uid=rows["uid"], seed=rows["seed"])
    return numbers.groupby(["uid", "seed"]).mean().groupby(level="uid").mean()
