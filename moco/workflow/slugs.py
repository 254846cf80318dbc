"""Names are shared by all studies of one results folder: two studies may not use one name for different things."""

from pathlib import Path
from typing import Any

from moco.config.study import Study
from moco.digest import digest
from moco.errors import RequestError
from moco.records import read_json, write_json


def slugs(study: Study) -> dict[str, dict[str, str]]:
    """Return what every name of a study means, as digests, by kind of name."""
    kinds: dict[str, dict[str, Any]] = {
        "models": dict(study.models),
        "tasks": dict(study.tasks),
        "pools": dict(study.pools),
        "methods": dict(study.methods),
        "decoding": dict(study.decoding),
    }
    return {kind: {name: digest(entry.slice())[:16] for name, entry in entries.items()} for kind, entries in kinds.items()}


def conflicts(mine: dict[str, dict[str, str]], other: dict[str, dict[str, str]]) -> list[tuple[str, str]]:
    """Return kind and name of everything that two studies call the same and mean differently."""
    return [
        (kind, name)
        for kind, names in mine.items()
        for name, meaning in names.items()
        if other.get(kind, {}).get(name, meaning) != meaning
    ]


def claim_slugs(study: Study, results: Path) -> None:
    """Note the names of a study in its results folder."""
    write_json(results / "studies" / f"{study.study}.json", slugs(study))


def refuse_taken_slugs(study: Study, results: Path) -> None:
    """Check a study against the others of its results folder.

    Raises:
        RequestError: Another study uses a name for something else.
    """
    mine = slugs(study)
    for path in sorted((results / "studies").glob("*.json")):
        if path.stem == study.study:
            continue
        for kind, name in conflicts(mine, read_json(path)):
            raise RequestError(
                f"study {path.stem!r} uses this name for something else",
                where=f"{kind}.{name}",
                remedy=f"rename it, use another results folder, or delete {path}",
            )
