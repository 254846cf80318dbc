"""Tasks: where items come from, how splits are cut, how they are prompted and scored."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from moco.config.columns import Columns, Condition, Function, Value
from moco.config.fields import SLUG, Section, identity
from moco.config.models import COMMIT

SPLITS = ("train", "dev", "distill", "test")
Split = Literal["train", "dev", "distill", "test"]
Slug = Annotated[str, Field(pattern=SLUG)]
Count = Annotated[int, Field(ge=0)]
Encoding = Literal["utf-8", "latin-1", "cp1252"]


class SyntheticSource(Section):
    """Items that the zoo's models can solve, made on the spot."""

    kind: Literal["synthetic"] = identity("Items made on the spot.")
    skills: tuple[str, ...] = identity("Skills that are mixed, in equal parts.", min_length=1)
    form: Literal["exact", "choice"] = identity("Free answer or multiple choice.", "exact")
    items: dict[Literal["train", "dev", "test"], Count] = identity(
        "Number of items by split.", factory=lambda: {"train": 200, "dev": 60, "test": 60}
    )
    seed: int = identity("Draws the items.", 0)


class MocoSource(Section):
    """A file in MoCo's JSON format, plain or gzip-compressed."""

    kind: Literal["moco"] = identity("A file in MoCo's JSON format.")
    path: str = identity("File; environment variables are expanded.", min_length=1)
    encoding: Encoding = identity("Encoding of its text.", "utf-8")
    function: Function = identity("Function of `moco/config/oddities.py` that reads question or group.", None)
    group: Value | None = identity("What items share that must not be split; by the names of the file's fields.", None)
    domain: Value | None = identity("Part of the dataset; the field `domain` when left out.", None)
    broken: dict[Literal["dev", "test"], tuple[str, ...]] = identity(
        "Ids of items that no reply can solve, by split.", factory=dict
    )
    stratify: bool = identity(
        "Cut dev and test anew from all items, with the same share of every domain; not with splits: upstream.", False
    )


