"""Ask the hub for the commits of a study's datasets and models, and write them into the study."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--config", type=Path, default=Path("config/config.yaml"), metavar="FILE", help="the study")
    parser.add_argument("--print", action="store_true", help="print the lines to add and leave the file as it is")
    parser.add_argument("--renew", action="store_true", help="also replace commits that are already there")


def run(options: argparse.Namespace) -> None:
    """Pin what is not pinned."""
    from moco.config.load import load_study, study_from
    from moco.config.pins import commits_in, lines, pins, written
    from moco.models.commits import newest_commit

    study = load_study(options.config)
    open_pins = [pin for pin in pins(study) if options.renew or not pin.pinned]
    if not open_pins:
        print(f"{options.config}: nothing to pin")
        return
    commits = [
        (pin, {config: newest_commit(pin.kind, repo) for config, repo in pin.repositories.items()}) for pin in open_pins
    ]
    text = options.config.read_text(encoding="utf-8")
    changed = None if options.print else written(text, commits)
    if changed is not None:
        import yaml

        from moco.errors import MocoError

        try:
            held = commits_in(study_from(yaml.safe_load(changed), str(options.config)))
        except (MocoError, yaml.YAMLError):
            held = {}
        if all(held.get((pin.kind, pin.name)) == found for pin, found in commits):
            options.config.write_text(changed, encoding="utf-8")
            print(f"{options.config}: pinned {', '.join(pin.name for pin, _ in commits)}")
            return
    if not options.print:
        print(f"{options.config} is left as it is, since its form allows no safe change; add to it:")
    print(lines(commits))
