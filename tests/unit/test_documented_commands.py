"""Every command of the documents is one that exists, with options that exist; pages with a story are followed elsewhere."""

import argparse
import re
import shlex
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

from moco.cli import VERBS
from moco.cli.run import become_snakemake

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "config/README.md", "results/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
COMMAND = re.compile(r"(?:\.venv/bin/)?(moco|snakemake|make)((?:\s.*)?)")


def commands(path):
    """Return (program, words) for every command in blocks of code and in `code` of the text."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for kind, block in blocks if kind in ("", "console", "bash", "sh") for line in block.splitlines()]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines += [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose)]
    for line in lines:
        for part in re.split(r"&&|;|\|", line.removeprefix("$ ")):
            found = COMMAND.fullmatch(part.strip())
            if found:
                yield found[1], shlex.split(found[2], comments=True)


@cache
def options_of(verb):
    """Return every option of a verb, those of its own verbs included."""
    parser = argparse.ArgumentParser()
    import_module(f"moco.cli.{verb}").configure(parser)
    parsers, options = [parser], set()
    while parsers:
        for action in parsers.pop()._actions:
            options |= set(action.option_strings)
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
    return options


@cache
def options_of_snakemake():
    return set(get_argument_parser()._option_string_actions)


def named(words):
    return {word.partition("=")[0] for word in words if word.startswith("-") and word not in ("-", "--")}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_and_their_options_exist(path):
    targets = set(re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)[1].split())
    for program, words in commands(path):
        if program == "make":
            goals = {word for word in words if "=" not in word and not word.startswith("-")}
            assert goals <= targets, words
        elif program == "snakemake":
            assert named(words) <= options_of_snakemake(), words
        elif words and not words[0].startswith("-") and words[0] != "VERB":
            verb, own, passed = words[0], words[1:], []
            assert verb in VERBS, words
            if "--" in own and hasattr(import_module(f"moco.cli.{verb}"), become_snakemake.__name__):
                own, passed = own[: own.index("--")], own[own.index("--") + 1 :]
            assert named(own) <= options_of(verb), words
            assert named(passed) <= options_of_snakemake(), words


def test_commands_are_found():
    found = [words for path in DOCUMENTS for program, words in commands(path) if program == "moco" and words]
    assert len(found) > 40
    assert ["run", "study.yaml", "--", "--cores", "2"] in found
    assert ["prepare", "--check", "sums.yaml"] in found
