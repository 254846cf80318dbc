"""One self-contained HTML page with all tables and figures of a study."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from moco import paths
from moco.analysis.comparison import BEST_SINGLE, MEAN_SINGLE, Comparison
from moco.analysis.evidence import claims, signed
from moco.analysis.figures import figures_of, make_figure
from moco.analysis.notes import whose
from moco.analysis.overview import gain_map
from moco.analysis.quality import has_items
from moco.analysis.render import Cell, Quantity, Table, bounds_text, cell_text, number_text
from moco.analysis.results import Spec
from moco.analysis.statistics import Interval
from moco.analysis.stories import Stories
from moco.analysis.story_text import story_text
from moco.analysis.tables import make_table, tables_of
from moco.methods.base import LEVELS
from moco.methods.catalogue import method_class, method_ids
from moco.records.files import replace_file

CLASSES = {
    "exact": "the same bits come out again on the same hardware with the same versions",
    "scheduled": "a fixed order in a single process, greedy or seeded: results repeat unless the schedule changes",
    "sampled": "seeded, but results may vary with the way in which requests are batched, and with a server that answers",
}
"""What each class of repeatability promises."""

_LEVELS = {
    "api": "which model answers is decided question by question",
    "text": "what models wrote is compared, combined or passed on",
    "logit": "models choose every token together",
    "weight": "the weights of models are merged into one model",
    "control": "no collaboration, for comparison",
}

_NARROW = 5
"""Columns of intervals up to which a cell has room on one line."""
_EXAMPLES = 3
"""Items of a task that are shown."""
_LONG = 200_000
"""Characters of examples from which they are files of their own."""

_COSTS = ("moco_cost", "moco_paid_perf", "moco_jobs_perf")


@dataclass(frozen=True)
class _Shown:
    """A cell as HTML: its text in parts, the key by which its column is sorted, and whether it is the best of its pool."""

    text: str
    bounds: str
    n: str
    key: str
    kind: str
    best: bool = False


def _shown(cell: Cell, best: bool = False) -> _Shown:
    if isinstance(cell, Interval):
        mean = number_text(cell.mean, percent=cell.percent)
        return _Shown(mean, bounds_text(cell), f"n={cell.n}", repr(cell.mean), "number", best)
    if isinstance(cell, int | float | Quantity):
        key = cell.value if isinstance(cell, Quantity) else cell
        return _Shown(cell_text(cell), "", "", repr(key), "number")
    return _Shown(cell_text(cell), "", "", "", "text")


def _table(name: str, table: Table) -> dict[str, Any]:
    best = _best_cells(table) if name == "moco_main" else set()
    intervals = sum(any(isinstance(cell, Interval) for cell in table.column(i)) for i in range(len(table.columns)))
    return {
        "is_wide": intervals > _NARROW,
        "name": name,
        "title": table.title,
        "columns": [(column, table.is_numeric(index)) for index, column in enumerate(table.columns)],
        "rows": [
            [_shown(cell, (number, column) in best) for column, cell in enumerate(row)]
            for number, row in enumerate(table.rows)
        ],
        "notes": table.notes,
    }


def _best_cells(table: Table) -> set[tuple[int, int]]:
    """Return row and column of the highest means of each pool and column, over models and methods: no summaries."""
    system = table.columns.index("system")
    means: dict[tuple[Cell, int], list[tuple[float, int]]] = {}
    for number, row in enumerate(table.rows):
        for column, cell in enumerate(row):
            if isinstance(cell, Interval) and row[system] not in (BEST_SINGLE, MEAN_SINGLE):
                means.setdefault((row[0], column), []).append((cell.mean, number))
    return {(number, column) for (_, column), found in means.items() for mean, number in found if mean == max(found)[0]}


@dataclass(frozen=True)
class _Finding:
    """How the methods of a pool did on a task, beside its best single model; gains are in points.

    Attributes:
        pool: The pool.
        task: The task.
        best: The mean of the best single model.
        above: Names and gains of methods whose whole interval is above zero.
        below: The same, below zero.
        unclear: Names of all others.
    """

    pool: str
    task: str
    best: str
    above: list[str]
    below: list[str]
    unclear: list[str]


def _findings(comparison: Comparison) -> Iterator[_Finding]:
    for pool in comparison.spec["pools"]:
        for task in comparison.tasks(pool):
            found, best = claims(comparison, pool, task), comparison.best_single(pool, task).estimate
            if found and best is not None:
                named = {
                    sign: [f"{each.variant} {signed(each.gain)}" for each in found if each.sign == sign]
                    for sign in (1, -1)
                }
                unclear = [each.variant for each in found if not each.sign]
                yield _Finding(pool, task, number_text(best.interval().mean), named[1], named[-1], unclear)


def _summaries(spec: Spec) -> dict[str, str]:
    """Return the first sentence on the method of each variant, where this installation has it."""
    known = set(method_ids())
    used = {entry["variant"]: entry["method"] for entry in spec["methods"] if entry["method"] in known}
    return {variant: (method_class(id).__doc__ or "").partition("\n")[0] for variant, id in used.items()}


def _failures(comparison: Comparison) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for each in comparison.summaries:
        if each.failed or each.fallbacks or not each.coverage:
            shown = "yes" if each.coverage >= comparison.spec["min_coverage"] and each.coverage else "no"
            failed = "" if each.coverage and not each.failed else each.reason or "no valid items"
            counts = (each.failed, each.fallbacks, each.rows, each.coverage)
            rows.append((each.pool, each.name, each.task, *counts, shown, failed or "-", each.fallback or "-"))
    columns = (
        *("pool", "system", "task", "failed rows", "fallbacks", "rows", "coverage (%)", "number shown"),
        *("most frequent reason", "most frequent fallback"),
    )
    notes = (
        "A fallback is an answer for which a method left its regular path, for instance because no reply could be read."
        " It is scored like any other.",
    )
    return Table("Results with failed items or fallbacks", columns, tuple(rows), notes)


def _unreadable(comparison: Comparison) -> Table:
    rows = tuple(
        (each.pool, each.name, each.task, each.unparsed, each.invalid, each.rows)
        for each in comparison.summaries
        if each.unparsed or each.invalid
    )
    columns = ("pool", "system", "task", "unreadable replies", "invalid rows", "rows")
    notes = (
        "Replies in which no answer is found count as wrong. Invalid items are broken at the source and left out."
        " Results without either are not listed.",
    )
    return Table("Replies without a readable answer, and invalid items", columns, rows, notes)


def _not_applicable(spec: Spec) -> Table:
    rows = tuple((e["pool"], e["variant"], e["task"], e["reason"]) for e in spec["not_applicable"])
    return Table("Combinations that do not apply", ("pool", "method", "task", "reason"), rows)


def _flat(provenance: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in provenance.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _figure(name: str, spec: Spec, results: Path) -> dict[str, Any]:
    figure = make_figure(name, spec, results, ["png"])
    data = base64.b64encode(figure.files["png"]).decode()
    return {"name": name, "title": figure.title, "notes": figure.notes, "uri": Markup(f"data:image/png;base64,{data}")}


def _examples(spec: Spec, results: Path) -> dict[str, list[tuple[str, str]]]:
    """Return the stories of a few items by task, each with its uid: two on which methods disagree, where there are any.

    They are of the first seed. Where results come from a bundle without items there are none.
    """
    seed = spec["seeds"][0]
    parts = [path.parts for path in results.glob(paths.answers("*", "*", "*", seed, "test"))]
    made = {(pool, variant) for *_, pool, _, variant, _, _ in parts}
    asked = [(entry["pool"], entry["variant"]) for entry in spec["methods"]]
    pools = list(dict.fromkeys(pool for pool, variant in asked if (pool, variant) in made))
    methods = list(dict.fromkeys(variant for pool, variant in asked if (pool, variant) in made))
    stories = Stories(results, pools=pools, methods=methods, seed=seed, scorer=spec["scorer"])
    found = {}
    for task in spec["tasks"]:
        uids = [*stories.pick([task], _EXAMPLES - 1, disagree=True), *stories.pick([task], _EXAMPLES)]
        told = stories.tell(list(dict.fromkeys(uids))[:_EXAMPLES])
        found[task] = [(story["uid"], story_text(story)) for story in told]
    return {task: items for task, items in found.items() if items}


def _write_examples(folder: Path, examples: Mapping[str, list[tuple[str, str]]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.txt"):
        old.unlink()
    for task, items in examples.items():
        text = "\n".join(story for _, story in items)
        # Browsers tell the encoding of a local text file by its mark.
        replace_file(folder / f"{task}.txt", lambda path, text=text: path.write_text(text, encoding="utf-8-sig"))


def write_report(spec: Spec, results: Path, path: Path, provenance: Mapping[str, Any], configuration: str = "") -> None:
    """Write the report of a study, as one file that needs no network; long examples become files in `examples` beside it.

    Args:
        spec: What was compared.
        results: The results folder.
        path: Destination.
        provenance: What the reader needs to repeat the study: versions, revisions, commands. Nested mappings are
            shown with dotted names.
        configuration: The study's configuration, as YAML.

    Raises:
        WorkError: Score files are missing or damaged.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    comparison = Comparison(spec, results)
    # Items are missing where results come from a bundle without them.
    tables = [name for name in tables_of(spec) if name != "data_quality" or has_items(spec["tasks"], results)]
    variants = {(level, variant) for pool in spec["pools"] for level, variant in comparison.variants(pool)}
    levels = {level: sorted(name for where, name in variants if where == level) for level in LEVELS}
    examples = _examples(spec, results)
    are_beside = sum(len(text) for items in examples.values() for _, text in items) > _LONG
    _write_examples(path.parent / "examples", examples if are_beside else {})
    text = environment.get_template("report.html.jinja").render(
        spec=spec,
        repeatability=CLASSES.get(spec["class"], ""),
        levels={level: names for level, names in levels.items() if names},
        words=_LEVELS,
        summaries=_summaries(spec),
        gains=gain_map(comparison),
        findings=list(_findings(comparison)),
        examples=examples,
        are_beside=are_beside,
        configuration=configuration,
        tables=[_table(name, make_table(name, spec, results)) for name in tables if name not in _COSTS],
        costs=[_table(name, make_table(name, spec, results)) for name in tables if name in _COSTS],
        figures=[_figure(name, spec, results) for name in figures_of(spec)],
        failures=[
            _table(name, replace(table, notes=(*table.notes, whose(spec))))
            for name, table in (
                ("failures", _failures(comparison)),
                ("not-applicable", _not_applicable(spec)),
                ("unreadable", _unreadable(comparison)),
            )
        ],
        provenance=list(_flat(provenance)),
    )
    replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
