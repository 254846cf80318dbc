"""Write the report: one HTML file with tables, figures, examples and how to reproduce them."""

import argparse
from pathlib import Path

from moco.cli.jobs import add_job_options, job_slice


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_options(parser, attempts=False)


def run(options: argparse.Namespace) -> None:
    """Write `report.html` and `examples`."""
    import os

    import yaml

    from moco.analysis.origin import commit, machine
    from moco.analysis.report import write_report
    from moco.home import STUDY
    from moco.records import read_json, versions

    spec = job_slice(options, "report")
    about = {"page made on": machine(), "by commit": commit(), **versions()}
    study = yaml.safe_dump(read_json(Path(os.environ[STUDY])), sort_keys=False, allow_unicode=True)
    write_report(spec, options.results, options.results / "report.html", about, study)
