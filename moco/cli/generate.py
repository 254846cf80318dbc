"""Make plain responses: a model's replies to the unmodified prompts of a batch of tasks."""

import argparse
from typing import Any

from moco.cli.jobs import add_job_options, job_slice

STAGE = "generate"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_options(parser, "model", "batch", "split", "seed", "block")


def _job(options: argparse.Namespace) -> Any:
    from moco.jobs.generate import PlainJob
    from moco.progress import set_up_logging

    set_up_logging()
    spec = job_slice(options, STAGE)
    return PlainJob(options.results, spec, options.model, options.batch, options.split, options.seed, options.block)


def run(options: argparse.Namespace) -> None:
    """Generate what the store does not have."""
    _job(options).run()


def record_failure(options: argparse.Namespace, reason: str) -> None:
    """Write files in which every reply failed."""
    _job(options).write_failed(reason)
