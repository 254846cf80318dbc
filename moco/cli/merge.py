"""Make the checkpoint of a recipe that a fit wrote."""

import argparse

from moco import paths
from moco.cli.attempts import add_attempt_options
from moco.cli.options import add_results, add_spec
from moco.errors import FailedInput


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_results(parser)
    parser.add_argument("--model", required=True, help="name of the new model")
    parser.add_argument("--among", nargs="+", required=True, help="models that the recipe's inputs are among")
    add_spec(parser)
    add_attempt_options(parser)


def run(options: argparse.Namespace) -> None:
    """Merge; a merge that was made before comes from the store."""
    import shutil
    from pathlib import Path

    from moco.digest import digest
    from moco.merging.build import build_merge
    from moco.methods.base import Recipe
    from moco.models.info import ModelInfo
    from moco.records import read_json
    from moco.store.artifacts import ArtifactStore
    from moco.store.checksums import copy_tree
    from moco.store.generations import store_root, work_root

    content = read_json(options.results / paths.recipe_json(options.model))
    if "failed" in content:
        raise FailedInput(content["failed"])
    recipe = Recipe.from_json(content)
    known = [ModelInfo.read(options.results / paths.model_json(name)) for name in options.among]
    root = options.results.resolve().parent

    def build(output: Path, _scratch: Path) -> None:
        output.rmdir()
        build_merge(options.model, recipe, known, output, root)

    store = ArtifactStore(store_root(options.results), work_root(options.results))
    folder, cached = store.make("merges", digest("merge", recipe.as_json(), options.spec), build)
    target = options.results / paths.checkpoint(options.model)
    shutil.rmtree(target, ignore_errors=True)
    copy_tree(folder, target)
    print(f"{options.model}: {recipe.operation} of {len(recipe.inputs)}" + (", from the store" if cached else ""))


def record_failure(options: argparse.Namespace, reason: str) -> None:
    """Leave a checkpoint folder that says why there is no checkpoint."""
    import shutil

    from moco.methods.state import FAILED
    from moco.records import write_json

    target = options.results / paths.checkpoint(options.model)
    shutil.rmtree(target, ignore_errors=True)
    write_json(target / FAILED, {"reason": f"merge: {reason.removeprefix('merge: ')}"})
