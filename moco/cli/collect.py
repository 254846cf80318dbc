"""Gather all test scores, costs and measurements of a part of the study, each in one long file."""

import argparse

from moco.cli.jobs import add_job_options, job_slice


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_options(parser, attempts=False)
    parser.add_argument("--part", required=True, help="part of the study: benchmark")


def run(options: argparse.Namespace) -> None:
    """Write the files."""
    from moco.analysis.collect import collect

    collect(job_slice(options, "collect"), options.results, options.part)
