"""Write a figure as PDF and PNG, from files of scores and costs."""

import argparse

from moco.cli.jobs import add_job_options, job_slice


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", help="name of the figure, such as moco_win_rate")
    add_job_options(parser, attempts=False)


def run(options: argparse.Namespace) -> None:
    """Draw the figure."""
    from moco.analysis.figures import write_figure

    write_figure(options.name, job_slice(options, "tabulate"), options.results)
