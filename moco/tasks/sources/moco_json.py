"""Files in MoCo's JSON format: one object with the lists `dev` and `test`."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from moco.config.expand import expand
from moco.config.tasks import MocoSource
from moco.errors import RequestError
from moco.registry import did_you_mean
from moco.tasks.item import NULL_OPTIONS
from moco.tasks.raw import RawItem
from moco.tasks.sources.columns import group_label, odd_fields
from moco.tasks.sources.columns import read as read_value
from moco.tasks.sources.fields import brief, kind_of, label, option_texts, question_text, storable
from moco.tasks.sources.files import opened, parse_json, refuse_other_format, undecodable
from moco.tasks.sources.gold import GOLD_REQUIRED, Gold, open_gold, option_gold
from moco.tasks.sources.rows import RowResult, SplitRows
from moco.tasks.sources.structured import STRUCTURED, structured
from moco.tasks.splits import divide

GOLD_FIELD = {"coding": "test", "noncompliance": "category", "generation_diversity": "reference"}
_Split = Literal["dev", "test"]
_LARGEST = 1 << 29


def read(source: MocoSource, task_type: str, *, as_filed: bool = False) -> dict[str, SplitRows]:
    """Return the rows of dev and test. The format has no lines, so the whole file is held.

    Args:
        source: The file.
        task_type: Type of the task.
        as_filed: Keep dev and test as the file has them, even where the source says `stratify`.

    Raises:
        RequestError: The file is missing or damaged; while rows are read, also that a split is missing or empty.
    """
    path = expand(source.path)
    data = _read(path, source.encoding)
    splits: tuple[_Split, ...] = ("dev", "test")
    rows: dict[str, SplitRows] = {
        split: SplitRows(partial(_split, data, split, source, task_type, f"{path}: {split}")) for split in splits
    }
    if source.stratify and not as_filed:
        return {split: SplitRows(partial(_stratified, rows, split)) for split in splits}
    return rows


def _stratified(rows: Mapping[str, SplitRows], split: _Split) -> Iterator[RowResult]:
    """Yield a split of about its size, cut anew from dev and test together, with the same share of every domain.

    An item's row is its place in dev and test, one after the other. All rows must be items.
    """
    read = {name: list(each.items()) for name, each in rows.items()}
    items = [replace(item, row=row) for row, item in enumerate(item for each in read.values() for item in each)]
    dev, test = divide(items, len(read["test"]), "stratified")
    yield from dev if split == "dev" else test


def _read(path: Path, encoding: str) -> dict[str, Any]:
    with opened(path, str(path)) as stream:
        raw = stream.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        raise RequestError(f"is larger than {_LARGEST >> 20} MiB", where=str(path), remedy="use JSONL files")
    refuse_other_format(raw, str(path))
    try:
        text = raw.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError:
        raise undecodable(str(path), encoding) from None
    data = parse_json(text, str(path))
    if not isinstance(data, dict):
        raise RequestError(f"is {kind_of(data)}, not an object with dev and test", where=str(path))
    return data


def _split(data: dict[str, Any], split: _Split, source: MocoSource, task_type: str, where: str) -> Iterator[RowResult]:
    if split not in data:
        raise RequestError("split is missing", where=where)
    rows = data[split]
    if not isinstance(rows, list):
        raise RequestError(f"is {kind_of(rows)}, not a list", where=where)
    if not rows:
        raise RequestError("split is empty", where=where)
    broken = frozenset(source.broken.get(split, ()))
    for row, item in enumerate(rows):
        try:
            yield _corrected(row, item, source, broken, task_type, f"{where} row {row}")
        except RequestError as fault:
            yield fault


def _corrected(row: int, item: Any, source: MocoSource, broken: frozenset[str], task_type: str, where: str) -> RawItem:
    """Return an item with what the source's rules say about its question, its group and whether it can be judged."""
    is_broken = isinstance(item, dict) and str(item.get("id")) in broken
    if is_broken:
        item = with_null_options(item)
    if source.domain is not None and isinstance(item, dict):
        item = {**item, "domain": label(read_value(source.domain, item, where), "domain", where)}
    made = read_item(row, item, task_type, where)
    odd = odd_fields(source.function, item, where)
    question = question_text(odd.get("question", made.question), where)
    group = made.group
    if source.group or "group" in odd:
        group = group_label(read_value(source.group, item, where) if source.group else odd["group"])
    return replace(made, question=question, group=group, valid=made.valid and not is_broken)


def with_null_options(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item of which options may be null: each becomes a dash, and their positions are noted."""
    choices = item.get("choices")
    if not isinstance(choices, dict) or None not in choices.values():
        return item
    nulls = [place for place, text in enumerate(choices.values()) if text is None]
    return {
        **item,
        "choices": {key: "-" if text is None else text for key, text in choices.items()},
        NULL_OPTIONS: nulls,
    }


def read_item(row: int, item: Any, task_type: str, where: str) -> RawItem:
    """Return one item of MoCo's JSON format.

    Args:
        row: Its position in its split.
        item: What the file holds.
        task_type: Type of the task.
        where: File, split and row, as errors name them.

    Raises:
        RequestError: A field is missing, or does not suit the task type.
    """
    if not isinstance(item, dict):
        raise RequestError(f"item is {kind_of(item)}, not an object", where=where)
    rest = dict(item)
    src_id = label(rest.pop("id", None), "id", where)
    domain = label(rest.pop("domain", None), "domain", where)
    group = label(rest.pop("question_id", None), "question_id", where) or None
    options = None
    if task_type == "multiple_choice" or (task_type == "general_verifier" and "choices" in rest):
        question = question_text(_take(rest, "question", where), where)
        choices = _take(rest, "choices", where)
        if not isinstance(choices, dict):
            raise RequestError(f"choices is {kind_of(choices)}, not an object", where=where)
        options = option_texts(choices, where)
        key = _take(rest, "answer", where)
        if not isinstance(key, str) or key not in choices:
            shown = brief(key) if isinstance(key, str) else kind_of(key)
            raise RequestError(
                f"answer is {shown}, not one of the options {', '.join(map(brief, choices))}", where=where
            )
        gold = option_gold(list(choices).index(key), key)
    elif task_type in STRUCTURED:
        given = rest.pop("output", None)  # of sources that map columns, which name one for the gold
        found = structured(task_type, {**item, **(given if isinstance(given, dict) else {})}, where)
        question = question_text(_take(rest, "input", where) if found.question is None else found.question, where)
        gold = Gold(found.gold, found.kind)
        rest = {name: value for name, value in found.rest.items() if name in rest}
        domain, group = domain or found.domain, group or found.group
    else:
        question = question_text(_take(rest, "input", where), where)
        field = GOLD_FIELD.get(task_type, "output")
        value = _take(rest, field, where) if task_type in GOLD_REQUIRED else rest.pop(field, None)
        answer_type = item.get("answer_type")
        gold = open_gold(
            task_type,
            value,
            where,
            question=question,
            answer_type=answer_type if isinstance(answer_type, str) else "",
            domain=domain,
        )
        if gold.kind == "aliases" and isinstance(value, str):
            rest[field] = value  # the `paper` rules split the list's text, not the list
    made = RawItem(
        row=row,
        question=question,
        gold=gold.value,
        gold_kind=gold.kind,
        options=options,
        src_id=src_id,
        domain=domain,
        group=group,
        valid=gold.valid,
        meta=rest,
    )
    return storable(made, where)


def _take(item: dict[str, Any], name: str, where: str) -> Any:
    if name not in item:
        raise RequestError(f"field {name!r} is missing", where=where, remedy=did_you_mean(name, item))
    return item.pop(name)
