"""The page of a real model: what tuning it and letting its experts collaborate came to, how fast it was, in what memory.

python -m moco.analysis.real config/real.yaml docs/real.md
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from moco import paths
from moco.analysis.comparison import Comparison
from moco.analysis.evidence import VERDICTS, About, claims, page, sign_of, signed
from moco.analysis.paid import load_jobs
from moco.analysis.quality import StudyData
from moco.analysis.render import Cell, Quantity, Table, number_text, quantity_text, to_markdown
from moco.analysis.results import Spec
from moco.analysis.statistics import paired_difference
from moco.records import read_json
from moco.records.files import replace_file

_WORDS = (
    "One small language model, experts that the study tunes of it on the split `train` of one task each, and a method"
    " of every level on the test items of all tasks. All sentences and numbers below are computed from the study's"
    " files. A model of this size knows little: the page shows that the whole way works on a real checkpoint, and what"
    " it costs, and is no finding about methods."
)


def tuned_models(models: Mapping[str, Any]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the base and the tasks of every model of a study that the study tunes."""
    return {name: (entry.base, entry.tasks) for name, entry in models.items() if entry.kind == "tuned"}


def in_short(comparison: Comparison, constant: Mapping[str, float | None]) -> str:
    """Return a line per pool and task: its best model, what a constant reply scores, who is above and below.

    Args:
        comparison: Outcomes of the study.
        constant: Share of test items of each task that one constant reply gets right, where there is one.
    """
    lines = []
    for pool in comparison.spec["pools"]:
        for task in comparison.tasks(pool):
            best, name = comparison.best_single(pool, task), comparison.best_model(pool, task)
            if best.estimate is None:
                lines.append(f"* {task}: the pool's models have no number ({best.text}).")
                continue
            found = claims(comparison, pool, task)
            sides = {
                word: ", ".join(f"`{claim.variant}`" for claim in found if claim.sign == sign) or "none"
                for sign, word in VERDICTS.items()
            }
            share = constant.get(task)
            floor = "" if share is None else f"; one constant reply would get {number_text(share)} %"
            lines.append(
                f"* {task}: `{name}` is the best single model with {number_text(best.estimate.mean)} %{floor}. With the"
                f" whole interval above it: {sides['above']}; below it: {sides['below']}; not separable:"
                f" {sides['not separable']}."
            )
    return "\n".join(["## In short", "", *lines])


def tuning(comparison: Comparison, tuned: Mapping[str, tuple[str, tuple[str, ...]]]) -> str:
    """Return a table of every tuned model beside its base, on what it learnt and on what it did not."""
    rows: list[tuple[Cell, ...]] = []
    for name, (base, learnt) in tuned.items():
        for task in comparison.spec["tasks"]:
            before, after = comparison.single(base, task), comparison.single(name, task)
            if before.estimate is None or after.estimate is None or before.scores is None or after.scores is None:
                continue
            seeds = min(before.estimate.seeds, after.estimate.seeds)
            accuracy = comparison.averaged(task)
            gain = paired_difference(after.scores, before.scores, task, seeds=seeds, accuracy=accuracy).interval()
            means = before.estimate.interval(), after.estimate.interval()
            rows.append((name, task, "yes" if task in learnt else "no", *means, signed(gain), VERDICTS[sign_of(gain)]))
    columns = ("model", "task", "learnt", "base, mean (%)", "mean (%)", "gain over its base, points", "verdict")
    return f"## What tuning did\n\n{_markdown(columns, rows)}"


