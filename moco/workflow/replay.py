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
from moco.errors import WorkError
from moco.workflow.plan import Plan
from moco.workflow.stage import Wildcards, results


class ReplayedPlan(Plan):
    """What can be made from a bundle.

    Args:
        study: The study of the bundle.
        path: The bundle.
        manifest: What it says of itself.

    Raises:
        RequestError: The study names something that this version of moco does not know.
        WorkError: It lacks files that tables and figures are made from.
    """

    def __init__(self, study: Study, path: Path, manifest: Manifest) -> None:
        super().__init__(study)
        self.bundle = path
        self._manifest = manifest
        have = set(self.bundled)
        missing = [name for name in self.tabulate.collected if name not in have]
        if missing:
            what = f"lacks {missing[0]}, which tables and figures are made from"
            remedy = f"replay it with moco {manifest.moco}, which made it, or get it again"
            raise WorkError(what, where=str(path), remedy=remedy)
        wanted = self.tabulate.task_files
        self.tabulate.task_files = [name for name in wanted if name in have]
        self.report.example_files = [name for name in self.report.example_files if name in have]
        self._has_items = self.tabulate.task_files == wanted
        self.tabulate.slice(None)  # mistakes come out here, as one line, and not inside a rule

    @cached_property
    def bundled(self) -> list[str]:
        """Files that are unpacked."""
        return [results(name) for name in self._manifest.results]

    def bundle_digest(self, wildcards: Wildcards) -> str:
        """Return the digest of all that is unpacked."""
        return digest({name: entry.sha256 for name, entry in self._manifest.entries.items()})

    def bundle_folder(self, wildcards: Wildcards, output: Any) -> str:
        """Return the results folder, from where the first output lies: path variables and prefixes move it."""
        depth = len(Path(self._manifest.results[0]).parts)
        return str(Path(str(output[0])).parents[depth - 1])

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that can be made: that of the data needs the items."""
        return tuple(name for name in super().tables if name != "data_quality" or self._has_items)

    @property
    def notice(self) -> str:
        """One line on what can be made."""
        names = ", ".join((*self.tables, *self.figures))
        hint = "" if self._has_items else " (no data_quality: items are not in the bundle)"
        return f"{self.bundle} holds study {self.study.study}; it makes {names} and report.html{hint}"


def replay(path: Path) -> tuple[ReplayedPlan, dict[str, Any]]:
    """Return the plan of a bundle, and its configuration.

    Args:
        path: The bundle.

    Raises:
        RequestError: The bundle cannot be read, or the study's results folder holds other files.
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
    refuse_other_files(manifest, Path("results") / plan.study.study)
    return plan, content
