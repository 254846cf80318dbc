"""Registered datasets: one YAML file each in `moco/config/registry`, with where it lies and what is known of it."""

from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import field_validator, model_validator

from moco.config.columns import Function, Value
from moco.config.fields import Section, identity, runtime
from moco.config.release import FILES
from moco.config.tasks import HubSource, Split
from moco.errors import RequestError
from moco.registry import did_you_mean

_FOLDER = Path(__file__).parent / "registry"

Side = Literal["dev", "test"]


class Broken(Section):
    """Items of MoCo's file that no reply can solve."""

    ids: dict[Side, tuple[str, ...]] = identity("Their ids by split.")
    problem: str = runtime("What is wrong with them.")
    by_content: bool = identity(
        "Their content shows it (no gold, no test), so they are found without ids, which may be ambiguous.", False
    )


class Overlap(Section):
    """Items shared with another dataset."""

    dataset: str = runtime("The other dataset.")
    what: str = runtime("What it shares with this one.")


class FileRules(Section):
    """How MoCo's file is read beyond its format."""

    function: Function = identity("Function of `moco.config.oddities` that reads question or group.", None)
    group: Value | None = identity("What items share that must not be split; by the names of the file's fields.", None)
    domain: Value | None = identity("Part of the dataset, where the file calls it otherwise.", None)
    bad_rows: Literal["stop", "drop"] = identity("What happens to rows that are no items.", "stop")
    stratify: bool = identity("Cut dev and test anew, with the same share of every domain.", False)


class Dataset(Section):
    """What is known of a dataset."""

    name: str = identity("Its name, the one that the paper's documentation uses.")
    title: str = runtime("What it is.")
    domain: str = identity("Group under which tables average it.")
    type: str = identity("Default task type.")
    sizes: dict[Side, int] = runtime("Items of MoCo's file by split.")
    hub: HubSource | None = identity("Its source on the hub; null where no copy is known.", None)
    hub_status: str = runtime("How sure repository and columns are.", "")
    elsewhere: str = runtime("Where it lies when the hub has no copy.", "")
    file: FileRules = identity("How MoCo's file is read.", factory=FileRules)
    limit: dict[Split, int] = identity(
        "Default limits of a task.", factory=lambda: {"train": 1000, "dev": 1000, "test": 1000}
    )
    group: str | None = runtime("What the items of a group share.", None)
    group_score: bool = identity("Score 1 only where all items of a group are right.", False)
    family: str | None = runtime("Datasets of one family count once in averages over domains.", None)
    paper: bool = runtime("It belongs to the 25 datasets of the paper.", False)
    gated: bool = runtime("The hub asks to accept terms first.", False)
    licence: str = runtime("Licence of the data.")
    licence_known: Literal["confirmed", "stated", "memory"] = runtime(
        "How sure that is: licence file or hub page, a third party, or memory."
    )
    citation: str = runtime("What to cite.")
    pitfalls: tuple[str, ...] = runtime("What to know before its numbers are read.", ())
    broken: tuple[Broken, ...] = identity("Items of MoCo's file that no reply can solve.", ())
    overlaps: tuple[Overlap, ...] = runtime("Items shared with other datasets.", ())

    @field_validator("hub", mode="before")
    @classmethod
    def _kind(cls, value: Any) -> Any:
        return {"kind": "hub", **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _somewhere(self) -> "Dataset":
        if (self.hub is None) != bool(self.elsewhere):
            raise ValueError("give either hub or elsewhere")
        return self

    @property
    def available(self) -> bool:
        """Whether the release or the hub has it."""
        return self.in_release or self.hub is not None

    @property
    def in_release(self) -> bool:
        """Whether the release has a file of it, which is then its default source."""
        return self.name in FILES

    def broken_ids(self) -> dict[Side, list[str]]:
        """Return the ids of MoCo's file that mark broken items, by split."""
        sides: tuple[Side, ...] = ("dev", "test")
        found = {
            side: [id for entry in self.broken if not entry.by_content for id in entry.ids.get(side, ())]
            for side in sides
        }
        return {side: ids for side, ids in found.items() if ids}


def dataset_names() -> list[str]:
    """Return the names of all registered datasets, in alphabetical order."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


@cache
def dataset(name: str, where: str = "") -> Dataset:
    """Return a registered dataset.

    Args:
        name: Its name.
        where: What named it, as an error says it.

    Raises:
        RequestError: There is no such dataset.
    """
    if name not in dataset_names():
        raise RequestError(f"unknown dataset {name!r}", where=where, remedy=did_you_mean(name, dataset_names()))
    content = yaml.load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), Loader=_Loader)
    return Dataset.model_validate({"name": name, **content})


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
