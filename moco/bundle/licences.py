"""Which tasks' items may be published with results."""

from dataclasses import dataclass
from typing import Literal

from moco.config.datasets import dataset
from moco.config.tasks import SyntheticSource, TaskEntry

FREE = frozenset({"Apache-2.0", "CC BY 4.0", "CC BY-SA 4.0", "MIT", "ODC-BY"})
"""Licences under which anyone may pass items on."""

WITHHELD = frozenset({"gpqa_diamond", "gpqa_extended", "gpqa_main", "mixeval"})
"""Datasets with items whose authors ask, licence or not, that they are not published; mixeval has some of GPQA's."""

Texts = Literal["all", "replies", "none"]


@dataclass(frozen=True)
class Terms:
    """What of a task may be in a bundle.

    Attributes:
        texts: all: questions, references, prompts. replies: what models wrote, without the questions that it repeats.
            none: no words at all, since replies repeat parts of items.
        reason: Why.
    """

    texts: Texts
    reason: str

    @property
    def items(self) -> bool:
        """Whether questions and references are in the bundle."""
        return self.texts == "all"


def terms_of(entry: TaskEntry, *, with_tasks: bool) -> Terms:
    """Return what of a task may be published.

    Args:
        entry: The task, its source resolved.
        with_tasks: Whether items are wanted where their licence allows it.
    """
    if entry.dataset in WITHHELD:
        return Terms("none", f"the authors of {entry.dataset} ask that its items are not published")
    if not with_tasks:
        return Terms("replies", "made without --with-tasks")
    if isinstance(entry.source, SyntheticSource):
        return Terms("all", "made by the workflow itself")
    if entry.dataset is None:
        return Terms("replies", "no registered dataset, so no licence is known")
    known = dataset(entry.dataset)
    if known.licence not in FREE:
        return Terms("replies", f"licence of {entry.dataset}: {known.licence}")
    if known.licence_known == "memory":
        return Terms("replies", f"licence of {entry.dataset}: {known.licence}, but nobody has confirmed it")
    return Terms("all", f"licence of {entry.dataset}: {known.licence}")
