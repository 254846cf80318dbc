"""Which files below a results folder belong to a study: those that some rule of its plan makes."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from moco import paths
from moco.errors import RequestError
from moco.workflow.plan import Plan

_RESULTS = "<results>/"
_FOLDERS = ("answers", "fits", "generations", "logits", "models", "scores", "tasks")
_WILDCARD = re.compile(r"\{(\w+)\}")


def study_files(plan: Plan, results: Path) -> list[str]:
    """Return the study's files that exist, relative to the results folder and sorted; no checkpoints, no outputs.

    Raises:
        RequestError: One that tables and figures are made from is missing.
    """
    needed = [*plan.analysis_inputs, *plan.further_scores, *plan.task_files]
    missing = [name for name in map(_relative, needed) if not (results / name).is_file()]
    if missing:
        more = f", like {len(missing) - 1} further files" if len(missing) > 1 else ""
        raise RequestError(
            f"is missing{more}", where=str(results / missing[0]), remedy="run the study to its end first"
        )
    exact = {_relative(name) for name in needed}
    exact |= {
        make(name) for name in (*plan.matrix.models, *plan.derived) for make in (paths.model_json, paths.recipe_json)
    }
    patterns = [re.compile(pattern) for pattern in dict.fromkeys(_patterns(plan))]
    return [
        name
        for name in sorted(_existing(results))
        if name in exact or any(pattern.fullmatch(_measured(name)) for pattern in patterns)
    ]


def _existing(results: Path) -> Iterator[str]:
    for folder in _FOLDERS:
        for path in (results / folder).rglob("*"):
            if path.is_file() and not path.name.startswith("."):
                yield path.relative_to(results).as_posix()


def _measured(name: str) -> str:
    """Return the file that a performance file stands beside, or the file itself."""
    return re.sub(r"(_job)?_perf\.parquet$", ".parquet", name)


def _patterns(plan: Plan) -> Iterator[str]:
    for rule in plan.rules():
        for output in rule.outputs:
            yield _pattern(output, rule.wildcards)
        for folder in rule.folders:
            yield _pattern(folder, rule.wildcards) + "/.+"


def _pattern(output: str, wildcards: Mapping[str, str]) -> str:
    seen: set[str] = set()

    def group(name: str) -> str:
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return f"(?P<{name}>{wildcards[name]})"

    parts = _WILDCARD.split(_relative(output))
    return "".join(group(part) if index % 2 else re.escape(part) for index, part in enumerate(parts))


def _relative(path: str) -> str:
    return path.removeprefix(_RESULTS)
