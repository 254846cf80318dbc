"""Remove recorded failures and what was made from them, so that the next run tries again."""

import argparse

from moco.cli.options import add_results


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_results(parser)
    parser.add_argument("--failed", action="store_true", required=True, help="remove recorded failures")


def run(options: argparse.Namespace) -> None:
    """Remove the files."""
    from moco.records.failures import forget_failures

    removed = forget_failures(options.results)
    for path in removed:
        print(f"removed {path}")
    print(f"{len(removed)} recorded failures removed; run snakemake again" if removed else "no recorded failures")