def speed(results: Path, tuned: Sequence[str]) -> str:
    """Return tables of tokens per second by part of the work, and of time and memory by kind of job."""
    jobs = load_jobs(results)
    sums = ["items", "cached", "read_tokens", "made_tokens", "seconds"]
    rows = [
        _rate(str(part), *(float(of_part[name].sum()) for name in sums))
        for part, of_part in jobs.groupby("part", sort=False)
    ]
    for name in tuned:
        note = read_json(results / paths.tuned(name) / paths.TRAINING)
        seconds = float(_measured(results / "benchmarks" / "tune" / f"{name}.tsv")["s"])
        rows.append(_rate(f"tuning {name}", float(note["examples"]), 0.0, float(note["tokens"]), 0.0, seconds))
    columns = ("work", "items", "cached (%)", "tokens read", "tokens written", "seconds", "tokens/s")
    kinds: dict[str, list[Mapping[str, float]]] = {}
    for path in sorted((results / "benchmarks").rglob("*.tsv")):
        kind = path.relative_to(results / "benchmarks").parts[0].removesuffix(".tsv")
        kinds.setdefault(kind, []).append(_measured(path))
    memory: list[tuple[Cell, ...]] = [
        (
            kind,
            len(found),
            Quantity(sum(each["s"] for each in found)),
            Quantity(sum(each["cpu_time"] for each in found)),
            Quantity(max(each["max_rss"] for each in found) / 1024),
        )
        for kind, found in kinds.items()
    ]
    most = max(each["max_rss"] for found in kinds.values() for each in found) / 1024
    return "\n\n".join(
        [
            "## Speed and memory",
            "Tokens per second are tokens read and written, by one job on one core, beside another on the other core."
            " Cached: items that were in the store, whose tokens are not counted. Tuning reads an example as often as"
            " it learns it, and its seconds hold imports and loading too.",
            _markdown(columns, rows),
            f"The largest job held {quantity_text(most)} GiB. Peak memory is resident memory as Snakemake"
            " measured it every few seconds, pages that jobs share included.",
            _markdown(("jobs", "number", "seconds in all", "processor seconds", "peak memory, GiB"), memory),
        ]
    )


def _rate(work: str, items: float, cached: float, read: float, written: float, seconds: float) -> tuple[Cell, ...]:
    rate: Cell = Quantity((read + written) / seconds) if seconds and items > cached else "-"
    share: Cell = cached / items if items else "-"
    return (work, int(items), share, int(read), int(written), Quantity(seconds), rate)


def _measured(path: Path) -> Mapping[str, float]:
    """Return what Snakemake measured of a job; what it was too short for is 0."""
    frame = pd.read_csv(path, sep="\t", na_values=["-"])
    row = frame[["s", "max_rss", "cpu_time"]].fillna(0.0).iloc[-1]
    return {str(name): float(value) for name, value in row.items()}


def _markdown(columns: tuple[str, ...], rows: Sequence[tuple[Cell, ...]]) -> str:
    return to_markdown(Table("", columns, tuple(rows))).partition("\n\n")[2].strip()


def real_page(spec: Spec, results: Path, tuned: Mapping[str, tuple[str, tuple[str, ...]]], notes: str = "") -> str:
    """Return the page as Markdown.

    Args:
        spec: What was compared.
        results: The results folder.
        tuned: Base and tasks of every tuned model.
        notes: Text to append.
    """
    with_methods = {entry["pool"] for entry in spec["methods"]}
    spec = {**spec, "pools": {pool: members for pool, members in spec["pools"].items() if pool in with_methods}}
    comparison = Comparison(spec, results)
    data = StudyData(list(spec["tasks"]), results)
    constant = {task: splits["test"].same_gold for task, splits in data.splits.items() if "test" in splits}
    about = About("A real language model", "make real", f"{_WORDS}\n\n{in_short(comparison, constant)}")
    sections = [tuning(comparison, tuned), speed(results, list(tuned)), notes]
    return page(spec, results, "\n\n".join(filter(None, sections)), about)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page of a finished study."""
    from moco.config.load import load_study
    from moco.workflow.plan import Plan

    parser = argparse.ArgumentParser(description="Write the page of a finished study of a real model.")
    parser.add_argument("study", type=Path, help="configuration file")
    parser.add_argument("page", type=Path, help="Markdown file to write")
    parser.add_argument("--results", type=Path, help="the study's results folder (default: results/STUDY)")
    parser.add_argument("--append", type=Path, help="Markdown file to append")
    options = parser.parse_args(arguments)
    study = load_study(options.study)
    spec = Plan(study).report.slice(None)
    notes = options.append.read_text(encoding="utf-8").strip() if options.append else ""
    text = real_page(spec, options.results or Path("results") / study.study, tuned_models(study.models), notes)
    replace_file(options.page, lambda temporary: temporary.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    main()
