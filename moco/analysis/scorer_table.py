"""The table of scorers: the same answers under the study's rule set and under each further one."""

from pathlib import Path
from typing import Any

import pandas as pd

from moco.analysis.comparison import UNAVERAGED_TYPES, Comparison, Outcome
from moco.analysis.notes import study_notes
from moco.analysis.render import Cell, Table
from moco.analysis.results import Spec
from moco.analysis.statistics import estimate, paired_difference

_SAME = 1e-9


def scorer_difference(spec: Spec, results: Path) -> Table:
    """Return the means of every model and method under the study's rule set and under the further ones."""
    own = Comparison(spec, results)
    rows: list[tuple[Cell, ...]] = []
    for rules in spec.get("also_score", ()):
        other = Comparison({**spec, "scorer": rules}, results)
        for entry in spec["singles"]:
            model, task = entry["model"], entry["task"]
            names = ("-", model, "single", task, rules)
            key = ("single", "", model, task)
            rows.append(
                (*names, *_cells(spec, task, own.single(model, task), other.single(model, task), own, other, key))
            )
        for entry in spec["methods"]:
            where = (entry["pool"], entry["variant"], entry["task"])
            names = (entry["pool"], entry["variant"], entry["level"], entry["task"], rules)
            cells = _cells(
                spec, entry["task"], own.method(*where), other.method(*where), own, other, ("method", *where)
            )
            rows.append((*names, *cells))
    mine = spec["scorer"]
    columns = (
        *("pool", "system", "level", "task", "compared rules"),
        *(f"mean ({mine})", "mean (compared)", "difference", "items that differ"),
        *(f"parsed ({mine})", "parsed (compared)"),
        *(f"invalid ({mine})", "invalid (compared)"),
    )
    notes = (
        "Both means are of the same answers to the same items; only the rules that score them differ. Items that either"
        " rule set leaves out as broken are in neither mean.",
        f"Difference: the mean under the compared rules minus the mean under {mine}. Items that differ: share of items"
        " with another score. Parsed: share of answers out of which the rules read something. Invalid: answers to items that"
        " the rules give no score, since the item is broken or the original raises an error on it.",
        *study_notes(spec),
    )
    return Table(f"Study {spec['study']}: scores under other rules", columns, tuple(rows), notes)


def _cells(
    spec: Spec,
    task: str,
    mine: Outcome,
    theirs: Outcome,
    own: Comparison,
    other: Comparison,
    key: tuple[str, str, str, str],
) -> tuple[Cell, ...]:
    if mine.scores is None or theirs.scores is None or mine.estimate is None:
        return (mine.text or "-", theirs.text or "-", *("-",) * 4, _invalid(own, key), _invalid(other, key))
    both = pd.concat({"mine": mine.scores, "theirs": theirs.scores}, axis=1, join="inner")
    if both.empty:
        return (*("-",) * 6, _invalid(own, key), _invalid(other, key))
    percent = spec["tasks"][task]["type"] not in UNAVERAGED_TYPES
    about: dict[str, Any] = {"seeds": mine.estimate.seeds, "accuracy": percent}
    return (
        estimate(both["mine"], task, **about).interval(percent=percent),
        estimate(both["theirs"], task, **about).interval(percent=percent),
        paired_difference(both["theirs"], both["mine"], task, **about).interval(percent=percent),
        float(((both["theirs"] - both["mine"]).abs() > _SAME).mean()),
        _parse_rate(own, key),
        _parse_rate(other, key),
        _invalid(own, key),
        _invalid(other, key),
    )


def _invalid(comparison: Comparison, key: tuple[str, str, str, str]) -> Cell:
    return next((each.invalid for each in comparison.summaries if each.key() == key), "-")


def _parse_rate(comparison: Comparison, key: tuple[str, str, str, str]) -> float:
    summary = next(each for each in comparison.summaries if each.key() == key)
    scored = summary.rows - summary.invalid - summary.failed
    return (scored - summary.unparsed) / scored
