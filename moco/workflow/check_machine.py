"""What `moco check` finds on this machine: missing files, unpinned revisions, unreadable data, too small a disk."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from moco.config.expand import exists, expand
from moco.config.models import AdapterModel, HubModel, LocalModel, ServerModel, ZooModel
from moco.config.problems import Problem
from moco.config.release import remedy_for
from moco.config.study import Study
from moco.config.tasks import SyntheticSource, TaskSource
from moco.errors import MocoError, RequestError
from moco.models.gguf import is_gguf, problem_of
from moco.scoring import task_types
from moco.scoring.catalogue import RUNS_CODE
from moco.tasks.layout import split_layout, task_type
from moco.workflow.batches import concrete_entry
from moco.workflow.matrix import Matrix
from moco.zoo.roster import ROSTER
from moco.zoo.skills import SKILLS

if TYPE_CHECKING:
    from moco.tasks.selection import Selection

_LARGEST_CHECKED_FILE = 200_000_000
_BYTES_OF_A_MERGE = 2  # per parameter


def machine_problems(study: Study, results: Path, *, planned: bool = True) -> list[Problem]:
    """Return missing files, unpinned revisions, unreadable data, and checkpoints that do not fit on the disk.

    Args:
        study: The study.
        results: The results folder.
        planned: Whether the study can be planned, so that the checkpoints it will make are known.

    What a limit leaves out, and tasks that give each other's test items away, are warnings.
    """
    return [
        *_model_files(study),
        *_corpora(study),
        *_data(study),
        *_isolation(study),
        *(_disk(study, results) if planned else ()),
    ]


def _model_files(study: Study) -> Iterator[Problem]:
    for name, entry in study.models.items():
        key = f"models.{name}"
        path = entry.path if isinstance(entry, (LocalModel, AdapterModel)) else None
        if path is not None:
            config = "adapter_config.json" if isinstance(entry, AdapterModel) else "config.json"
            yield from _folder_problems(f"{key}.path", path, config)
        repo = entry.repo if isinstance(entry, (HubModel, AdapterModel)) else None
        if isinstance(entry, ServerModel):
            yield from _api_key(key, entry)
        if repo is not None and getattr(entry, "revision", None) is None:
            yield Problem(f"{key}.revision", "is not pinned", f"write the commit of {repo}")


def _api_key(key: str, entry: ServerModel) -> Iterator[Problem]:
    variable = entry.requests.key_env
    if variable is not None and not os.environ.get(variable):
        what = f"environment variable {variable}, which should hold the API key, is not set"
        yield Problem(f"{key}.requests.key_env", what, "set it before you run the study")


def _folder_problems(key: str, path: str, config: str) -> Iterator[Problem]:
    try:
        folder = expand(path)
    except MocoError as error:
        yield Problem(key, error.what, error.remedy)
        return
    if not exists(folder):
        yield Problem(key, f"{folder} does not exist", remedy_for(path))
    elif is_gguf(folder):
        if (found := problem_of(folder)) is not None:
            yield Problem(key, *found)
    elif not (folder / config).is_file():
        yield Problem(key, f"{folder} holds no {config}", "name the folder of a checkpoint in the transformers layout")


def _corpora(study: Study) -> Iterator[Problem]:
    for name, entry in study.corpora.items():
        key = f"corpora.{name}.path"
        try:
            path = expand(entry.path)
        except MocoError as error:
            yield Problem(key, error.what, error.remedy)
            continue
        if not path.is_file():
            yield Problem(key, f"{path} does not exist", "correct the path")


def _data(study: Study) -> Iterator[Problem]:
    from moco.tasks.paths import source_files
    from moco.tasks.selection import select
    from moco.tasks.sources import open_source

    selections: dict[str, Selection] = {}
    told: set[str] = set()
    for name, declared in sorted(study.tasks.items(), key=lambda task: isinstance(task[1].source, TaskSource)):
        key = f"tasks.{name}"
        try:
            entry = concrete_entry(study, name)
            split_layout(entry, key)
            files = source_files(entry).values()
            missing = [path for path in files if not exists(path)]
            if missing:
                configured = next(path for path, found in source_files(entry).items() if found == missing[0])
                what, remedy = f"{missing[0]} does not exist", remedy_for(configured)
                raise RequestError(what, where=f"{key}.source", remedy=remedy)
            if task_type(entry, key) not in task_types():
                continue  # which is told elsewhere; nothing says what its rows should hold
            skills = entry.source.skills if isinstance(entry.source, SyntheticSource) else ()
            if len(SKILLS.keys() & skills) < len(skills):
                continue  # likewise
            if isinstance(entry.source, SyntheticSource):
                select(entry, open_source(entry, key).rows, key)
            elif files and sum(path.stat().st_size for path in files) <= _LARGEST_CHECKED_FILE:
                selections[name] = select(entry, open_source(entry, key).rows, key)
                yield from _left_out(key, selections[name])
        except MocoError as error:
            where = error.where if error.where.startswith(key) else f"{key} ({error.where})"
            if not (isinstance(declared.source, TaskSource) and error.what in told):  # told of the task it names
                yield Problem(where, error.what, error.remedy)
            told.add(error.what)
    if study.methods:
        yield from _shared_items(selections)


def _left_out(key: str, selection: "Selection") -> Iterator[Problem]:
    for note in selection.notes():
        yield Problem(key, note, "see table data_quality", warning=True)


def _shared_items(selections: "Mapping[str, Selection]") -> Iterator[Problem]:
    """Find tasks whose test items methods can learn from another task."""
    learned = {
        name: {item.asked for split, items in selection.kept.items() if split != "test" for item in items}
        for name, selection in selections.items()
    }
    for name, selection in selections.items():
        tested = [item.asked for item in selection.kept.get("test", ())]
        for other, given in learned.items():
            count = sum(asked in given for asked in tested)
            if count and other != name:
                what = f"dev or train of {other} hold {count} of its test items, so what is fitted on both tasks has seen them"
                yield Problem(f"tasks.{name}", what, "compare the tasks apart, see table data_quality", warning=True)


def _disk(study: Study, results: Path) -> Iterator[Problem]:
    matrix = Matrix(study)
    # Merges are temporary: what counts is the largest, beside the one before it.
    needed = 2 * _BYTES_OF_A_MERGE * max((matrix.nodes.parameters(name) or 0 for name in matrix.made), default=0)
    needed += sum(
        4 * ROSTER[entry.recipe or name].parameters
        for name in matrix.models
        if isinstance(entry := matrix.nodes.entry(name), ZooModel)
    )
    place = results.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        what = f"planned checkpoints need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free below {place}"
        yield Problem("models", what, "free space, or use another folder")


def tasks_of_programs(study: Study) -> list[str]:
    """Return tasks whose replies are executed; tasks with mistakes are reported elsewhere."""
    return [name for name, kind in _types(study).items() if kind in RUNS_CODE]


def _types(study: Study) -> dict[str, str]:
    types = {}
    for name in study.tasks:
        with suppress(MocoError):
            types[name] = task_type(concrete_entry(study, name), f"tasks.{name}")
    return types


def _isolation(study: Study) -> Iterator[Problem]:
    types = _types(study)
    if "smdd" in types.values():
        from moco.scoring.molecules import require_rdkit

        try:
            require_rdkit()
        except MocoError as error:
            yield Problem("tasks", error.what, error.remedy)
    if "kernel_bench" in types.values() and study.scoring.code.isolation != "limits":
        what = "kernels run on a GPU, which no sandbox has: tasks of type kernel_bench are not scored"
        yield Problem(
            "scoring.code.isolation", what, "set it to limits, which protects against accidents only", warning=True
        )
    if not RUNS_CODE.isdisjoint(types.values()):
        from moco.scoring.sandbox.runs import runner

        try:
            runner(study.scoring.code.isolation)
        except MocoError as error:
            yield Problem(error.where, error.what, error.remedy)
