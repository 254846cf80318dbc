"""What the verbs of rules share: names on the command line, and the study's file for what they stand for."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from moco.cli.attempts import CHILD, add_attempt_options
from moco.cli.options import add_results
from moco.errors import RequestError
from moco.home import STUDY

if TYPE_CHECKING:
    from moco.workflow.plan import Plan

_HELP = {
    "task": "task",
    "model": "model",
    "pool": "pool of models",
    "batch": "batch of tasks",
    "method": "method variant",
    "split": "split",
    "seed": "run seed",
    "run": "run of the loop",
    "round": "round, from 1",
    "block": "block of samples, as s0 or s1-4",
}


def add_job_options(parser: argparse.ArgumentParser, *names: str, attempts: bool = True) -> None:
    """Add the options of a rule's verb.

    Args:
        parser: Of the verb.
        names: Wildcards of the rule, each an option.
        attempts: Whether the rule passes its attempt and its grant of GPUs.
    """
    add_results(parser)
    for name in names:
        parser.add_argument(
            f"--{name}", required=True, type=int if name in ("seed", "round") else str, help=_HELP[name]
        )
    parser.add_argument("--digest", help="digest of what the study says of this job; checked when given")
    if attempts:
        add_attempt_options(parser)


def plan() -> "Plan":
    """Return the plan of the study that `MOCO_STUDY` names.

    Raises:
        RequestError: None is named, or it has mistakes.
    """
    from moco.config.runtime import required_study

    required_study()
    return _plan(os.environ[STUDY])


@cache
def _plan(_study: str) -> "Plan":
    from moco.config.runtime import required_study
    from moco.workflow.plan import Plan

    return Plan(required_study())


def job_slice(options: argparse.Namespace, stage: str) -> dict[str, Any]:
    """Return what the study says of a job.

    Args:
        options: With the job's wildcards.
        stage: Attribute of the plan.

    Raises:
        RequestError: The digest on the command line is that of something else.
    """
    found = getattr(plan(), stage)
    expected = found.digest(options)
    if options.digest is not None and options.digest != expected:
        raise RequestError(
            f"digest {options.digest} is not {expected}: the study or the code is another one than that of the command",
            where=f"{STUDY}={os.environ[STUDY]}",
            remedy="take both from the head of the same job's log, or leave out --digest",
        )
    return dict(found.slice(options))


def print_command(arguments: Sequence[str]) -> None:
    """Write a job's command, with the variable that it needs, at the head of its log."""
    if STUDY in os.environ and "--digest" in arguments and CHILD not in os.environ:
        print(
            f"{STUDY}={shlex.quote(os.environ[STUDY])} {shlex.join(['moco', *arguments])}", file=sys.stderr, flush=True
        )
