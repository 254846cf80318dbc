"""Tasks as planned, and batches: the sets of tasks that jobs work on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moco import paths
from moco.config.datasets import dataset_names
from moco.config.study import Study
from moco.config.tasks import TaskEntry, TaskSource
from moco.digest import digest
from moco.errors import RequestError
from moco.registry import did_you_mean
from moco.scoring.judges import SETS


@dataclass(frozen=True)
class Task:
    """A task as planned: its source resolved, its type and splits known."""

    name: str
    entry: TaskEntry
    type: str
    splits: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """A set of tasks that are worked on in one job: of one domain, type, split layout and decoding.

    Equal sets are one batch, whatever asks for them: the name ends in a digest of the tasks' names.

    Attributes:
        name: Slug; equal for equal sets of tasks.
        tasks: The tasks, sorted.
        type: Task type.
        splits: Splits that the tasks have; others are prepared as empty files and never asked for.
        decoding: Decoding preset.
        answers: Answers that the tasks ask for per item.
    """

    name: str
    tasks: tuple[str, ...]
    type: str
    splits: tuple[str, ...]
    decoding: str
    answers: int = 1

    @property
    def together(self) -> int:
        """Number of replies to an item that are scored together: 1, or as many as the tasks ask for."""
        return self.answers if self.type in SETS else 1


class Batches:
    """All batches that a plan has asked for.

    Args:
        tasks: Tasks of the study.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        self._tasks = tasks
        self._made: dict[tuple[str, ...], tuple[Batch, ...]] = {}
        self.by_name: dict[str, Batch] = {}

    def of(self, tasks: tuple[str, ...]) -> tuple[Batch, ...]:
        """Return tasks in batches, in the order of each batch's first task."""
        if tasks not in self._made:
            groups: dict[tuple[str, str, tuple[str, ...], str, int], list[str]] = {}
            for name in tasks:
                task = self._tasks[name]
                key = (task.entry.domain, task.type, task.splits, task.entry.decoding, task.entry.answers)
                groups.setdefault(key, []).append(name)
            made = tuple(_batch(*key, tuple(sorted(names))) for key, names in groups.items())
            self.by_name.update({batch.name: batch for batch in made})
            self._made[tasks] = made
        return self._made[tasks]

    def of_one(self, task: str) -> Batch:
        """Return the batch of a single task."""
        return self.of((task,))[0]


def _batch(
    domain: str, kind: str, splits: tuple[str, ...], decoding: str, answers: int, tasks: tuple[str, ...]
) -> Batch:
    parts = [domain, kind]
    parts += [split for split in splits if split not in ("dev", "test")]
    parts += [] if "dev" in splits else ["nodev"]
    parts += [decoding] if decoding != "default" else []
    parts += [f"k{answers}"] if answers > 1 else []
    name = "-".join([*parts, digest("batch", list(tasks))[:6]])
    return Batch(paths.short_slug(name), tasks, kind, splits, decoding, answers)


def not_asked_before(tasks: Iterable[str], asked: set[str]) -> tuple[str, ...]:
    """Return the tasks that were not asked before, and note that they are now."""
    fresh = tuple(task for task in tasks if task not in asked)
    asked.update(fresh)
    return fresh


def concrete_entry(study: Study, name: str) -> TaskEntry:
    """Return a task whose source is not another task; limits and seeds of the task itself stay.

    Raises:
        RequestError: The other task is unknown, or tasks refer to each other in a circle.
    """
    entry, seen = study.tasks[name], [name]
    source = entry.source
    while isinstance(source, TaskSource):
        if source.task not in study.tasks:
            raise RequestError(
                f"unknown task {source.task!r}",
                where=f"tasks.{seen[-1]}.source",
                remedy=did_you_mean(source.task, [*study.tasks, *dataset_names()]),
            )
        if source.task in seen:
            raise RequestError(
                f"source leads back to {source.task!r}", where=f"tasks.{name}.source", remedy="name a real source"
            )
        seen.append(source.task)
        origin = study.tasks[source.task]
        inherited = {
            "type": entry.type or origin.type,
            "group_score": entry.group_score or origin.group_score,
            "bad_rows": "drop" if "drop" in (entry.bad_rows, origin.bad_rows) else "stop",
        }
        entry = entry.model_copy(update=inherited)
        source = study.tasks[source.task].source
    return entry.model_copy(update={"source": source})
