"""The tables of cost: what each method needs (attributed), and what was really spent (paid)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from moco.analysis.costs import load_costs
from moco.analysis.notes import ATTRIBUTED, UNKNOWN_SIZE
from moco.analysis.paid import load_paid
from moco.analysis.render import Cell, Quantity, Table
from moco.analysis.results import Spec
from moco.methods.base import LEVELS
from moco.methods.costs import FLOPS_PER_TOKEN, ROLES

GIGA = 1e9

_ORDERS = {
    "level": ("single", *LEVELS),
    "stage": tuple(FLOPS_PER_TOKEN),
    "role": ROLES,
    "part": ("plain responses", "fit", "made models' responses", "answer"),
}
_SUMMED = ["calls", "prompt_tokens", "completion_tokens", "flops", "loads"]


def _ordered(frame: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    """Return the rows sorted by columns, those with an order of their own in that order, the others by first appearance."""
    places = {
        name: [_ORDERS[name].index(value) if value in _ORDERS[name] else len(_ORDERS[name]) for value in frame[name]]
        if name in _ORDERS
        else pd.factorize(frame[name])[0]
        for name in columns
    }
    order = pd.DataFrame(places).sort_values(columns, kind="stable").index
    return [{str(name): value for name, value in row.items()} for row in frame.iloc[order].to_dict("records")]


def moco_cost(spec: Spec, results: Path) -> Table:
    """Return what every single model and method costs, by stage and model."""
    frame = load_costs(spec, results)
    # Names of candidates are digests, and a search may have hundreds.
    frame["model"] = frame["model"].where(frame["role"] != "candidate", "candidates of the search")
    # A fit that serves all tasks is listed in full with each of them.
    whole = frame["scope"] == "pool"
    frame = pd.concat(
        [frame[~whole], frame[whole].drop_duplicates(["pool", "name", "seed", "stage", "role", "model"])],
        ignore_index=True,
    )
    by = ["pool", "name", "level", "stage", "role", "model"]
    per_seed = frame.groupby([*by, "seed"], sort=False)[_SUMMED].sum(skipna=False)
    sums = per_seed.groupby(level=by, sort=False).mean(skipna=False)
    sums["tasks"] = frame.groupby(by, sort=False)["task"].nunique()
    rows: list[tuple[Cell, ...]] = []
    for row in _ordered(sums.reset_index(), ["pool", "level", "name", "stage", "role", "model"]):
        names = (row["pool"] or "-", *(row[name] for name in ("name", "level", "stage", "model", "tasks")))
        counts = (_number(row[name]) for name in ("calls", "prompt_tokens", "completion_tokens"))
        work: Cell = "-" if pd.isna(row["flops"]) else Quantity(row["flops"] / GIGA)
        rows.append((*names, *counts, work, _number(row["loads"])))
    columns = (
        *("pool", "system", "level", "stage", "model", "tasks"),
        *("calls", "prompt tokens", "completion tokens", "GFLOPs", "loads"),
    )
    seeds = "" if len(spec["seeds"]) == 1 else " and means over seeds"
    notes = (
        ATTRIBUTED,
        f"Numbers are totals over tasks{seeds}. Stage answer: the test items. Stage fit: dev, the responses whose scores"
        " a fit reads included; a fit that serves all tasks of a pool counts once. Single models have no pool.",
        "Loads: one for all shared responses of a model in a stage of a task, and one per round in which the method"
        " runs the model. Tasks that are worked on in one job share them.",
        *((UNKNOWN_SIZE,) if frame["flops"].isna().any() else ()),
    )
    return Table(f"Study {spec['study']}: attributed cost", columns, tuple(rows), notes)


def _number(value: Any) -> Cell:
    return int(value) if value == int(value) else Quantity(float(value))


def moco_paid(spec: Spec, results: Path) -> Table:
    """Return what was really spent on the results that lie in the folder."""
    frame = load_paid(spec, results)
    frame = frame.loc[(frame["replies"] > 0) | (frame["loads"] > 0)]
    rows: list[tuple[Cell, ...]] = []
    if len(frame):
        by = ["pool", "name", "level", "part"]
        sums = frame.groupby(by, sort=False)[["replies", "new", "tokens", "written", "seconds", "loads"]].sum()
        for row in _ordered(sums.reset_index(), ["pool", "level", "name", "part"]):
            rows.append(_paid_row((row["pool"] or "-", row["name"], row["level"], row["part"]), row))
        rows.append(_paid_row(("all", "total", "-", "-"), dict(zip(sums.columns, sums.sum(), strict=True))))
    columns = (
        *("pool", "system", "level", "part", "replies", "cached (%)", "new tokens", "loads made"),
        *("measured seconds", "measured tokens/s"),
    )
    notes = (
        "Paid: the work of the jobs that wrote the files of this folder. What was in the store cost nothing, so these"
        " numbers depend on what ran before, and the measured columns on the machine; `moco verify` leaves this table"
        " out. Tokens/s are written tokens. Jobs that ask no model for anything are not listed.",
        "Seconds are those of generating; loading a model and reading the store come on top. A request that a killed"
        " job had finished counts as cached.",
    )
    return Table(f"Study {spec['study']}: paid cost", columns, tuple(rows), notes)


def _paid_row(names: tuple[str, ...], sums: Mapping[str, Any]) -> tuple[Cell, ...]:
    replies, new, seconds = int(sums["replies"]), int(sums["new"]), float(sums["seconds"])
    cached: Cell = (replies - new) / replies if replies else "-"
    speed: Cell = Quantity(float(sums["written"]) / seconds) if seconds else "-"
    return (*names, replies, cached, int(sums["tokens"]), int(sums["loads"]), Quantity(seconds), speed)