class HubSource(Section):
    """A dataset of the Hugging Face hub; `$MOCO_HUB_MIRROR/owner/name` serves instead where that variable is set."""

    kind: Literal["hub"] = identity("A dataset of the Hugging Face hub.")
    repository: str = identity(
        "Repository, as owner/name; `{config}` in it stands for each entry of configs.",
        pattern=r"^\w[\w.-]*/[\w{][\w.{}-]*$",
    )
    configs: tuple[str, ...] = identity("Configurations; the default one when left out.", ())
    splits: dict[Literal["train", "dev", "test"], str | tuple[str, ...]] = identity(
        "Split of the source, or several, for each of ours; ours that share one are cut from it without overlap.",
        min_length=1,
    )
    items: dict[Literal["train", "dev", "test"], Annotated[int, Field(ge=1)]] = identity(
        "Most items of each split; all that there are when left out, or equal parts of a shared one.", factory=dict
    )
    cut: Literal["sample", "group"] = identity(
        "How a shared split is cut: a draw in equal shares of domains, or the group alone decides (nested datasets).",
        "sample",
    )
    revision: str | dict[str, str] | None = identity(
        "Commit of the repository, or one for each configuration; `moco pin` writes it. Null follows the repository.",
        None,
    )
    where: tuple[Condition, ...] = identity("Which rows count.", ())
    longest: int | None = identity("Longest question that counts, in characters.", None, ge=1)
    columns: Columns = identity("Columns of the dataset.")
    function: Function = identity("Function of `moco/config/oddities.py` that reads what no column holds.", None)
    gold: Literal["text", "letter", "index", "option_text"] = identity(
        "How the gold names the answer; the last three are for multiple choice.", "text"
    )
    shuffle_options: bool = identity("Put options in a random order, fixed for each question.", False)

    @field_validator("splits")
    @classmethod
    def _shared_as_a_whole(cls, value: dict[str, str | tuple[str, ...]]) -> Any:
        wholes = {(names,) if isinstance(names, str) else names for names in value.values()}
        parts = [name for whole in wholes for name in whole]
        twice = sorted({name for name in parts if parts.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} would be in two splits; share the same splits of the source, or none")
        return value

    @field_validator("revision")
    @classmethod
    def _commits(cls, value: Any) -> Any:
        for commit in value.values() if isinstance(value, dict) else filter(None, [value]):
            if not re.fullmatch(COMMIT, commit):
                raise ValueError(f"{commit!r} is not a commit; write its 40 hexadecimal digits")
        return value


class TableSource(Section):
    """JSONL, CSV, TSV or Parquet files, one a split, with a column mapping."""

    kind: Literal["table"] = identity("JSONL, CSV, TSV or Parquet files.")
    paths: dict[Literal["train", "dev", "test"], Annotated[str, Field(min_length=1)]] = identity(
        "File by split (.jsonl, .csv, .tsv, .parquet; all but the last also with .gz).", min_length=1
    )
    encoding: Encoding = identity("Encoding of their text; Parquet says its own.", "utf-8")
    columns: dict[Literal["question", "options", "gold", "src_id", "group", "domain"], str | list[str]] = identity(
        "Column for each field. `options` is one column with a list or an object, or a list of columns.",
        factory=lambda: {"question": "question", "gold": "answer"},
    )
    gold: Literal["text", "letter", "index", "option_text"] = identity(
        "How the gold column names the answer; the last three are for multiple choice.", "text"
    )


class TaskSource(Section):
    """The items of another task of the study, with other splits (an evolution run, say)."""

    kind: Literal["task"] = identity("The items of another task of this study.")
    task: Slug = identity("That task.")


Source = Annotated[SyntheticSource | MocoSource | HubSource | TableSource | TaskSource, Field(discriminator="kind")]


class TaskEntry(Section):
    """One task. `source` may be written as the name of another task."""

    source: Source = identity("Where the items come from; the release's file, for a registered dataset, when left out.")
    dataset: str | None = identity(
        "Registered dataset (`moco tasks`) that tells what is left out here; the task's own name, where it is one.",
        None,
    )
    type: str | None = identity(
        "Task type; left out where the source says it: synthetic items, and MoCo files with `task_type`.", None
    )
    domain: Slug = identity(
        "Group under which tables average it; tasks of one domain and type form a batch.", "general"
    )
    decoding: Slug = identity("Decoding preset for plain responses and for methods.", "default")
    splits: Literal["clean", "upstream"] = identity(
        "clean leaves out repeats, and test items that dev or train give away; upstream keeps the source as it is.",
        "clean",
    )
    group_pattern: str | None = identity(
        "Regular expression on questions; items for which it finds the same text (its first group) stay together.",
        None,
    )
    limit: dict[Split, int] = identity(
        "Most items by split, drawn with a seed and in equal shares of the source's domains.",
        factory=lambda: {"train": 1000, "dev": 1000, "test": 1000},
    )
    bad_rows: Literal["stop", "drop"] = identity(
        "Rows of one's own files that are no items: stop, or drop them, count them in table data_quality and list them"
        " in dropped.parquet.",
        "stop",
    )
    train: float = identity(
        "Share of dev that is cut off as the train split, where the source has none; what is tuned learns from it.",
        0.0,
        ge=0,
        lt=1,
    )
    distill: float = identity("Share of dev that is cut off as the distill split.", 0.0, ge=0, lt=1)
    seed: int = identity("Draws items and cuts splits.", 0)
    group_score: bool = identity("All items of one group score 1 if each of them is right, else 0.", False)
    answers: int = identity("Answers that a method gives per item (diversity tasks ask for several).", 1, ge=1)

    @field_validator("group_pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"is no regular expression ({error})") from None
        return value

    @model_validator(mode="after")
    def _drops_only_from_files(self) -> "TaskEntry":
        if self.bad_rows == "drop" and not isinstance(self.source, (MocoSource, TableSource, TaskSource)):
            raise ValueError(f"bad_rows: drop is for files, and the source is {self.source.kind}; leave it out")
        return self

    @model_validator(mode="after")
    def _leaves_dev(self) -> "TaskEntry":
        if self.train + self.distill >= 1:
            raise ValueError(f"train = {self.train} and distill = {self.distill} leave nothing of dev; lower them")
        return self

    @model_validator(mode="before")
    @classmethod
    def _task_by_name(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("source"), str):
            return {**data, "source": {"kind": "task", "task": data["source"]}}
        return data
