"""Write a table as CSV, Markdown and LaTeX, from files of scores and costs."""

import argparse

from moco.cli.options import add_results, add_spec


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", help="name of the table, such as moco_main")
    add_results(parser)
    add_spec(parser)


def run(options: argparse.Namespace) -> None:
    """Write the table."""
    from moco.analysis.spec import expand
    from moco.analysis.tables import write_table

    write_table(options.name, expand(options.spec), options.results)
