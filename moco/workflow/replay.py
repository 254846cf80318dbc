"""A plan whose files come out of a bundle: only tables, figures and the report are made."""

from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from moco.bundle.manifest import Manifest
from moco.bundle.verify import read_head, refuse_other_files
from moco.config.load import study_from
from moco.config.study import Study
from moco.digest import digest
from moco.errors import RequestError, WorkError
from moco.workflow.plan import Plan
from moco.workflow.rule import results


class ReplayedPlan(Plan):
    """What can be made from a bundle.

    Args:
        study: The study of the bundle.
        path: The bundle.
        manifest: What it says of itself.

    Raises:
        WorkError: It lacks files that tables and figures are made from.
    """

    def __init__(self, study: Study, path: Path, manifest: Manifest) -> None:
        super().__init__(study)
        self.bundle = path
        self._manifest = manifest
        have = set(self.bundled)
        missing = [name for name in (*self.analysis_inputs, *self.further_scores) if name not in have]
        if missing:
            what = f"lacks {missing[0]}, which tables and figures are made from"
            remedy = f"replay it with moco {manifest.moco}, which made it, or get it again"
            raise WorkError(what, where=str(path), remedy=remedy)

    @cached_property
    def bundled(self) -> list[str]:
        """Files that are unpacked."""
        return [results(name) for name in self._manifest.results]

    @property
    def bundle_digest(self) -> str:
        """Digest of all that is unpacked."""
        return digest({name: entry.sha256 for name, entry in self._manifest.entries.items()})

    @cached_property
    def _has_items(self) -> bool:
        return len(self.task_files) == sum(len(self.prepare_outputs(task)) for task in self.matrix.tasks)

    @cached_property
    def task_files(self) -> list[str]:
        """Files of prepared tasks that the bundle has."""
        have = set(self.bundled)
        return [path for task in self.matrix.tasks for path in self.prepare_outputs(task) if path in have]

    @property
    def planned_tables(self) -> tuple[str, ...]:
        """Names of the tables that can be made: that of the data needs the items."""
        return tuple(name for name in super().planned_tables if name != "data_quality" or self._has_items)

    def analysis_spec(self) -> dict[str, Any]:
        """The study as tables and figures see it."""
        spec = super().analysis_spec()
        return spec if self._has_items else {**spec, "items": False}

    def build(self) -> None:
        """Do nothing: no job of another stage is planned, and sources of tasks may be missing here."""

    @property
    def notice(self) -> str:
        """One line on what can be made."""
        names = ", ".join((*self.planned_tables, *self.figures))
        hint = "" if self._has_items else " (no data_quality: items are not in the bundle)"
        return f"{self.bundle} holds study {self.study.study}; it makes {names} and report.html{hint}"


def replay(path: Path) -> ReplayedPlan:
    """Return the plan of a bundle.

    Args:
        path: The bundle.

    Raises:
        RequestError: The bundle cannot be read, or the results folder holds something else.
        WorkError: The bundle is damaged.
    """
    manifest, text = read_head(path)
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        content = None
    if not isinstance(content, dict):
        raise WorkError("holds no configuration", where=str(path), remedy="get it again")
    plan = ReplayedPlan(study_from(content, str(path)), path, manifest)
    folder = Path("results")
    others = sorted(other.stem for other in (folder / "studies").glob("*.json") if other.stem != plan.study.study)
    if others:
        raise RequestError(f"holds study {others[0]!r}", where=str(folder), remedy="replay in an empty folder")
    refuse_other_files(manifest, folder)
    return plan
