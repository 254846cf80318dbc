"""Options that several verbs share."""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from moco.errors import RequestError


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add the results folder."""
    parser.add_argument("--results", type=Path, default=Path("results"), help="results folder (default: results)")


def add_spec(parser: argparse.ArgumentParser) -> None:
    """Add the job's slice of the configuration."""
    parser.add_argument("--spec", required=True, type=parse_spec, help="slice of the configuration, as JSON")


def parse_spec(text: str) -> Any:
    """Return the value of `--spec`.

    Raises:
        RequestError: It is not JSON.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise RequestError(f"not JSON ({error})", where="--spec", remedy="copy it from the log of the rule") from None


def parse_samples(text: str) -> list[int]:
    """Return the sample indices of `3` or `1-4`."""
    found = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", text)
    samples = list(range(int(found[1]), int(found[2] or found[1]) + 1)) if found else []
    if not samples:
        raise RequestError(f"{text!r} is no sample range", where="--samples", remedy="write 0 or 1-4")
    return samples
