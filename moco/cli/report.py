"""Write the report: one HTML file with tables, figures and how to reproduce them."""

import argparse

from moco.cli.jobs import add_job_options, job_slice


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_options(parser, attempts=False)


def run(options: argparse.Namespace) -> None:
    """Write `report.html`."""
    from moco.analysis.report import write_report
    from moco.records import versions

    write_report(job_slice(options, "report"), options.results, options.results / "report.html", versions())
