"""Gather what the students of a round learn from: one line per student and pair."""

import argparse

from moco import paths
from moco.cli.jobs import add_job_options, job_slice


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_options(parser, "run", "round", attempts=False)


def run(options: argparse.Namespace) -> None:
    """Write the mixture."""
    from moco.jobs.mix import write_mixture

    spec = job_slice(options, "mix")
    counts = write_mixture(options.results, spec, options.results / paths.mixture(options.run, options.round))
    print(f"{options.run}, round {options.round}: {', '.join(map(str, counts))} pairs for {len(counts)} students")
