"""What can be told from the command line alone, before Snakemake reads the files that it names."""

import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from moco.config.yaml_file import parse_yaml
from moco.errors import MocoError

_OPTIONS = ("--configfile", "--configfiles")


def refuse_unreadable_configuration(arguments: Sequence[str] = sys.argv[1:]) -> None:
    """Stop with one line where a configuration file is missing or cannot be read: Snakemake prints a traceback.

    `profiles/default` calls it, since Snakemake opens these files before the first line of a Snakefile.

    Args:
        arguments: Of `snakemake`.
    """
    try:
        for path in _configuration_files(arguments):
            parse_yaml(Path(path))
    except MocoError as error:
        sys.stderr.write(f"moco: {error}\n")
        raise SystemExit(2) from None


def _configuration_files(arguments: Sequence[str]) -> list[str]:
    files: list[str] = []
    for place, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option in _OPTIONS:
            rest = takewhile(lambda following: not following.startswith("-"), arguments[place + 1 :])
            files += [value] if equals else rest
    return files
