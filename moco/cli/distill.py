"""Train the students of a round, one folder each."""

import argparse
from typing import Any

from moco import paths
from moco.cli.jobs import add_job_options, job_slice

STAGE = "distill"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_options(parser, "run", "round")


def _job(options: argparse.Namespace) -> Any:
    from moco.jobs.distill import DistillJob
    from moco.progress import set_up_logging

    set_up_logging()
    mixture = options.results / paths.mixture(options.run, options.round)
    output = options.results / paths.students(options.run, options.round)
    return DistillJob(options.results, job_slice(options, STAGE), mixture, output)


def run(options: argparse.Namespace) -> None:
    """Train."""
    _job(options).run()


def record_failure(options: argparse.Namespace, reason: str) -> None:
    """Leave folders that say why there are no students."""
    _job(options).write_failed(reason)
