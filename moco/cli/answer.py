"""Answer the questions of one split with a method; references are never read."""

import argparse
from typing import Any

from moco.cli.jobs import add_job_options, job_slice, plan

STAGE = "answer"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_options(parser, "pool", "batch", "method", "seed", "split")


def _job(options: argparse.Namespace) -> Any:
    from moco.jobs.answer import AnswerJob
    from moco.progress import set_up_logging

    set_up_logging()
    spec = job_slice(options, STAGE)
    needs = plan().matrix.needs(options.pool, options.method)
    return AnswerJob(options.results, spec, needs, options.pool, options.batch, options.method, options.seed)


def run(options: argparse.Namespace) -> None:
    """Answer."""
    _job(options).run(options.split)


def record_failure(options: argparse.Namespace, reason: str) -> None:
    """Write answers that failed."""
    _job(options).write_failed(options.split, reason)
