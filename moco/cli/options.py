"""Options that several verbs share."""

import argparse
from pathlib import Path


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add the results folder."""
    parser.add_argument(
        "--results", type=Path, default=Path("results"), help="the study's results folder (default: results)"
    )
