"""Run a study: Snakemake, with the workflow and the profiles of this installation, in the current folder."""

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from moco.errors import MocoError, RequestError
from moco.project import project

LOCAL = ("--cores", "all", "--keep-going")
"""What `profiles/local` says, for who names no profile."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("study", nargs="?", type=Path, metavar="STUDY.yaml", help="the study (default: the demo)")
    parser.epilog = "Everything after -- goes to snakemake; without --profile there, all cores are used."


def run(options: argparse.Namespace) -> None:
    """Become Snakemake, so that signals and the exit code are its own."""
    if (find_spec("torch") is None or find_spec("transformers") is None) and not _all_are_served(options.study):
        remedy = "install the same package with its extra: pip install 'PACKAGE[run]'"
        raise RequestError("no torch and transformers here, which run models", remedy=remedy)
    become_snakemake(options.study, options.snakemake)


def _all_are_served(study: Path | None) -> bool:
    """Return whether all models of a study stand behind endpoints, so that none runs here; a faulty study has none."""
    from moco.config.load import load_study

    try:
        return study is not None and all(model.kind == "server" for model in load_study(study).models.values())
    except MocoError:
        return False


def become_snakemake(study: Path | None, arguments: list[str]) -> None:
    """Replace this process by Snakemake.

    Args:
        study: The study's file; None: the one that the workflow embeds.
        arguments: Further options; they win over the profiles of the workflow.

    Raises:
        RequestError: There is no such file.
    """
    if study is not None and not study.is_file():
        raise RequestError("there is no such file", where=str(study), remedy="moco init writes one to begin with")
    root = project()
    chosen = "SNAKEMAKE_PROFILE" in os.environ or any(each.split("=")[0] == "--profile" for each in arguments)
    command = [
        *(sys.executable, "-m", "snakemake"),
        *("--snakefile", str(root / "Snakefile")),
        *("--workflow-profile", _shortest(root / "profiles/default")),
        *(() if chosen else LOCAL),
        *(() if study is None else ("--configfile", str(study))),
        *arguments,
    ]
    sys.stdout.flush()
    os.execv(sys.executable, command)


def _shortest(path: Path) -> str:
    """Return the shorter spelling of a path, absolute or from the current folder.

    Snakemake prints those of profiles in one line while it reads its options, before any logger and whatever `--quiet`
    says. So what can be done about the length of that line is to name one profile, and to keep its path short.
    """
    return min(str(path), os.path.relpath(path), key=len)
