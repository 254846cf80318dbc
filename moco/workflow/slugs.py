"""Names are shared by all studies of one results folder: two studies may not use one name for different things."""

from pathlib import Path
from typing import Any

from moco.config.study import Study
from moco.digest import digest
from moco.errors import RequestError


def slugs(study: Study) -> dict[str, dict[str, str]]:
    """Return what every name of a study means, as digests, by kind of name."""
    kinds: dict[str, dict[str, Any]] = {
        "models": {
            name: {
                **entry.slice(),
                "engine": (entry.engine or study.engine).slice(),
                "template_date": study.template_date,
            }
            for name, entry in study.models.items()
        },
        "tasks": {name: entry.slice() for name, entry in study.tasks.items()},
        "pools": {name: entry.slice() for name, entry in study.pools.items()},
        "methods": {name: entry.slice() for name, entry in study.methods.items()},
        "decoding": {name: entry.slice() for name, entry in study.decoding.items()},
    }
    return {kind: {name: digest(meaning)[:16] for name, meaning in names.items()} for kind, names in kinds.items()}


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
    from moco.records import write_json

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
        from moco.records import read_json  # brings pyarrow, which a plan of one study does without

        for kind, name in conflicts(mine, read_json(path)):
            raise RequestError(
                f"study {path.stem!r} uses this name for something else",
                where=f"{kind}.{name}",
                remedy=f"rename it, use another results folder, or delete {path}",
            )
