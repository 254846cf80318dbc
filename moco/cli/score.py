"""Score plain responses, or the answers of a method, item by item; or recompute recorded cases (--cases)."""

import argparse
from pathlib import Path
from typing import Any, Literal

from moco import paths
from moco.cli.attempts import add_attempt_options
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
    parser.add_argument(
        "--sample",
        type=int,
        help="sample index of the plain responses; with n replies per item, the n-th block of them",
    )
    parser.add_argument("--pool", help="score answers of a method with this pool; needs --method")
    parser.add_argument("--method", help="method variant")
    parser.add_argument("--spec", type=parse_spec, help="slice of the configuration, as JSON")
    parser.add_argument("--cases", type=Path, help="recompute the cases of this file instead; may run code in it")
    parser.add_argument("--scorer", choices=["paper", "strict"], default="paper", help="rule set that the cases record")
    parser.add_argument("--json", action="store_true", help="print the result of --cases as one JSON object")
    parser.add_argument(
        "--isolation",
        choices=["bwrap", "limits"],
        default="bwrap",
        help="how code in --cases is kept apart: in a sandbox of bubblewrap, or by limits on resources alone",
    )
    add_attempt_options(parser)


def is_recorded(options: argparse.Namespace) -> bool:
    """Return whether a failure may be recorded: where models judge. What rules score has no reason to fail."""
    return bool(options.spec and options.spec.get("scoring"))


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


def run(options: argparse.Namespace) -> int:
    """Score every task of the batch, or compare recorded cases and return 1 when scores differ or lines are bad."""
    if options.cases is not None:
        return _compare(options.cases, options.scorer, options.isolation, as_json=options.json)
    _score(options)
    return 0


def _score(options: argparse.Namespace) -> None:
    from moco.engines.judging import job_tools
    from moco.errors import RequestError
    from moco.records import Provenance
    from moco.scoring.files import score_answers, score_plain

    missing = [f"--{name}" for name in _JOB if getattr(options, name) is None]
    if missing:
        raise RequestError(f"missing {', '.join(missing)}", remedy="give them, or --cases FILE")
    if options.spec.get("scoring"):
        from moco.progress import set_up_logging

        set_up_logging()
    tools = job_tools(options.results, options.spec)
    judges: Any = tools.models
    for task in options.tasks:
        source = _source(options, task)
        if options.model is not None:
            samples = _together(options, task)
            score_plain(options.results, task, options.split, source, options.spec, tools, samples=samples)
        else:
            score_answers(options.results, task, options.split, source, options.spec, tools)
    if judges is not None:
        files = [
            options.results / paths.scores(options.spec["scorer"], _source(options, task)) for task in options.tasks
        ]
        system = options.model if options.model is not None else options.method
        about = {"pool": options.pool, "system": system, "tasks": options.tasks}
        judges.inference.accounts.close(
            files, {**about, "splits": [options.split], "seed": options.seed}, Provenance("score", options.spec)
        )


def record_failure(options: argparse.Namespace, reason: str) -> None:
    """Write score files in which every item failed."""
    from moco.scoring.files import write_failed

    for task in options.tasks:
        write_failed(options.results, task, options.split, _source(options, task), options.spec, reason)


def _compare(path: Path, rules: str, isolation: Literal["bwrap", "limits"], *, as_json: bool) -> int:
    import json
    import sys
    from dataclasses import asdict

    from moco.machine import usable_cores
    from moco.scoring.base import CodeTools, Tools
    from moco.scoring.cases import disagreements, read_cases

    cases, bad = read_cases(path, rules)
    for error in bad.values():
        print(f"moco score: {error}", file=sys.stderr)
    differing = disagreements(cases, rules, Tools(workers=usable_cores(), code=CodeTools(isolation)))
    agree = len(cases) - len(differing)
    if as_json:
        found = {"cases": len(cases), "agree": agree, "disagreements": [asdict(each) for each in differing]}
        if bad:
            found["bad_lines"] = [{"line": line, "error": str(error)} for line, error in bad.items()]
        print(json.dumps(found, ensure_ascii=False))
    else:
        for each in differing:
            print(f"line {each.line}: expected {_shown(each.expected)}, got {_shown(each.got)}")
        print(f"{agree} of {len(cases)} cases agree" + (f"; lines that are no cases: {len(bad)}" if bad else ""))
    return 1 if differing or bad else 0


def _shown(outcome: dict[str, object]) -> str:
    score = f"score {outcome['score']}"
    if "parsed" not in outcome:
        return score
    parsed = repr(outcome["parsed"])
    return f"{parsed if len(parsed) <= 60 else parsed[:57] + '...'} with {score}"
