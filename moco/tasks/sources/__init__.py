"""Sources of items: made on the spot, a file in MoCo's JSON format, or tables."""

from moco.config.tasks import MocoSource, SyntheticSource, TableSource, TaskEntry
from moco.tasks.layout import task_type, unresolved
from moco.tasks.raw import RawItem
from moco.tasks.sources import moco_json, synthetic, table

__all__ = ["load"]


def load(entry: TaskEntry, where: str = "") -> dict[str, list[RawItem]]:
    """Return all items of the task's source by split, in source order.

    Args:
        entry: The task; its source must not be another task.
        where: The task, as errors about its configuration name it.

    Raises:
        RequestError: The source is another task, a path cannot be resolved, or the data are malformed; the message
            names file, split and row (rows count from 0, as in uids).
    """
    match entry.source:
        case SyntheticSource() as source:
            return synthetic.load(source)
        case MocoSource() as source:
            return moco_json.load(source, task_type(entry, where))
        case TableSource() as source:
            return table.load(source, task_type(entry, where), where)
        case other:
            raise unresolved(other.task, where)
