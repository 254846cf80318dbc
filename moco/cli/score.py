"""Score plain responses, or the answers of a method, item by item; or recompute recorded cases (--cases)."""

import argparse
from pathlib import Path
from typing import Any, Literal

from moco.cli.attempts import add_attempt_options
from moco.cli.jobs import job_slice, plan
from moco.cli.options import add_results
from moco.config.rule_sets import RULE_SETS
from moco.errors import RequestError

STAGE = "score"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_results(parser)
    parser.add_argument(
        "--replies", metavar="FILE", help="replies to score, below the results folder and without .parquet"
    )
    parser.add_argument("--digest", help="digest of what the study says of this job; checked when given")
    parser.add_argument("--cases", type=Path, help="recompute the cases of this file instead; may run code in it")
    parser.add_argument("--scorer", choices=RULE_SETS, default="paper", help="rule set")
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
    return bool(options.replies and job_slice(options, STAGE).get("scoring"))


def run(options: argparse.Namespace) -> int:
    """Score a file of replies, or compare recorded cases and return 1 when scores differ or lines are bad."""
    if options.cases is not None:
        return _compare(options.cases, options.scorer, options.isolation, as_json=options.json)
    if options.replies is None:
        raise RequestError("nothing to score", remedy="give --replies, or --cases FILE")
    from moco.jobs.judging import job_tools
    from moco.jobs.performance import job_perf_path
    from moco.records import JOB_PERF, Provenance, write_rows
    from moco.workflow.scores import replies_of

    job = _job(options)
    if job.spec.get("scoring"):
        from moco.progress import set_up_logging

        set_up_logging()
    job.tools = job_tools(options.results, job.spec)
    job.run()
    judges: Any = job.tools.models
    if judges is not None:
        about = replies_of(options.replies)
        system = about.system if about.kind == "generations" else about.last
        pool = None if about.kind == "generations" else about.system
        facts = {"pool": pool, "system": system, "tasks": job.spec["tasks"], "splits": [about.split]}
        judges.inference.accounts.close(job.path, {**facts, "seed": int(about.seed)}, Provenance("score", job.spec))
    elif plan().score.is_judged(plan().matrix.batch(replies_of(options.replies).batch)):
        write_rows(job_perf_path(job.path), JOB_PERF, (), Provenance("score", job.spec))
    return 0


def _job(options: argparse.Namespace) -> Any:
    from moco.jobs.score import ScoreJob
    from moco.workflow.scores import replies_of

    split = replies_of(options.replies).split
    return ScoreJob(options.results, job_slice(options, STAGE), options.replies, split)


def record_failure(options: argparse.Namespace, reason: str) -> None:
    """Write a score file in which every item failed."""
    from moco.jobs.performance import write_failed_perf
    from moco.records import Provenance

    job = _job(options)
    job.write_failed(reason)
    write_failed_perf(job.path, Provenance("score", job.spec))


def _compare(path: Path, rules: str, isolation: Literal["bwrap", "limits"], *, as_json: bool) -> int:
    import json
    import sys
    from dataclasses import asdict

    from moco.machine import usable_cores
    from moco.scoring.base import CodeTools, Tools
    from moco.scoring.cases import disagreements, read_cases

    cases, bad = read_cases(path, rules)
    differing, unscored = disagreements(cases, rules, Tools(workers=usable_cores(), code=CodeTools(isolation)))
    bad |= {line: RequestError(str(error), where=f"{path}: line {line}") for line, error in unscored.items()}
    for error in bad.values():
        print(f"moco score: {error}", file=sys.stderr)
    scored = len(cases) - len(unscored)
    agree = scored - len(differing)
    if as_json:
        found = {"cases": scored, "agree": agree, "disagreements": [asdict(each) for each in differing]}
        if bad:
            found["bad_lines"] = [{"line": line, "error": str(error)} for line, error in bad.items()]
        print(json.dumps(found, ensure_ascii=False))
    else:
        for each in differing:
            print(f"line {each.line}: expected {_shown(each.expected)}, got {_shown(each.got)}")
        print(f"{agree} of {scored} cases agree" + (f"; lines left out: {len(bad)}" if bad else ""))
    return 1 if differing or bad else 0


def _shown(outcome: dict[str, object]) -> str:
    score = f"score {outcome['score']}"
    if "parsed" not in outcome:
        return score
    parsed = repr(outcome["parsed"])
    return f"{parsed if len(parsed) <= 60 else parsed[:57] + '...'} with {score}"
