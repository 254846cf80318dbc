"""Score plain responses, or the answers of a method, item by item."""

import argparse

from moco import paths
from moco.cli.options import add_results, add_spec


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_results(parser)
    parser.add_argument("--tasks", nargs="+", required=True, help="tasks")
    parser.add_argument("--split", required=True, help="split")
    parser.add_argument("--seed", type=int, required=True, help="run seed")
    parser.add_argument("--model", help="score plain responses of this model; needs --decoding and --sample")
    parser.add_argument("--decoding", help="decoding preset of the plain responses")
    parser.add_argument("--sample", type=int, help="sample index of the plain responses")
    parser.add_argument("--pool", help="score answers of a method with this pool; needs --method")
    parser.add_argument("--method", help="method variant")
    add_spec(parser)


def run(options: argparse.Namespace) -> None:
    """Score every task of the batch."""
    from moco.errors import RequestError
    from moco.scoring.files import score_answers, score_plain

    for task in options.tasks:
        if options.model is not None:
            source = paths.generation(
                options.model, task, options.split, options.decoding, options.seed, options.sample
            )
            score_plain(options.results, task, options.split, source, options.spec)
        elif options.pool is not None:
            source = paths.answers(options.pool, task, options.method, options.seed, options.split)
            score_answers(options.results, task, options.split, source, options.spec)
        else:
            raise RequestError("nothing to score", remedy="give --model, or --pool and --method")
