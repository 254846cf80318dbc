"""Every command of the documents is one that exists, with options that exist; pages with a story are followed elsewhere."""

import argparse
import ast
import re
import shlex
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from itertools import groupby

import pytest
from snakemake.cli import get_argument_parser
from support.documents import PAGES, ROOT, prose_of, text_of

from moco.cli import VERBS
from moco.cli.run import become_snakemake

COMMAND = re.compile(r"(?:\.venv/bin/)?(moco|snakemake|make)((?:\s.*)?)")
OUTSIDE_A_CHECKOUT = "docs/running.md"
"""Its commands are for wheels too, where nobody knows the folder of the environment; a test types them."""
SHELL = {"cd", "cp", "export", "git", "mkdir", "tar", "touch"}
MADE_BY_THE_PAGE = {"dev.jsonl", "my_methods"}
"""Files that a command changes and the page has shown before."""


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def typed(text):
    """Yield the words of every command in blocks of code; of a console, lines without `$` are what it answers."""
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```", text.replace("\\\n", " "), flags=re.DOTALL | re.MULTILINE):
        if kind in ("", "console", "bash", "sh"):
            for line in block.splitlines():
                if kind != "console" or line.startswith("$ "):
                    words = shlex.split(line.removeprefix("$ "), comments=True)
                    for part, of_part in groupby(words, lambda word: word not in ("&&", ";", "|")):
                        if part:
                            yield list(of_part)


def commands(path):
    """Return (program, words) for every command of ours in blocks of code and in `code` of the text."""
    text = path.read_text(encoding="utf-8")
    lines = [shlex.join(words) for words in typed(text)]
    lines += [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose_of(text))]
    for line in lines:
        found = COMMAND.fullmatch(line.strip())
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


@cache
def options_of_script(name):
    """Return every option that a script adds to its parser."""
    calls = (node for node in ast.walk(ast.parse(text_of(name))) if isinstance(node, ast.Call))
    added = (call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument")
    return {argument.value for call in added for argument in call.args if isinstance(argument, ast.Constant)}


def named(words):
    return {word.partition("=")[0] for word in words if word.startswith("-") and word not in ("-", "--")}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_commands_and_their_options_exist(path):
    targets = set(re.search(r"^\.PHONY: (.*)$", text_of("Makefile"), flags=re.MULTILINE)[1].split())
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


def check_other(words):
    """Check a command that is none of ours: the files of this project that it names exist, and so do options of scripts."""
    program, *rest = words
    if program in ("python", "python3") and rest[0] == "-m":
        assert rest[1] in ("pip", "pytest", "venv") or (ROOT / f"{rest[1].replace('.', '/')}.py").is_file(), words
    elif program == "python":
        assert named(rest[1:]) <= options_of_script(rest[0]), words
    elif program == "generate-slurm-partition-config":
        assert program in {entry.name for entry in entry_points(group="console_scripts")}
    else:
        assert program in {*SHELL, "$EDITOR", "conda", "pip", "sed"}, f"{words}: say here how it is checked"
    for word in rest:
        if re.fullmatch(r"(?:moco|workflow|tests|benchmarks|config|profiles|docs)/[\w./-]+|constraints\S*\.txt", word):
            assert (ROOT / word).exists() or ">" in rest, words
    if program == "sed":
        assert rest[-1] in MADE_BY_THE_PAGE


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_other_commands_of_blocks_are_known(path):
    for words in typed(path.read_text(encoding="utf-8")):
        program = words[0].removeprefix(".venv/bin/")
        if program not in ("moco", "snakemake", "make"):
            check_other([program, *words[1:]])
        if program in ("moco", "snakemake", "python", "pip") and name_of(path) != OUTSIDE_A_CHECKOUT:
            assert words[0] == f".venv/bin/{program}", f"{words}: as README types it"


def test_commands_are_found():
    found = [words for path in PAGES for program, words in commands(path) if program == "moco" and words]
    assert len(found) > 40
    assert ["run", "study.yaml", "--", "--cores", "2"] in found
    assert ["prepare", "--check", "sums.yaml"] in found
    typed_by_page = {name_of(path): list(typed(path.read_text(encoding="utf-8"))) for path in PAGES}
    assert ["$EDITOR", "profiles/slurm/partitions.yaml", "profiles/slurm/profile.yaml"] in typed_by_page[
        "docs/cluster.md"
    ]
    assert ["cd", "moco"] in typed_by_page["docs/reproduce.md"]
