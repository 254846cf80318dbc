"""Writing a bundle: the files of a study, with checksums, in a file that is the same bytes for the same content."""

import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from moco import __version__, paths
from moco.bundle.archive import write_archive
from moco.bundle.licences import Terms, terms_of
from moco.bundle.manifest import MANIFEST, RESULTS, STUDY, SUFFIXES, Entry, Manifest
from moco.bundle.redact import Redaction
from moco.bundle.verify import bundle_problems
from moco.config.study import Study
from moco.config.tasks import TaskEntry
from moco.digest import file_digest
from moco.errors import WorkError
from moco.records import read_json, write_json
from moco.records.files import replaced_file

LARGEST_STATE = 64 << 20
"""Bytes; larger arrays of a fit are weights and stay out."""


def create_bundle(
    study: Study,
    tasks: Mapping[str, TaskEntry],
    files: Iterable[str],
    results: Path,
    output: Path,
    *,
    with_tasks: bool,
    home: Path,
) -> Manifest:
    """Write a bundle and return its manifest.

    Args:
        study: The study, finished.
        tasks: Its tasks, with what they take from others filled in.
        files: What is packed, below the results folder.
        results: The study's results folder.
        output: Destination.
        with_tasks: Put questions and references in, where licences allow it.
        home: Folder of the configuration, whose commit is noted.

    Raises:
        WorkError: Files changed meanwhile.
    """
    terms = {name: terms_of(entry, with_tasks=with_tasks) for name, entry in tasks.items()}
    redaction = Redaction(results, terms)
    with tempfile.TemporaryDirectory() as folder:
        staged = _Staged(results, Path(folder), terms, redaction)
        for name in files:
            staged.add(name)
        configuration = Path(folder) / STUDY
        configuration.write_text(resolved_yaml(study), encoding="utf-8")
        # The configuration comes first, so that a plan reads no further.
        files = {STUDY: configuration, **{f"{RESULTS}{name}": path for name, path in staged.files.items()}}
        manifest = Manifest(
            study=study.study,
            moco=__version__,
            commit=_commit(home),
            tasks={
                name: {"items": about.items, "texts": about.texts, "reason": about.reason}
                for name, about in terms.items()
            },
            left_out={f"{RESULTS}{name}": reason for name, reason in staged.left_out.items()},
            entries={name: Entry(file_digest(path), path.stat().st_size) for name, path in files.items()},
        )
        about = Path(folder) / MANIFEST
        about.write_text(manifest.as_json(), encoding="utf-8")
        with replaced_file(output) as temporary:
            write_archive(temporary, [(MANIFEST, about), *files.items()])
            problems = bundle_problems(temporary)
            if problems:
                raise WorkError(
                    f"files changed while they were packed ({problems[0]})", where=str(results), remedy="try again"
                )
    return manifest


def resolved_yaml(study: Study) -> str:
    """Return a study as a configuration that leaves nothing to defaults, without facts of its author's machine."""
    content: dict[str, Any] = study.model_dump(mode="json", exclude={"site"})
    content["methods"] = {
        name: {"method": entry["method"], **entry["params"]} for name, entry in content["methods"].items()
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


class _Staged:
    """Decides for every file whether it goes in, as it is or as a copy without closed words."""

    def __init__(self, results: Path, folder: Path, terms: dict[str, Terms], redaction: Redaction) -> None:
        self._results, self._folder = results, folder
        self._terms, self._redaction = terms, redaction
        self.files: dict[str, Path] = {}
        self.left_out: dict[str, str] = {}

    def add(self, name: str) -> None:
        """Add a file, or note why it stays out."""
        reason = self._obstacle(name)
        if reason is not None:
            self.left_out[name] = reason
            return
        source, copy = self._results / name, self._folder / name
        if name.endswith(".parquet") and self._redaction.write_copy(source, copy):
            self.files[name] = copy
        elif Path(name).name == Path(paths.model_json("x")).name:
            write_json(copy, _without_places(read_json(source)))
            self.files[name] = copy
        else:
            self.files[name] = source

    def _obstacle(self, name: str) -> str | None:
        source = self._results / name
        if not name.endswith(SUFFIXES):
            return "no kind of file that bundles hold"
        if source.is_symlink():
            return "a link"
        tasks = (_tasks_in_path(name) - {paths.ALL}) or (
            self._redaction.tasks_of(source) - {paths.ALL} if name.endswith(".parquet") else frozenset()
        )
        unknown = sorted(tasks - set(self._terms))
        if unknown:
            return f"of task {unknown[0]}, which the study does not compare"
        if name.startswith("tasks/") and Path(name).name in ("questions.parquet", "references.parquet"):
            closed = [about for task in tasks if not (about := self._terms[task]).items]
            if closed:
                return f"holds items; {closed[0].reason}"
        if name.endswith(".safetensors") and source.stat().st_size > LARGEST_STATE:
            return f"larger than {LARGEST_STATE:,} bytes"
        if name.endswith(".json") and self._redaction.tells(source.read_text(encoding="utf-8")):
            return "repeats questions"
        return None


def _tasks_in_path(name: str) -> frozenset[str]:
    """Return the task that a file in a prepared task's or a fitted task's folder is about."""
    parts = name.split("/")
    place = {"tasks": 1, "fits": 5}.get(parts[0], len(parts))
    return frozenset(parts[place : place + 1] if place < len(parts) - 1 else ())


def _without_places(content: Any) -> Any:
    """Return the description of a model without folders of its author's machine."""
    if isinstance(content, dict):
        return {key: "" if key == "location" else _without_places(value) for key, value in content.items()}
    return [_without_places(value) for value in content] if isinstance(content, list) else content


def _commit(folder: Path) -> str | None:
    """Return the commit of the repository that a folder is in, marked where files differ; None outside of one."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
