"""Fit a method on the dev split of every task of a batch."""

import argparse
from typing import Any

from moco.cli.jobs import add_job_options, job_slice, plan

STAGE = "fit"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_options(parser, "pool", "batch", "method", "seed")


def _job(options: argparse.Namespace) -> Any:
    from moco.jobs.fit import FitJob
    from moco.progress import set_up_logging

    set_up_logging()
    spec = job_slice(options, STAGE)
    needs = plan().matrix.needs(options.pool, options.method)
    return FitJob(options.results, spec, needs, options.pool, options.batch, options.method, options.seed)


def run(options: argparse.Namespace) -> None:
    """Fit."""
    _job(options).run()


def record_failure(options: argparse.Namespace, reason: str) -> None:
    """Write fits that say why there is none."""
    _job(options).write_failed(reason)
