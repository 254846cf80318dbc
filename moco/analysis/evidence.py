"""The page of evidence: which methods beat the best single model of their pool, and by how much, on the zoo.

python -m moco.analysis.evidence config/evidence.yaml docs/evidence.md
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from moco.analysis.comparison import NOT_COMPARED, Comparison, Outcome
from moco.analysis.evolution import Evolution
from moco.analysis.evolution_tables import evo_baselines, evo_main, evo_variants
from moco.analysis.expectation import Expectation
from moco.analysis.expectations import (
    Point,
    above_best_single,
    above_random,
    cascade_curve,
    expectations,
)
from moco.analysis.loop_expectations import of_loop, strategies_that_gain
from moco.analysis.origin import commit, machine
from moco.analysis.render import Cell, Table, number_text, to_markdown
from moco.analysis.results import Spec
from moco.analysis.statistics import Interval
from moco.records.files import replace_file, versions

VERDICTS = {1: "above", 0: "not separable", -1: "below"}


@dataclass(frozen=True)
class About:
    """What a page says of itself.

    Attributes:
        title: Its heading.
        command: What makes it.
        words: What its numbers are and are not.
    """

    title: str
    command: str
    words: str


EVIDENCE = About(
    "Evidence",
    "make evidence",
    "Every sentence of this project of the form *X beats Y* is read from here. The models are tiny and trained by the"
    " workflow itself: the numbers say that the methods work as they should, not how much they help models of"
    " another size.",
)


@dataclass(frozen=True)
class Claim:
    """How a method variant compares with the best single model of its pool on one task.

    Attributes:
        variant: Name of the variant.
        method: Id of its method.
        level: Level of the method.
        mean: Its mean.
        gain: Mean paired difference with its interval.
    """

    variant: str
    method: str
    level: str
    mean: Interval
    gain: Interval

    @property
    def sign(self) -> int:
        """As `sign_of` its gain."""
        return sign_of(self.gain)


def sign_of(gain: Interval) -> int:
    """Return 1 where the whole interval is above zero, -1 where it is below, else 0."""
    return int(gain.low > 0) - int(gain.high < 0)


def claims(comparison: Comparison, pool: str, task: str) -> list[Claim]:
    """Return what can be said about every method that has a number, the largest gain first."""
    ids = {entry["variant"]: entry["method"] for entry in comparison.spec["methods"]}
    found = []
    for level, variant in comparison.variants(pool):
        gain, outcome = comparison.gain(pool, variant, task), comparison.method(pool, variant, task)
        if gain is not None and outcome.estimate is not None:
            found.append(Claim(variant, ids[variant], level, outcome.estimate.interval(), gain.interval()))
    return sorted(found, key=lambda claim: (-claim.gain.mean, claim.variant))


def methods_above(found: Sequence[Claim]) -> list[str]:
    """Return the ids of the methods, controls left out, of which a variant is above with its whole interval."""
    above = (claim.method for claim in found if claim.sign > 0 and claim.level != "control")
    return sorted(dict.fromkeys(above))


def page(spec: Spec, results: Path, shapes: str = "", about: About = EVIDENCE) -> str:
    """Return the page as Markdown.

    Args:
        spec: What was compared.
        results: The results folder.
        shapes: Text on the models, placed after the results.
        about: What it says of itself.
    """
    comparison = Comparison(spec, results)
    seeds, used = ", ".join(map(str, spec["seeds"])), versions()
    parts = [
        f"# {about.title}",
        f"Made by `{about.command}` on {datetime.now(UTC):%Y-%m-%d} at commit {commit()}, on {machine()}, Python"
        f" {used['python']}, torch {used.get('torch', '-')}.",
        about.words,
        f"Seeds: {seeds}. An item's score is its mean over seeds. Intervals are 95 % percentile bootstraps over items,"
        " or score intervals where scores have no variation (docs/architecture.md); gains are paired: the same items, resampled together. *Best single* is the best model on the test items"
        " themselves, which nobody can know beforehand. Settings of the methods were fixed before the test split was"
        " scored.",
    ]
    for pool in spec["pools"]:
        for task in comparison.tasks(pool):
            parts += _section(comparison, pool, task)
            parts += _expected(comparison, results, pool, task)
    if found := above_random(comparison):
        parts += ["## Text methods and random choice", _table_of(found)]
        best = above_best_single(comparison)
        count = sum(each.found.low > 0 for each in best)
        parts += [
            "## Text methods and the best single model",
            f"**{count} text methods are above the best single model somewhere with their whole interval.** For each, where"
            " it gains most:",
            _table_of(best),
        ]
    if spec.get("evolution"):
        parts += _loop(spec, results)
    return "\n\n".join([*parts, shapes] if shapes else parts) + "\n"


def _loop(spec: Spec, results: Path) -> list[str]:
    """Return what the loop came to: by round, beside its baselines and controls, and by what was expected."""
    rounds = Evolution(spec, results)
    found, better = list(of_loop(rounds)), strategies_that_gain(rounds)
    named = f": {', '.join(f'`{name}`' for name in better)}" if better else ""
    return [
        "## The single-multi evolution loop",
        f"**With {len(better)} strategies the single models gain over the rounds, with the whole interval above"
        f" zero{named}.** What an entry is stands in the study's file.",
        *(_plain(make(spec, results)) for make in (evo_main, evo_variants, evo_baselines)),
        _table_of(found),
    ]


def _plain(table: Table) -> str:
    return to_markdown(replace(table, notes=table.notes[:2])).strip()


def _section(comparison: Comparison, pool: str, task: str) -> list[str]:
    found = claims(comparison, pool, task)
    best, oracle = comparison.best_single(pool, task), comparison.oracle_router(pool, task)
    rows: list[tuple[Cell, ...]] = [
        (model, "single", _interval(comparison.single(model, task)), "", "") for model in comparison.models(pool)
    ]
    rows.append(("oracle router", "oracle", _interval(oracle), "", ""))
    rows += [(c.variant, c.level, c.mean, signed(c.gain), VERDICTS[c.sign]) for c in found]
    for level, variant in comparison.variants(pool):
        outcome = comparison.method(pool, variant, task)
        if outcome.estimate is None and outcome is not NOT_COMPARED:
            rows.append((variant, level, outcome.text, "", ""))
    above = methods_above(found)
    named = f": {', '.join(f'`{name}`' for name in above)}" if above else ""
    items = best.estimate.n if best.estimate else 0
    columns = ("system", "level", "mean (%)", "gain over best single, points", "verdict")
    title = f"{len(above)} methods are above the best single model with their whole interval"
    return [
        f"## Pool {pool}, task {task}",
        f"{items} test items. **{title}{named}.** (Controls do not count, variants of a method count once.)",
        _markdown(columns, rows),
    ]


def _expected(comparison: Comparison, results: Path, pool: str, task: str) -> list[str]:
    """Return what was expected beforehand with what was found, and the curve of a cascade where it was swept."""
    points, found = cascade_curve(comparison, pool, task), list(expectations(comparison, results, pool, task))
    parts = []
    if len(points) > 1:
        second = comparison.models(pool)[-1]
        reach, share = f"items that reach {second} (%)", f"of {second}'s score (%)"
        columns = ("cascade", reach, "mean (%)", share, "above random deferral, points")
        parts.append(_markdown(columns, [_point(point) for point in points]))
    if found:
        parts.append(_table_of(found))
    return parts


def _table_of(found: Sequence[Expectation]) -> str:
    rows: list[tuple[Cell, ...]] = [(each.what, each.found, each.limit, each.verdict) for each in found]
    return _markdown(("expected beforehand", "found (%)", "at least (%)", "verdict"), rows)


def _point(point: Point) -> tuple[Cell, ...]:
    return point.variant, point.calls, point.score, point.share, signed(point.gain)


def _markdown(columns: tuple[str, ...], rows: Sequence[tuple[Cell, ...]]) -> str:
    return to_markdown(Table("", columns, tuple(rows))).partition("\n\n")[2].strip()


def _interval(outcome: Outcome) -> Cell:
    return outcome.text if outcome.estimate is None else outcome.estimate.interval()


def signed(gain: Interval) -> str:
    """Return a gain in points with its interval."""
    mean, low, high = (number_text(value) for value in (gain.mean, gain.low, gain.high))
    return f"{'+' if gain.mean > 0 else ''}{mean} [{low}, {high}]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page of a finished study."""
    from moco.config.load import load_study
    from moco.workflow.plan import Plan

    parser = argparse.ArgumentParser(description="Write the page of evidence of a finished study.")
    parser.add_argument("study", type=Path, help="configuration file")
    parser.add_argument("page", type=Path, help="Markdown file to write")
    parser.add_argument("--results", type=Path, help="the study's results folder (default: results/STUDY)")
    parser.add_argument("--append", type=Path, nargs="*", default=[], help="Markdown files to append")
    options = parser.parse_args(arguments)
    study = load_study(options.study)
    spec = Plan(study).report.slice(None)
    shapes = "\n\n".join(path.read_text(encoding="utf-8").strip() for path in options.append)
    text = page(spec, options.results or Path("results") / study.study, shapes)
    replace_file(options.page, lambda temporary: temporary.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    main()
