"""List the registered datasets, or show one with all that is known of it."""

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", help="show this dataset only")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(options: argparse.Namespace) -> None:
    """Print the list."""
    import json
    from textwrap import fill

    from moco.config.datasets import dataset, dataset_names
    from moco.tasks.reference import facts, licence, where_from

    found = [dataset(name) for name in ([options.name] if options.name else dataset_names())]
    if options.json:
        content = [known.model_dump(mode="json") | {"available": known.available} for known in found]
        print(json.dumps(content[0] if options.name else content, indent=2, ensure_ascii=False))
        return
    if options.name:
        print(f"{found[0].name}  ({found[0].title})")
        for label, text in [*facts(found[0]), *(("pitfall", pitfall) for pitfall in found[0].pitfalls)]:
            print(fill(f"{label}: {text}", 110, initial_indent="    ", subsequent_indent="        "))
        return
    head = ("name", "domain", "type", "dev", "test", "licence", "source")
    rows = [head]
    for known in found:
        dev, test = (str(known.sizes.get(side, "unknown")) for side in ("dev", "test"))
        rows.append((known.name, known.domain, known.type, dev, test, licence(known), where_from(known)))
    widths = [min(max(len(row[place]) for row in rows), 48) for place in range(len(head) - 1)]
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]))
