"""Datasets of the Hugging Face hub, or the same folders in a mirror on this machine."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from moco.config.oddities import parameters
from moco.config.tasks import HubSource
from moco.digest import digest
from moco.errors import RequestError, WorkError
from moco.registry import did_you_mean
from moco.seeds import generator
from moco.tasks.item import LETTERS
from moco.tasks.raw import RawItem
from moco.tasks.sources.columns import columns_of, fulfilled, group_label, odd_fields, read
from moco.tasks.sources.fields import kind_of, label, option_texts, question_text
from moco.tasks.sources.moco_json import GOLD_FIELD, read_item
from moco.tasks.sources.table import named_option
from moco.tasks.splits import divide

MIRROR = "MOCO_HUB_MIRROR"
"""Environment variable: a folder with `owner/name` folders that hold what the hub's repositories hold."""

CONFIG = "_config"
"""Column that every row has in addition: its configuration."""


@dataclass(frozen=True)
class Loaded:
    """Items of a hub dataset by split, with the commit of each repository (None where it is unknown)."""

    items: dict[str, list[RawItem]]
    revisions: dict[str, str | None]


def load(source: HubSource, task_type: str, where: str = "") -> Loaded:
    """Return the items of every split.

    Args:
        source: Repository, splits and columns.
        task_type: Type of the task.
        where: The task, as errors about its configuration name it.

    Raises:
        RequestError: Repository, revision, configuration, split or column do not exist, access is not granted, or a row
            is malformed.
        WorkError: The hub cannot be reached and the dataset is not cached.
    """
    # For folders, the library keeps what it once read under a name that does not depend on their content.
    with TemporaryDirectory(prefix="moco-") as scratch:
        return _load(source, task_type, scratch, where)


def _load(source: HubSource, task_type: str, scratch: str, where: str) -> Loaded:
    parts = [_open(source, config, scratch, where) for config in source.configs or (None,)]
    wanted: dict[tuple[str, ...], list[str]] = {}
    for split, names in source.splits.items():
        wanted.setdefault((names,) if isinstance(names, str) else names, []).append(split)
    items: dict[str, list[RawItem]] = {}
    for names, splits in wanted.items():
        pool = _pool(source, parts, names, task_type, where)
        items |= _shared_out(source, splits, pool, where or source.repository)
    return Loaded(items, {part.repository: part.revision for part in parts})


@dataclass(frozen=True)
class _Part:
    """One configuration of a dataset, ready to be read."""

    repository: str
    config: str | None
    revision: str | None
    builder: Any

    def rows(self, split: str, columns: Sequence[str], where: str) -> Iterator[dict[str, Any]]:
        known = list(self.builder.info.splits or ())
        place = f"{self.repository}{f' {self.config}' if self.config else ''}"
        if split not in known:
            raise RequestError(f"{place} has no split {split!r}", where=where, remedy=did_you_mean(split, known))
        data = self.builder.as_dataset(split=split)
        for column in columns:
            if column != CONFIG and column not in data.column_names:
                what = f"column {column!r} is missing in {place}"
                raise RequestError(what, where=where, remedy=did_you_mean(column, data.column_names))
        for row in data.select_columns([column for column in columns if column != CONFIG]):
            yield {**row, CONFIG: self.config or ""}


