"""Write cached logits: of options, of reference answers, or of plain responses."""

import argparse
from typing import Any

from moco.cli.attempts import add_attempt_options
from moco.cli.options import add_results, add_spec, parse_samples


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_results(parser)
    parser.add_argument("--kind", choices=["options", "reference", "response"], required=True, help="kind of logits")
    parser.add_argument("--model", required=True, help="a model of the study")
    parser.add_argument("--tasks", nargs="+", required=True, help="tasks")
    parser.add_argument("--splits", nargs="+", required=True, help="splits")
    parser.add_argument("--samples", type=parse_samples, default=[0], help="sample indices of responses, as 0 or 1-4")
    parser.add_argument("--seed", type=int, default=0, help="run seed of responses")
    add_spec(parser)
    add_attempt_options(parser)


def _job(options: argparse.Namespace) -> Any:
    from moco.engines.logits import LogitsJob
    from moco.progress import set_up_logging

    set_up_logging()
    return LogitsJob(
        options.results,
        options.kind,
        options.model,
        options.tasks,
        options.splits,
        options.samples,
        options.seed,
        options.spec,
    )


def run(options: argparse.Namespace) -> None:
    """Compute what the store does not have."""
    _job(options).run()


def record_failure(options: argparse.Namespace, reason: str) -> None:
    """Write files in which every item failed."""
    _job(options).write_failed(reason)
