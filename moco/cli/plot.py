"""Write a figure as PDF and PNG, from files of scores and costs."""

import argparse

from moco.cli.options import add_results, add_spec


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", help="name of the figure, such as moco_win_rate")
    add_results(parser)
    add_spec(parser)


def run(options: argparse.Namespace) -> None:
    """Draw the figure."""
    from moco.analysis.figures import write_figure
    from moco.analysis.spec import expand

    write_figure(options.name, expand(options.spec), options.results)
