"""Compare two results folders by content; times, hosts, logs and paid cost do not count."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("first", type=Path, help="a results folder")
    parser.add_argument("second", type=Path, help="another one")
    parser.add_argument("--strict", action="store_true", help="library versions must be equal too")


def run(options: argparse.Namespace) -> int:
    """Print what differs and return 1 when anything does."""
    from moco.errors import RequestError
    from moco.records.compare import differences

    for folder in (options.first, options.second):
        if not folder.is_dir():
            raise RequestError("is no folder", where=str(folder), remedy="name two results folders")
    found = 0
    for line in differences(options.first, options.second, strict=options.strict):
        print(line)
        found += 1
    print(f"{found} files differ" if found else "equal")
    return 1 if found else 0
