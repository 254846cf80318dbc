"""The tables of cost: what each method needs (attributed), and what was really spent (paid)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from moco.analysis.costs import load_costs
from moco.analysis.notes import ATTRIBUTED, UNKNOWN_SIZE
from moco.analysis.paid import load_jobs, load_paid
from moco.analysis.render import Cell, Quantity, Table
from moco.analysis.results import Spec
from moco.methods.base import LEVELS
from moco.records.costs import CANDIDATES, FLOPS_PER_TOKEN, ROLES

GIGA = 1e9

_ORDERS = {
    "level": ("single", *LEVELS),
    "stage": tuple(FLOPS_PER_TOKEN),
    "role": ROLES,
    "part": ("plain responses", "fit", "made models' responses", "logits", "answer", "scoring"),
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
    frame = load_costs(results)
    # Names of candidates are digests, and a search may have hundreds.
    frame["model"] = frame["model"].where(frame["role"] != "candidate", CANDIDATES)
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
    frame = load_paid(results)
    frame = frame.loc[(frame["replies"] > 0) | (frame["loads"] > 0)]
    rows: list[tuple[Cell, ...]] = []
    if len(frame):
        by = ["pool", "name", "level", "part"]
        sums = frame.groupby(by, sort=False)[["replies", "new", "tokens", "written", "seconds", "loads"]].sum()
        for row in _ordered(sums.reset_index(), ["pool", "level", "name", "part"]):
            rows.append(_paid_row((row["pool"] or "-", row["name"], row["level"], row["part"]), row))
        rows.append(_paid_row(("all", "total", "-", "-"), dict(zip(sums.columns, sums.sum(), strict=True))))
    columns = (
        *("pool", "system", "level", "part", "replies", "cached (%)", "tokens read and written", "loads made"),
        *("measured seconds of generating", "measured tokens written/s"),
    )
    notes = (
        "Paid: the work of the jobs that wrote the files of this folder. What was in the store cost nothing, so these"
        " numbers depend on what ran before, and the measured columns on the machine; `moco verify` leaves this table"
        " out. Jobs that ask no model for anything are not listed.",
        "Loading a model, which is putting it into memory, and reading the store take further seconds. A request that"
        " a killed job had finished counts as cached.",
    )
    return Table(f"Study {spec['study']}: paid cost", columns, tuple(rows), notes)


def moco_jobs(spec: Spec, results: Path) -> Table:
    """Return what every model did in every job behind the results that lie in the folder."""
    rows: list[tuple[Cell, ...]] = []
    for row in _ordered(load_jobs(results), ["pool", "level", "name", "part"]):
        new = row["items"] - row["cached"]
        seconds, tokens = row["seconds"], row["made_tokens"] or row["read_tokens"]
        seed = "-" if row["seed"] is None else str(row["seed"])
        where = (row["pool"] or "-", row["name"], row["part"], ", ".join(row["tasks"]), ", ".join(row["splits"]), seed)
        cached: Cell = row["cached"] / row["items"] if row["items"] else "-"
        speed: Cell = Quantity(tokens / seconds) if new and seconds else "-"
        counts = (int(row["items"]), cached, int(row["made_tokens"]), int(row["read_tokens"]))
        loads = (int(row["loads"]), Quantity(row["load_seconds"]))
        rows.append((*where, row["model"], *counts, Quantity(seconds), speed, *loads))
    columns = (
        *("pool", "system", "part", "tasks", "splits", "seed", "model"),
        *("items", "cached (%)", "tokens written", "tokens read"),
        *("measured seconds with the store", "measured tokens/s", "loads", "measured load seconds"),
    )
    notes = (
        "One row per job and model that worked in it, the models that judge replies included; a job works on all tasks"
        " of a batch. Jobs that ask no model for anything are not listed.",
        "Tokens written are those of replies, tokens read those of prompts and given texts, both for items that were"
        " not in the store. Seconds are those of generating and of reading the store, without loading. Tokens/s are"
        " tokens written per second, or tokens read where nothing was written. Replies that several models make token"
        " by token have one row that names all of them, and a row each for their loads.",
    )
    return Table(f"Study {spec['study']}: what the jobs did", columns, tuple(rows), notes)


def _paid_row(names: tuple[str, ...], sums: Mapping[str, Any]) -> tuple[Cell, ...]:
    replies, new, seconds = int(sums["replies"]), int(sums["new"]), float(sums["seconds"])
    cached: Cell = (replies - new) / replies if replies else "-"
    speed: Cell = Quantity(float(sums["written"]) / seconds) if seconds else "-"
    return (*names, replies, cached, int(sums["tokens"]), int(sums["loads"]), Quantity(seconds), speed)
