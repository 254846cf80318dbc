"""Say what a run of a study would do: jobs by kind, what is stored already, what would be made and why."""

import argparse
from pathlib import Path

from moco.cli.run import become_snakemake


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("study", nargs="?", type=Path, metavar="STUDY.yaml", help="the study (default: the demo)")
    parser.epilog = "Everything after -- goes to snakemake."


def run(options: argparse.Namespace) -> None:
    """Become Snakemake in a dry run, whose table is the answer."""
    become_snakemake(options.study, [*options.snakemake, "--dry-run"])
