"""The tables, each computed from files with scores per item and costs per model."""

from collections.abc import Callable
from dataclasses import replace
from math import isnan
from pathlib import Path

from moco import paths
from moco.analysis.comparison import BEST_SINGLE, MEAN_SINGLE, NOT_SCORED, Comparison, Line, Outcome
from moco.analysis.cost_tables import GIGA, moco_cost, moco_jobs, moco_paid
from moco.analysis.evolution_tables import evo_baselines, evo_domains, evo_main, evo_variants
from moco.analysis.measures import MEASURES, moco_measures
from moco.analysis.notes import ATTRIBUTED, UNKNOWN_SIZE, listed, study_notes, whose
from moco.analysis.quality import data_quality
from moco.analysis.render import Cell, Quantity, Table, to_csv, to_latex, to_markdown
from moco.analysis.results import Spec
from moco.analysis.scorer_table import scorer_difference
from moco.analysis.truncation import moco_truncated
from moco.errors import RequestError
from moco.records.files import replace_file
from moco.registry import did_you_mean

_COST_COLUMNS = ("tokens/item", "GFLOPs/item", "loads", "fit GFLOPs")


def _cell(outcome: Outcome, *, percent: bool = True) -> Cell:
    return outcome.text if outcome.estimate is None else outcome.estimate.interval(percent=percent)


def _coverage_notes(comparison: Comparison) -> list[str]:
    partial = [
        f"{'/'.join(part for part in (each.pool, each.name, each.task) if part)} {each.coverage:.1%}"
        for each in comparison.summaries
        if comparison.spec["min_coverage"] <= each.coverage < 1 and each.coverage > 0
    ]
    least = comparison.spec["min_coverage"]
    notes = []
    if least < 1:
        notes.append(f"Coverage: a number needs {least:.1%} of the valid items answered.")
    if partial:
        notes.append(f"Numbers over answered items only, with their coverage: {listed(partial)}.")
    return notes


def _cost_cells(comparison: Comparison, line: Line) -> tuple[Cell, ...]:
    cost = comparison.cost_over_tasks(line)
    if cost is None:
        return ("-",) * len(_COST_COLUMNS)
    numbers = (cost.tokens, cost.flops / GIGA, cost.loads, cost.all_learning / GIGA)
    return tuple("-" if isnan(number) else Quantity(number) for number in numbers)


def _cost_notes(comparison: Comparison) -> list[str]:
    notes = [
        ATTRIBUTED,
        "Tokens, GFLOPs and loads are those of answering test items, as the mean over the tasks of the average; loads"
        " are per task. Fit GFLOPs were spent on dev and in training, in total over these tasks. Table moco_cost has"
        " them by model.",
    ]
    if comparison.costs["flops"].isna().any():
        notes.append(UNKNOWN_SIZE)
    varying = [
        pool
        for pool in comparison.spec["pools"]
        if len({comparison.best_model(pool, task) for task in comparison.tasks(pool)}) > 1
    ]
    if varying:
        notes.append(
            f"{BEST_SINGLE} is not the same model on every task ({listed(varying)}): its cost is the mean of the costs"
            " of the models chosen."
        )
    return notes


def moco_main(spec: Spec, results: Path) -> Table:
    """Return the main table: models and methods of every pool on every task, with averages."""
    comparison = Comparison(spec, results)
    compared = {task for pool in spec["pools"] for task in comparison.tasks(pool)}
    tasks = [task for task in spec["tasks"] if task in compared]
    averaged = [task for task in tasks if comparison.averaged(task)]
    domains = {spec["tasks"][task]["domain"] for task in averaged}
    averages: list[tuple[str, Callable[[Line], Outcome]]] = []
    if averaged:
        averages.append(("average over tasks", comparison.average_over_tasks))
    if len(domains) > 1:
        averages.append(("average over domains", comparison.average_over_domains))

    rows: list[tuple[Cell, ...]] = []
    for pool in spec["pools"]:
        for line in comparison.lines(pool):
            cells = [_cell(line.outcomes[task], percent=comparison.averaged(task)) for task in tasks]
            means = [_cell(outcome_of(line)) for _, outcome_of in averages]
            rows.append((pool, line.name, line.level, *cells, *means, *_cost_cells(comparison, line)))

    notes = [
        "A cell is the mean score in percent, its interval, and the number of items n.",
        *study_notes(spec),
        f"{BEST_SINGLE} is an oracle: for each task the model of the pool with the highest mean on the test items"
        " themselves, which nobody can know beforehand.",
        f"{MEAN_SINGLE} is the mean over the members of the pool"
        + (", copies counted." if any(len(set(pool)) < len(pool) for pool in spec["pools"].values()) else "."),
    ]
    if averaged:
        notes.append(
            "Averages are over the tasks of the pool's comparison and need a number on each of them; '-' stands where"
            " one is missing, because a mean over fewer tasks could not be compared."
        )
    if len(domains) > 1:
        notes.append("A domain counts once: the average over domains weighs the tasks within a domain equally.")
    others = [task for task in tasks if task not in averaged]
    if others:
        notes.append(f"Not in percent and in no average, because the scores are no accuracies: {', '.join(others)}.")
    if any(each.unscored for each in comparison.summaries):
        notes.append(f"'{NOT_SCORED}': the rule set gives replies to the task no score, which is no score of zero.")
    notes += _coverage_notes(comparison)
    notes += _cost_notes(comparison)
    columns = ("pool", "system", "level", *tasks, *(name for name, _ in averages), *_COST_COLUMNS)
    return Table(f"Study {spec['study']}: models and collaboration methods", columns, tuple(rows), tuple(notes))


TABLES: dict[str, Callable[[Spec, Path], Table]] = {
    "moco_main": moco_main,
    "moco_cost": moco_cost,
    "moco_paid_perf": moco_paid,
    "moco_jobs_perf": moco_jobs,
    "moco_truncated": moco_truncated,
    "moco_measures": moco_measures,
    "scorer_difference": scorer_difference,
    "data_quality": data_quality,
    "evo_main": evo_main,
    "evo_variants": evo_variants,
    "evo_baselines": evo_baselines,
    "evo_domains": evo_domains,
}
"""Tables by name; one whose name ends in `_perf` holds measurements, which differ from run to run."""


def tables_of(spec: Spec) -> list[str]:
    """Return the names of the tables that a study has.

    A comparison of rule sets needs a second one, further measures need a task of a type that has some, and tables of the
    loop need runs of it.
    """
    absent = set() if spec.get("also_score") else {"scorer_difference"}
    if not any(about["type"] in MEASURES for about in spec["tasks"].values()):
        absent.add("moco_measures")
    if "evolution" not in spec:
        absent |= {name for name in TABLES if name.startswith("evo_")}
    return [name for name in TABLES if name not in absent]


def make_table(name: str, spec: Spec, results: Path) -> Table:
    """Return the table called `name`.

    Raises:
        RequestError: There is no such table.
        WorkError: Score files are missing or damaged.
    """
    if name not in TABLES:
        raise RequestError(f"unknown table {name!r}", remedy=did_you_mean(name, TABLES))
    table = TABLES[name](spec, results)
    return replace(table, notes=(*table.notes, whose(spec)))


def write_table(name: str, spec: Spec, results: Path) -> None:
    """Write a table as CSV, Markdown and LaTeX; errors as in `make_table`."""
    table = make_table(name, spec, results)
    forms = {"csv": to_csv(table), "md": to_markdown(table), "tex": to_latex(table)}
    for suffix, text in forms.items():
        replace_file(results / paths.table(name, suffix), lambda path, text=text: path.write_text(text, "utf-8"))
