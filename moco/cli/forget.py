"""Remove recorded failures, or files, with what was made from them, so that the next run makes them again.

Replies, fits and merges stay in the store: what is made again and is not a failure comes from there.
"""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help="files or folders of a study's results")
    parser.add_argument("--failed", action="store_true", help="remove recorded failures")
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("config/config.yaml"),
        metavar="STUDY.yaml",
        help="configuration of the study that the files are of (default: config/config.yaml)",
    )
    about = "the study's results folder (default: results/STUDY; with --failed, every folder below results)"
    parser.add_argument("--results", type=Path, metavar="DIR", help=about)


def run(options: argparse.Namespace) -> None:
    """Remove the files."""
    from moco.errors import RequestError

    if options.failed == bool(options.files):
        raise RequestError("says not what to forget", where="moco forget", remedy="give either files or --failed")
    removed = _failures(options.results) if options.failed else _files(options)
    for path in removed:
        print(f"removed {path}")
    if options.failed:
        print(f"{len(removed)} recorded failures removed; run snakemake again" if removed else "no recorded failures")
    else:
        print(f"{len(removed)} files removed, and tables, figures and report; run snakemake again")


def _failures(results: Path | None) -> list[Path]:
    from moco.records.failures import forget_failures

    studies = sorted(path for path in Path("results").glob("*") if path.is_dir()) if results is None else [results]
    return [path for study in studies for path in forget_failures(study)]


def _files(options: argparse.Namespace) -> list[Path]:
    from moco.config.load import load_study
    from moco.workflow.downstream import forget_files
    from moco.workflow.plan import Plan

    plan = Plan(load_study(options.config))
    results = options.results or Path("results") / plan.study.study
    return forget_files(plan, results, options.files)