def _open(source: HubSource, config: str | None, scratch: str, where: str) -> _Part:
    from datasets import disable_progress_bars, load_dataset_builder
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import httpx

    where = f"{where}.source" if where else "source"
    in_name = "{config}" in source.repository
    repository = source.repository.replace("{config}", config or "")
    pinned = source.revision.get(config or "") if isinstance(source.revision, dict) else source.revision
    folder = _mirrored(repository, where)
    disable_progress_bars()
    try:
        builder = load_dataset_builder(
            str(folder or repository),
            None if in_name else config,
            cache_dir=scratch if folder else None,
            revision=None if folder else pinned,
        )
        builder.download_and_prepare()
    except DatasetNotFoundError as error:
        if "gated" in str(error):
            page = f"https://huggingface.co/datasets/{repository}"
            remedy = f"accept its terms at {page}, then set HF_TOKEN"
            raise RequestError(f"{repository} is gated and access is not granted", where=where, remedy=remedy) from None
        what = f"{repository}{f'@{pinned}' if pinned else ''} does not exist, or access is not granted"
        raise RequestError(what, where=where, remedy="check repository and revision, or set HF_TOKEN") from None
    except ValueError as error:
        if "find cache" in str(error):
            raise _unreachable(repository, error, where) from None
        if "BuilderConfig" not in str(error) and "Config name is missing" not in str(error):
            raise
        what = f"{repository} has no configuration {config!r} ({str(error).splitlines()[0][:120]})"
        raise RequestError(what, where=where, remedy="correct source.configs") from None
    except RuntimeError as error:
        if "scripts are no longer supported" not in str(error):
            raise
        what = f"{repository} is a program, not data, and is never run"
        raise RequestError(what, where=where, remedy="name a revision with data files, or use a file") from None
    except (FileNotFoundError, DatasetsError) as error:
        if folder is None and isinstance(error, FileNotFoundError) and not isinstance(error, DatasetsError):
            raise _unreachable(repository, error, where) from None
        what = f"{repository} cannot be read ({type(error).__name__}: {str(error).splitlines()[0][:120]})"
        raise RequestError(what, where=where, remedy="check its data files and source.configs") from None
    except (OSError, HfHubHTTPError, httpx.HTTPError) as error:
        raise _unreachable(repository, error, where) from None
    found = _commit_in(folder) if folder else builder.hash
    if pinned and found and found != pinned:
        place = f"the mirror has {found}" if folder else f"only {found} is cached, and the hub was not reached"
        raise WorkError(f"{repository}@{pinned} is not at hand; {place}", where=where, remedy="fetch that revision")
    return _Part(repository, config, found or pinned, builder)


def _unreachable(repository: str, error: Exception, where: str) -> WorkError:
    what = f"{repository} is neither cached nor reachable ({type(error).__name__})"
    remedy = f"load it once on a machine with a network and the same HF_HOME, or set {MIRROR}"
    return WorkError(what, where=where, remedy=remedy)


def _mirrored(repository: str, where: str) -> Path | None:
    base = os.environ.get(MIRROR)
    if not base:
        return None
    folder = Path(base).expanduser() / repository
    if not folder.is_dir():
        remedy = f"copy the repository there, or unset {MIRROR}"
        raise RequestError(f"the mirror has no folder {folder}", where=where, remedy=remedy)
    return folder.resolve()


def _commit_in(folder: Path) -> str | None:
    """Return the commit that `hf download --local-dir` noted beside the files it wrote, if it did."""
    for note in sorted((folder / ".cache/huggingface/download").rglob("*.metadata")):
        return note.read_text(encoding="utf-8").partition("\n")[0].strip() or None
    return None


def _pool(source: HubSource, parts: Sequence[_Part], names: Sequence[str], task_type: str, where: str) -> list[RawItem]:
    columns = _needed(source)
    pool: list[RawItem] = []
    for part in parts:
        place = "/".join(filter(None, (part.repository, part.config)))
        for name in names:
            for number, row in enumerate(part.rows(name, columns, f"{where}.source" if where else "source")):
                here = f"{place}: {name} row {number}"
                if all(fulfilled(condition, row, here) for condition in source.where):
                    item = _item(source, row, len(pool), task_type, len(parts) > 1, here)
                    if source.longest is None or len(item.question) <= source.longest:
                        pool.append(item)
    return pool


def _needed(source: HubSource) -> list[str]:
    columns = source.columns
    conditions = [condition.column.partition(".")[0] for condition in source.where]
    read_by_function = parameters(source.function) if source.function else []
    values = (*columns.fields().values(), *columns.meta.values())
    return list(dict.fromkeys([*columns_of(*values), *conditions, *read_by_function]))


