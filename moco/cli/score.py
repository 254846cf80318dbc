"""Score plain responses, or the answers of a method, item by item."""

import argparse

from moco import paths
from moco.cli.attempts import add_attempt_options
from moco.cli.options import add_results, add_spec


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_results(parser)
    parser.add_argument("--tasks", nargs="+", required=True, help="tasks")
    parser.add_argument("--split", required=True, help="split")
    parser.add_argument("--seed", type=int, required=True, help="run seed")
    parser.add_argument("--model", help="score plain responses of this model; needs --decoding and --sample")
    parser.add_argument("--decoding", help="decoding preset of the plain responses")
    parser.add_argument(
        "--sample",
        type=int,
        help="sample index of the plain responses; with n replies per item, the n-th block of them",
    )
    parser.add_argument("--pool", help="score answers of a method with this pool; needs --method")
    parser.add_argument("--method", help="method variant")
    add_spec(parser)
    add_attempt_options(parser)


def is_recorded(options: argparse.Namespace) -> bool:
    """Return whether a failure may be recorded: where models judge. What rules score has no reason to fail."""
    return bool(options.spec.get("scoring"))


def _source(options: argparse.Namespace, task: str) -> str:
    """Return the file that is scored."""
    from moco.errors import RequestError

    if options.model is not None:
        return _plain(options, task, options.sample)
    if options.pool is None:
        raise RequestError("nothing to score", remedy="give --model, or --pool and --method")
    return paths.answers(options.pool, task, options.method, options.seed, options.split)


def _plain(options: argparse.Namespace, task: str, sample: int) -> str:
    return paths.generation(options.model, task, options.split, options.decoding, options.seed, sample)


def _together(options: argparse.Namespace, task: str) -> list[str]:
    """Return the files of one block of samples, where the replies to an item are scored together."""
    answers = options.spec.get("answers")
    if answers is None:
        return []
    return [_plain(options, task, options.sample * answers + place) for place in range(answers)]


def run(options: argparse.Namespace) -> None:
    """Score every task of the batch."""
    from moco.scoring.base import Tools
    from moco.scoring.files import score_answers, score_plain

    tools = Tools()
    if options.spec.get("scoring"):
        from moco.engines.judging import judging_tools
        from moco.progress import set_up_logging

        set_up_logging()
        tools = judging_tools(options.results, options.spec["scoring"])
    for task in options.tasks:
        source = _source(options, task)
        if options.model is not None:
            samples = _together(options, task)
            score_plain(options.results, task, options.split, source, options.spec, tools, samples=samples)
        else:
            score_answers(options.results, task, options.split, source, options.spec, tools)


def record_failure(options: argparse.Namespace, reason: str) -> None:
    """Write score files in which every item failed."""
    from moco.scoring.files import write_failed

    for task in options.tasks:
        write_failed(options.results, task, options.split, _source(options, task), options.spec, reason)
