"""Fit a method on the dev split of every task of a batch."""

import argparse
from typing import Any

from moco.cli.attempts import add_attempt_options
from moco.cli.options import add_results, add_spec


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_method_options(parser)


def add_method_options(parser: argparse.ArgumentParser) -> None:
    """Add what `fit` and `answer` share."""
    add_results(parser)
    parser.add_argument("--pool", required=True, help="pool of models")
    parser.add_argument("--method", required=True, help="method variant")
    parser.add_argument("--seed", type=int, required=True, help="run seed")
    add_spec(parser)
    add_attempt_options(parser)


def _job(options: argparse.Namespace) -> Any:
    from moco.methods.fitting import FitJob
    from moco.progress import set_up_logging

    set_up_logging()
    return FitJob(options.results, options.spec, options.pool, options.method, options.seed)


def run(options: argparse.Namespace) -> None:
    """Fit."""
    _job(options).run()


def record_failure(options: argparse.Namespace, reason: str) -> None:
    """Write fits that say why there is none."""
    _job(options).write_failed(reason)
