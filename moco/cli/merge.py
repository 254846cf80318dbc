"""Make the checkpoint of a model that a fit described."""

import argparse
from pathlib import Path

from moco import paths
from moco.cli.jobs import add_job_options, job_slice

STAGE = "merge"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_options(parser, "model")


def run(options: argparse.Namespace) -> None:
    """Merge; a merge that was made before comes from the store."""
    import shutil

    from moco.digest import digest
    from moco.home import home, store_root, work_root
    from moco.methods.state import model_of
    from moco.models.info import ModelInfo
    from moco.models.recipes import Trained
    from moco.store.artifacts import ArtifactStore
    from moco.store.checksums import copy_tree

    spec = job_slice(options, STAGE)
    made = model_of(options.results / paths.fit_folder(*spec["fit"]) / spec["task"], spec["name"])
    target = options.results / paths.checkpoint(options.model)
    shutil.rmtree(target, ignore_errors=True)
    if isinstance(made, Trained):
        copy_tree(made.folder, target)
        print(f"{options.model}: trained by the fit")
        return
    recipe = made
    known = [ModelInfo.read(options.results / paths.model_json(name)) for name in spec["among"]]

    def build(output: Path, _scratch: Path) -> None:
        from moco.merging.build import build_merge  # brings torch

        output.rmdir()
        build_merge(options.model, recipe, known, output, home(options.results))

    store = ArtifactStore(store_root(options.results), work_root(options.results))
    folder, cached = store.make("merges", digest("merge", recipe.as_json(), spec["source"]), build)
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
