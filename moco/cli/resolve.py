"""Find a model's files, fingerprint them, and compare them with what was declared."""

import argparse
from pathlib import Path

from moco import paths
from moco.cli.options import add_results, add_spec


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_results(parser)
    parser.add_argument("--model", required=True, help="name of the model")
    parser.add_argument("--parents", nargs="*", default=[], help="for a merged model: models it may be made of")
    add_spec(parser)


def run(options: argparse.Namespace) -> None:
    """Resolve the model."""
    target: Path = options.results / paths.model_json(options.model)
    if options.spec.get("kind") == "merge":
        _resolve_merge(options, target)
        return
    from pydantic import TypeAdapter

    from moco.config.engine import EngineSettings
    from moco.config.models import TEMPLATE_DATE, ModelEntry
    from moco.models.info import ModelInfo
    from moco.models.resolve import resolve

    entry = TypeAdapter(ModelEntry).validate_python(options.spec["entry"])
    base = options.spec.get("base")
    info = resolve(
        options.model,
        entry,
        EngineSettings.model_validate(options.spec["engine"]),
        options.results.resolve().parent,
        checkpoint=options.results / paths.checkpoint(options.model),
        base=None if base is None else ModelInfo.read(options.results / paths.model_json(base)),
        template_date=options.spec.get("template_date", TEMPLATE_DATE),
    )
    info.write(target)
    size = "unknown size" if info.parameters is None else f"{info.parameters:,} parameters"
    print(f"{info.name}: {info.family}, {size}, fingerprint {info.fingerprint[:16]}")


def _resolve_merge(options: argparse.Namespace, target: Path) -> None:
    from moco.methods.base import Recipe
    from moco.methods.state import failure_of
    from moco.models.info import ModelInfo
    from moco.models.resolve import describe_merge
    from moco.records import read_json, write_json

    folder = options.results / paths.checkpoint(options.model)
    reason = failure_of(folder)
    if reason is not None:
        write_json(target, {"failed": reason})
        return
    recipe = Recipe.from_json(read_json(options.results / paths.recipe_json(options.model)))
    known = [ModelInfo.read(options.results / paths.model_json(name)) for name in options.parents]
    info = describe_merge(options.model, recipe, known, folder, options.results.resolve().parent)
    info.write(target)
    print(f"{info.name}: merge of {len(recipe.inputs)}, fingerprint {info.fingerprint[:16]}")
