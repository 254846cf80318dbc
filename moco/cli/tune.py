"""Tune a model on the right answers of tasks."""

import argparse
from typing import Any

from moco.cli.jobs import add_job_options, job_slice

STAGE = "tune"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_options(parser, "model")


def _job(options: argparse.Namespace) -> Any:
    from moco.jobs.tune import TuneJob
    from moco.progress import set_up_logging

    set_up_logging()
    return TuneJob(options.results, job_slice(options, STAGE), options.model)


def run(options: argparse.Namespace) -> None:
    """Tune."""
    _job(options).run()


def record_failure(options: argparse.Namespace, reason: str) -> None:
    """Leave a folder that says why there is no model."""
    _job(options).write_failed(reason)
