"""Write a table as CSV, Markdown and LaTeX, from files of scores and costs."""

import argparse

from moco.cli.jobs import add_job_options, job_slice


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", help="name of the table, such as moco_main")
    add_job_options(parser, attempts=False)


def run(options: argparse.Namespace) -> None:
    """Write the table."""
    from moco.analysis.tables import write_table

    write_table(options.name, job_slice(options, "tabulate"), options.results)
