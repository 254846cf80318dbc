"""Score plain responses, or the answers of a method, item by item; or recompute recorded cases (--cases)."""

import argparse
from pathlib import Path

from moco import paths
from moco.cli.options import add_results, parse_spec

_JOB = ("tasks", "split", "seed", "spec")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_results(parser)
    parser.add_argument("--tasks", nargs="+", help="tasks")
    parser.add_argument("--split", help="split")
    parser.add_argument("--seed", type=int, help="run seed")
    parser.add_argument("--model", help="score plain responses of this model; needs --decoding and --sample")
    parser.add_argument("--decoding", help="decoding preset of the plain responses")
    parser.add_argument("--sample", type=int, help="sample index of the plain responses")
    parser.add_argument("--pool", help="score answers of a method with this pool; needs --method")
    parser.add_argument("--method", help="method variant")
    parser.add_argument("--spec", type=parse_spec, help="slice of the configuration, as JSON")
    parser.add_argument("--cases", type=Path, help="recompute the cases of this file instead; may run code in it")
    parser.add_argument("--scorer", choices=["paper"], default="paper", help="rule set that the cases record")
    parser.add_argument("--json", action="store_true", help="print the result of --cases as one JSON object")


def run(options: argparse.Namespace) -> int:
    """Score every task of the batch, or compare recorded cases and return 1 when scores differ."""
    if options.cases is not None:
        return _compare(options.cases, as_json=options.json)
    _score(options)
    return 0


def _score(options: argparse.Namespace) -> None:
    from moco.errors import RequestError
    from moco.scoring.files import score_answers, score_plain

    missing = [f"--{name}" for name in _JOB if getattr(options, name) is None]
    if missing:
        raise RequestError(f"missing {', '.join(missing)}", remedy="give them, or --cases FILE")
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


def _compare(path: Path, *, as_json: bool) -> int:
    import json
    from dataclasses import asdict

    from moco.machine import usable_cores
    from moco.scoring.base import Tools
    from moco.scoring.cases import disagreements, read_cases

    cases = read_cases(path)
    differing = disagreements(cases, Tools(workers=usable_cores()))
    agree = len(cases) - len(differing)
    if as_json:
        found = {"cases": len(cases), "agree": agree, "disagreements": [asdict(each) for each in differing]}
        print(json.dumps(found, ensure_ascii=False))
        return 1 if differing else 0
    for each in differing:
        print(f"line {each.line}: expected {_shown(each.expected)}, got {_shown(each.got)}")
    print(f"{agree} of {len(cases)} cases agree")
    return 1 if differing else 0


def _shown(outcome: dict[str, object]) -> str:
    parsed = repr(outcome["parsed"])
    return f"{parsed if len(parsed) <= 60 else parsed[:57] + '...'} with score {outcome['score']}"
