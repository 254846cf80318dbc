"""Write the report: one HTML file with tables, figures and how to reproduce them."""

import argparse

from moco.cli.options import add_results, add_spec


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_results(parser)
    add_spec(parser)


def run(options: argparse.Namespace) -> None:
    """Write `report.html`."""
    from moco.analysis.report import write_report
    from moco.analysis.spec import expand
    from moco.records import versions

    write_report(expand(options.spec), options.results, options.results / "report.html", versions())
