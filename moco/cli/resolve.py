"""Find a model's files, fingerprint them, and compare them with what was declared."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moco import paths
from moco.cli.jobs import add_job_options, job_slice

STAGE = "resolve"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_options(parser, "model", attempts=False)


def run(options: argparse.Namespace) -> None:
    """Resolve the model."""
    target: Path = options.results / paths.model_json(options.model)
    spec = job_slice(options, STAGE)
    if spec.get("kind") in ("merge", "student"):
        _resolve_made(options, spec, target)
        return
    from pydantic import TypeAdapter

    from moco.config.engine import EngineSettings
    from moco.config.models import TEMPLATE_DATE, ModelEntry
    from moco.home import home
    from moco.models.info import ModelInfo
    from moco.models.resolve import resolve

    entry = TypeAdapter(ModelEntry).validate_python(spec["entry"])
    base = spec.get("base")
    info = resolve(
        options.model,
        entry,
        EngineSettings.model_validate(spec["engine"]),
        home(options.results),
        checkpoint=options.results / paths.checkpoint(options.model),
        base=None if base is None else ModelInfo.read(options.results / paths.model_json(base)),
        template_date=spec.get("template_date", TEMPLATE_DATE),
    )
    info.write(target)
    size = "unknown size" if info.parameters is None else f"{info.parameters:,} parameters"
    print(f"{info.name}: {info.family}, {size}, fingerprint {info.fingerprint[:16]}")


def _resolve_made(options: argparse.Namespace, spec: Mapping[str, Any], target: Path) -> None:
    from moco.home import home
    from moco.methods.state import failure_of, model_of
    from moco.models.info import ModelInfo
    from moco.models.recipes import Trained
    from moco.models.resolve import describe_merge, describe_student, find_source
    from moco.records import write_json

    folder = options.results / spec.get("folder", paths.checkpoint(options.model))
    reason = failure_of(folder)
    if reason is not None:
        write_json(target, {"failed": reason})
        return
    if spec["kind"] == "student":
        parent = ModelInfo.read(options.results / paths.model_json(spec["parent"]))
        info = describe_student(options.model, parent, folder, home(options.results))
        info.write(target)
        print(f"{info.name}: student of {parent.name}, fingerprint {info.fingerprint[:16]}")
        return
    made = model_of(options.results / paths.fit_folder(*spec["fit"]) / spec["task"], spec["name"])
    known = [ModelInfo.read(options.results / paths.model_json(name)) for name in spec["among"]]
    if isinstance(made, Trained):
        parent = find_source(made.parent, known, options.model)
        info = describe_student(options.model, parent, folder, home(options.results))
        info.write(target)
        print(f"{info.name}: trained from {parent.name}, fingerprint {info.fingerprint[:16]}")
        return
    info = describe_merge(options.model, made, known, folder, home(options.results))
    info.write(target)
    print(f"{info.name}: merge of {len(made.inputs)}, fingerprint {info.fingerprint[:16]}")
