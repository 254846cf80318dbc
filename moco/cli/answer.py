"""Answer the questions of one split with a method; references are never read."""

import argparse
from typing import Any

from moco.cli.fit import add_method_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_method_options(parser)
    parser.add_argument("--split", required=True, help="test or distill")


def _job(options: argparse.Namespace) -> Any:
    from moco.methods.answering import AnswerJob
    from moco.progress import set_up_logging

    set_up_logging()
    return AnswerJob(options.results, options.spec, options.pool, options.method, options.seed)


def run(options: argparse.Namespace) -> None:
    """Answer."""
    _job(options).run(options.split)


def record_failure(options: argparse.Namespace, reason: str) -> None:
    """Write answers that failed."""
    _job(options).write_failed(options.split, reason)
