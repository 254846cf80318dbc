"""Write cached logits: of options, of reference answers, or of plain responses."""

import argparse
from typing import Any

from moco.cli.jobs import add_job_options, job_slice
from moco.errors import RequestError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--kind", choices=["options", "reference", "response"], required=True, help="kind of logits")
    add_job_options(parser, "model", "batch", "split")
    parser.add_argument("--seed", type=int, help="run seed, for responses")
    parser.add_argument("--block", help="block of samples, for responses, as s0 or s1-4")


def stage(options: argparse.Namespace) -> str:
    """Return the plan's name of the rule."""
    return "response_logits" if options.kind == "response" else "logits"


def _job(options: argparse.Namespace) -> Any:
    from moco.jobs.logits import LogitsJob
    from moco.progress import set_up_logging

    if options.kind == "response" and None in (options.seed, options.block):
        raise RequestError("logits of responses need --seed and --block", remedy="give both")
    set_up_logging()
    spec = job_slice(options, stage(options))
    where = (options.batch, options.split, options.seed, options.block)
    return LogitsJob(options.results, spec, options.kind, options.model, *where)


def run(options: argparse.Namespace) -> None:
    """Compute what the store does not have."""
    _job(options).run()


def record_failure(options: argparse.Namespace, reason: str) -> None:
    """Write files in which every item failed."""
    _job(options).write_failed(reason)
