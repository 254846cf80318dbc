"""List methods, or show one with its settings."""

import argparse
from typing import Any


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("id", nargs="?", help="show this method only")
    parser.add_argument("--json", action="store_true", help="print JSON")


def describe(id: str) -> dict[str, Any]:
    """Return what a method declares, as JSON values."""
    from inspect import cleandoc

    from pydantic_core import PydanticUndefined

    from moco.methods.base import PoolInfo
    from moco.methods.catalogue import make_method, method_class

    cls = method_class(id)
    params = {
        name: {
            "type": str(field.annotation).removeprefix("typing.").replace("<class '", "").replace("'>", ""),
            "default": None if field.default is PydanticUndefined else field.default,
            "required": field.is_required(),
            "role": cls.Params.role(name),
            "doc": field.description,
        }
        for name, field in cls.Params.model_fields.items()
    }
    required = any(param["required"] for param in params.values())
    needs = None if required else make_method(id, {}).needs(PoolInfo.of_size(3)).as_json()
    return {
        "id": id,
        "level": cls.level,
        "papers": list(cls.papers),
        "task_types": None if cls.task_types is None else sorted(cls.task_types),
        "doc": cleandoc(cls.__doc__ or ""),
        "module": cls.__module__,
        "params": params,
        "needs": needs,
    }


def run(options: argparse.Namespace) -> None:
    """Print the list."""
    import json
    import sys

    from moco.errors import MocoError
    from moco.methods.catalogue import broken_modules, method_ids

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
        return
    for entry in entries:
        first = entry["doc"].splitlines()[0]
        print(f"{entry['id']}  ({entry['level']})\n    {first}")
        if options.id:
            print(_details(entry))


def _details(entry: dict[str, Any]) -> str:
    lines = [
        "",
        *(f"    {line}".rstrip() for line in entry["doc"].splitlines()[2:]),
        "",
        f"    papers: {', '.join('arXiv:' + paper for paper in entry['papers']) or 'none'}",
    ]
    types = "all" if entry["task_types"] is None else ", ".join(entry["task_types"])
    lines.append(f"    task types: {types}")
    for name, param in entry["params"].items():
        default = "required" if param["required"] else f"default {param['default']!r}"
        lines.append(f"    {name}: {param['type']}, {default}. {param['doc']}")
    return "\n".join(lines)
