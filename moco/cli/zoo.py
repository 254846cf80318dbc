"""Put a tiny model of the zoo where a study expects it; one that the package lacks is trained, once per machine."""

import argparse

from moco import paths
from moco.cli.jobs import add_job_options, job_slice
from moco.config.expand import cache_root

STAGE = "zoo"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_options(parser, "model", attempts=False)


def run(options: argparse.Namespace) -> None:
    """Build the model and copy it below results."""
    import shutil

    from moco.progress import set_up_logging
    from moco.store.checksums import copy_tree
    from moco.zoo.build import build

    set_up_logging()
    spec = job_slice(options, STAGE)
    folder = build(spec["recipe"], cache_root(), spec["steps"], spec["seed"])
    target = options.results / paths.checkpoint(options.model)
    shutil.rmtree(target, ignore_errors=True)
    copy_tree(folder, target)
