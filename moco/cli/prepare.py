"""Write a task's questions and references, split by split."""

import argparse

from moco import paths
from moco.cli.options import add_results, add_spec


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_results(parser)
    parser.add_argument("--task", required=True, help="name of the task")
    add_spec(parser)


def run(options: argparse.Namespace) -> None:
    """Prepare the task."""
    from moco.config.tasks import TaskEntry
    from moco.tasks.prepare import prepare

    entry = TaskEntry.model_validate(options.spec)
    facts = prepare(options.task, entry, options.results / paths.task_folder(options.task), options.spec)
    counts = ", ".join(f"{split} {about['items']}" for split, about in facts["splits"].items())
    print(f"{options.task}: {facts['type']}, {counts}")
