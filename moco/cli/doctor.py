"""Say what this machine has, and what that allows."""

import argparse

from moco.cli.options import add_results


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_results(parser)


def run(options: argparse.Namespace) -> None:
    """Print one line per fact."""
    from moco.machine import findings

    facts = findings(options.results)
    width = max(len(fact.name) for fact in facts)
    for fact in facts:
        print(f"{fact.name:<{width}}  {fact.found}\n{'':<{width}}  {fact.allows}")