def _item(source: HubSource, row: Mapping[str, Any], number: int, task_type: str, several: bool, where: str) -> RawItem:
    """Return one item, by way of the form that it has in MoCo's files, so that both have one meaning."""
    fields = {name: read(value, row, where) for name, value in source.columns.fields().items()}
    fields |= odd_fields(source.function, row, where)
    item: dict[str, Any] = {name: read(value, row, where) for name, value in source.columns.meta.items()}
    item["id"] = fields.get("src_id", str(number))
    item["domain"] = label(fields.get("domain", row[CONFIG] if several else None), "domain", where) or None
    question, gold = fields["question"], fields.get("gold")
    if "options" in fields:
        item |= {"question": question, **_choices(source, question, fields["options"], gold, where)}
    else:
        item |= {"input": question, GOLD_FIELD.get(task_type, "output"): gold}
    made = read_item(number, item, task_type, where)
    if "group" in fields:
        made = replace(made, group=group_label(fields["group"]))
    code = {name: fields[name] for name in ("entry_point", "preamble") if name in fields}
    return replace(made, gold={**made.gold, **code}) if code and made.gold_kind == "code" else made


def _choices(source: HubSource, question: Any, options: Any, gold: Any, where: str) -> dict[str, Any]:
    if isinstance(options, dict):
        options = list(options.values())
    if not isinstance(options, list):
        raise RequestError(f"options are {kind_of(options)}, not a list", where=where)
    texts = option_texts({str(position): option for position, option in enumerate(options)}, where)
    right = named_option(source.gold, gold, texts, where).value["index"]
    order = list(range(len(texts)))
    if source.shuffle_options:
        draw = generator("tasks", "options", question_text(question, where), sorted(texts))
        order = [sorted(order, key=lambda at: texts[at])[at] for at in draw.permutation(len(texts))]
    choices = {LETTERS[place]: texts[at] for place, at in enumerate(order)}
    return {"choices": choices, "answer": LETTERS[order.index(right)]}


def _shared_out(source: HubSource, splits: list[str], pool: list[RawItem], where: str) -> dict[str, list[RawItem]]:
    """Return the items of our splits that are cut from one pool."""
    cut = _by_group if source.cut == "group" and len(splits) > 1 else _by_draw
    parts = cut(source, splits, pool, _sizes(source, splits, len(pool)))
    for split, items in parts.items():
        if not items:
            what = f"{source.repository} gives no {split} item ({len(pool)} rows count)"
            raise RequestError(what, where=where, remedy="correct source.where or source.splits")
    return parts


def _sizes(source: HubSource, splits: list[str], total: int) -> dict[str, int]:
    """Return the sizes of splits: as asked for, or in that proportion where there are too few items."""
    most = {str(split): count for split, count in source.items.items()}
    asked = {split: most.get(split, total) for split in splits}
    together = sum(asked.values())
    if together <= total:
        return asked
    ends = [0, *(part * total // together for part in accumulate(asked.values()))]
    return {split: end - start for split, start, end in zip(splits, ends, ends[1:], strict=False)}


def _by_draw(
    source: HubSource, splits: list[str], pool: list[RawItem], sizes: Mapping[str, int]
) -> dict[str, list[RawItem]]:
    parts, left = {}, pool
    for split in splits:
        if sizes[split] >= len(left):
            parts[split], left = left, []
        else:
            left, parts[split] = divide(left, sizes[split], "hub", source.repository, split)
    return parts


def _by_group(
    source: HubSource, splits: list[str], pool: list[RawItem], sizes: Mapping[str, int]
) -> dict[str, list[RawItem]]:
    """Let the group (or question) alone decide, so that every dataset of a repository cuts it in the same way."""
    bounds = list(accumulate(sizes.values()))
    parts: dict[str, list[RawItem]] = {split: [] for split in splits}
    for item in pool:
        name = item.group or digest("group", item.question)
        place = generator("tasks", "hub", source.repository.partition("/")[2], "side", name).random() * bounds[-1]
        parts[next(split for split, bound in zip(splits, bounds, strict=True) if place < bound)].append(item)
    return parts
