"""What is known of a task before its items are loaded; cheap enough for planning."""

from moco.config.expand import exists, expand
from moco.config.tasks import SPLITS, HubSource, MocoSource, Split, SyntheticSource, TableSource, TaskEntry
from moco.errors import RequestError
from moco.tasks.stated import stated_type

_TYPE_OF_FORM = {"exact": "exact_match", "choice": "multiple_choice"}
_SCORED_AS = {"exact": ("exact_match", "f1_match"), "choice": ("multiple_choice",)}


def split_layout(entry: TaskEntry, where: str = "") -> tuple[str, ...]:
    """Return the splits that the task will have, in the order train, dev, distill, test.

    Raises:
        RequestError: The source is another task, no split has items, a split is cut off dev without dev, or train is and
            the source has one.
    """
    match entry.source:
        case SyntheticSource(items=items):
            found = {str(split) for split, count in items.items() if count > 0}
        case MocoSource():
            found = {"dev", "test"}
        case HubSource(splits=splits):
            found = {str(split) for split in splits}
        case TableSource(paths=paths):
            found = {str(split) for split in paths}
        case other:
            raise unresolved(other.task, where)
    if not found:
        raise RequestError("no split has items", where=where, remedy="set a positive number in source.items")
    if entry.train > 0 and "train" in found:
        what = "train is cut off dev, but the source has a train split"
        raise RequestError(what, where=where, remedy="remove train")
    for split in cut_off(entry):
        if "dev" not in found:
            what = f"{split} is cut off dev, but the source has no dev split"
            raise RequestError(what, where=where, remedy=f"remove {split}")
        found.add(split)
    return tuple(split for split in SPLITS if split in found)


def cut_off(entry: TaskEntry) -> dict[Split, float]:
    """Return the splits that the task cuts off dev, in the order of cuts, with their shares of the whole."""
    shares: dict[Split, float] = {"train": entry.train, "distill": entry.distill}
    return {split: share for split, share in shares.items() if share > 0}


def task_type(entry: TaskEntry, where: str) -> str:
    """Return the declared task type, or the one that a synthetic source implies or a MoCo file says.

    Raises:
        RequestError: The type is neither declared nor implied, or contradicts the form of a synthetic source.
    """
    if isinstance(entry.source, SyntheticSource):
        form = entry.source.form
        implied = _TYPE_OF_FORM[form]
        if entry.type in (*_TYPE_OF_FORM.values(), "f1_match") and entry.type not in _SCORED_AS[form]:
            raise RequestError(f"type is {entry.type}, but items of form {form!r} are {implied}", where=where)
        return entry.type or implied
    if entry.type is not None:
        return entry.type
    if isinstance(entry.source, MocoSource):
        path = expand(entry.source.path)
        stated = stated_type(path, entry.source.encoding) if exists(path) else None
        if stated is not None:
            return stated
        what = f"type is missing, and {path} {'says none' if exists(path) else 'does not exist'}"
        raise RequestError(what, where=where, remedy="set type, for instance exact_match")
    raise RequestError("type is missing", where=where, remedy="set type, for instance exact_match")


def unresolved(task: str, where: str = "") -> RequestError:
    """Return the error for a source that still names another task."""
    return RequestError(
        f"source is the task {task!r}, not a place that holds items", where=where, remedy="resolve it first"
    )
