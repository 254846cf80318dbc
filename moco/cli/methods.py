"""List methods, or show one with its settings, cost, records and deviations."""

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("id", nargs="?", help="show this method only")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> None:
    """Print the list, or the page of one method."""
    import json
    import sys

    from moco.errors import MocoError
    from moco.methods.catalogue import broken_modules, method_ids
    from moco.methods.pages import describe, page

    broken = broken_modules()

    entries = []
    for id in [options.id] if options.id else method_ids():
        try:
            entries.append(describe(id))
        except MocoError as error:
            if options.id:
                raise
            broken[id] = error.what
    for place, fault in broken.items():
        print(f"{place}: cannot be used ({fault}); what does not need it goes on", file=sys.stderr)
    if options.json:
        print(json.dumps(entries[0] if options.id else entries, indent=2))
    elif options.id:
        print(page(options.id), end="")
    else:
        for entry in entries:
            print(f"{entry['id']}  ({entry['level']})\n    {entry['doc'].splitlines()[0]}")
