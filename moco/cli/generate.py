"""Make plain responses: a model's replies to the unmodified prompts of one or more tasks."""

import argparse

from moco import paths
from moco.cli.attempts import add_attempt_options
from moco.cli.options import add_results, add_spec, parse_samples


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_results(parser)
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--model", help="a model of the study")
    who.add_argument("--fitted", nargs="+", help="names of models that a fit made; needs --pool and --method")
    parser.add_argument("--pool", help="pool of the fit")
    parser.add_argument("--method", help="method variant of the fit")
    parser.add_argument("--tasks", nargs="+", required=True, help="tasks")
    parser.add_argument("--splits", nargs="+", required=True, help="splits")
    parser.add_argument("--samples", type=parse_samples, required=True, help="sample indices, as 0 or 1-4")
    parser.add_argument("--seed", type=int, required=True, help="run seed")
    add_spec(parser)
    add_attempt_options(parser)


def _pairs(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Return model and task of every piece of the job."""
    if options.model:
        return [(options.model, task) for task in options.tasks]
    return [
        (paths.fitted_model(options.pool, task, options.method, options.seed, name), task)
        for task in options.tasks
        for name in options.fitted
    ]


def run(options: argparse.Namespace) -> None:
    """Generate what the store does not have."""
    from moco.engines.plain import generate_plain
    from moco.progress import set_up_logging

    set_up_logging()
    generate_plain(options.results, _pairs(options), options.splits, options.samples, options.seed, options.spec)


def record_failure(options: argparse.Namespace, reason: str) -> None:
    """Write files in which every reply failed."""
    from moco.engines.plain import write_failed

    write_failed(options.results, _pairs(options), options.splits, options.samples, options.seed, options.spec, reason)
