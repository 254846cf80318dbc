"""Train a tiny model of the zoo, once per machine, and put it where a study expects it."""

import argparse
import os
from pathlib import Path

from moco import paths
from moco.cli.options import add_results, add_spec


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_results(parser)
    parser.add_argument("--model", required=True, help="name of the model in the study")
    add_spec(parser)


def cache_folder() -> Path:
    """Return `$MOCO_CACHE`, by default `~/.cache/moco`."""
    return Path(os.environ.get("MOCO_CACHE") or "~/.cache/moco").expanduser()


def run(options: argparse.Namespace) -> None:
    """Build the model and copy it below results."""
    import shutil

    from moco.progress import set_up_logging
    from moco.store.checksums import copy_tree
    from moco.zoo.build import build

    set_up_logging()
    folder = build(options.spec["recipe"], cache_folder(), options.spec["steps"], options.spec["seed"])
    target = options.results / paths.checkpoint(options.model)
    shutil.rmtree(target, ignore_errors=True)
    copy_tree(folder, target)
