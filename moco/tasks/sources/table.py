"""JSONL, CSV, TSV and Parquet files, one a split, read row by row."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from moco.config.expand import expand
from moco.config.tasks import TableSource
from moco.errors import RequestError
from moco.registry import did_you_mean
from moco.tasks.blanks import even_blanks
from moco.tasks.item import LETTERS
from moco.tasks.raw import RawItem
from moco.tasks.sources.fields import brief, kind_of, label, option_texts, question_text, storable
from moco.tasks.sources.files import LONGEST_LINE, lines, opened, parse_json, too_long, undecodable
from moco.tasks.sources.gold import GOLD_REQUIRED, Gold, open_gold, option_gold
from moco.tasks.sources.rows import RowResult, SplitRows

Row = dict[str, Any]
Placed = tuple[str, Row | RequestError]

_BATCH_ROWS = 1024
_SEPARATORS = {".csv": ",;\t", ".tsv": "\t,;"}


def read(source: TableSource, task_type: str, where: str = "") -> dict[str, SplitRows]:
    """Return the rows of every split that has a file.

    Args:
        source: Files and columns.
        task_type: Type of the task.
        where: The task, as errors about its configuration name it.

    Raises:
        RequestError: Columns and task type do not go together; while rows are read, also that a file is missing,
            damaged or empty.
    """
    columns = _columns(source, task_type, where)
    return {
        split: SplitRows(partial(_split, columns, task_type, expand(path), split, source.encoding))
        for split, path in source.paths.items()
    }


@dataclass(frozen=True)
class _Columns:
    """A checked column mapping; `options` is one column with a list, or one column per option."""

    question: str
    options: str | tuple[str, ...] | None
    gold: str | None
    gold_form: str
    src_id: str | None
    group: str | None
    domain: str | None

    def names(self) -> list[str]:
        options = [self.options] if isinstance(self.options, str) else list(self.options or ())
        single = (self.question, self.gold, self.src_id, self.group, self.domain)
        return list(dict.fromkeys([*(name for name in single if name is not None), *options]))


def _columns(source: TableSource, task_type: str, where: str) -> _Columns:
    where = f"{where}.source" if where else "source"
    single: dict[str, str] = {}
    options: str | tuple[str, ...] | None = None
    for field, column in source.columns.items():
        if field == "options":
            options = column if isinstance(column, str) else tuple(column)
        elif isinstance(column, str):
            single[field] = column
        else:
            raise RequestError(f"columns.{field} is a list, not one column", where=where, remedy="name one column")
    if "question" not in single:
        raise RequestError("columns.question is missing", where=where, remedy="name the column of the question")
    if "gold" not in single and task_type in GOLD_REQUIRED:
        what = f"columns.gold is missing, which {task_type} needs"
        raise RequestError(what, where=where, remedy="name the column of the right answer")
    if options is None and task_type == "multiple_choice":
        what = "columns.options is missing, which multiple_choice needs"
        raise RequestError(what, where=where, remedy="name the column, or the columns, of the options")
    if options is not None and task_type not in ("multiple_choice", "general_verifier"):
        what = f"columns.options is set, but {task_type} has no options"
        raise RequestError(what, where=where, remedy="leave it out, or set type: multiple_choice")
    if (options is None) != (source.gold == "text"):
        fitting = "text" if options is None else "letter, index or option_text"
        raise RequestError(f"gold is {source.gold!r}", where=where, remedy=f"this task needs {fitting}")
    return _Columns(
        question=single["question"],
        options=options,
        gold=single.get("gold"),
        gold_form=source.gold,
        src_id=single.get("src_id"),
        group=single.get("group"),
        domain=single.get("domain"),
    )


def _split(columns: _Columns, task_type: str, path: Path, split: str, encoding: str) -> Iterator[RowResult]:
    row = -1
    for row, (where, values) in enumerate(placed_rows(path, split, columns.names(), encoding)):
        yield values if isinstance(values, RequestError) else _result(columns, task_type, row, values, where)
    if row < 0:
        raise RequestError("split is empty", where=f"{path}: {split}")


def _result(columns: _Columns, task_type: str, row: int, values: Row, where: str) -> RowResult:
    try:
        return storable(_item(columns, task_type, row, values, where), where)
    except RequestError as fault:
        return fault


def _item(columns: _Columns, task_type: str, row: int, values: Row, where: str) -> RawItem:
    question = question_text(values[columns.question], where)
    domain = label(values[columns.domain], "domain", where) if columns.domain else ""
    value = values[columns.gold] if columns.gold else None
    options = None
    if columns.options is not None:
        named = _options(columns.options, values, where)
        options = option_texts(named, where)
        gold = _keyed_option(value, named) if columns.gold_form == "letter" else None
        gold = gold or named_option(columns.gold_form, value, options, where)
    else:
        gold = open_gold(task_type, value, where, question=question, domain=domain)
    return RawItem(
        row=row,
        question=question,
        gold=gold.value,
        gold_kind=gold.kind,
        options=options,
        src_id=label(values[columns.src_id], "src_id", where) if columns.src_id else "",
        domain=domain,
        group=(label(values[columns.group], "group", where) or None) if columns.group else None,
        valid=gold.valid,
    )


def _options(columns: str | tuple[str, ...], values: Row, where: str) -> dict[str, Any]:
    """Return the options in order: by their columns, by their keys in an object, or by their positions in a list."""
    if not isinstance(columns, str):
        return {name: values[name] for name in columns}
    found = values[columns]
    if isinstance(found, str):
        found = parse_json(found, f"{where} column {columns!r}")
    if isinstance(found, dict):
        texts, labels = found.get("text"), found.get("label")
        if isinstance(texts, list) and isinstance(labels, list) and len(texts) == len(set(map(str, labels))):
            return dict(zip(map(str, labels), texts, strict=True))  # two columns in one, as published datasets have it
        return found
    if not isinstance(found, list):
        what = f"column {columns!r} holds {kind_of(found)}, not a list or an object of options"
        raise RequestError(what, where=where)
    return {str(position): text for position, text in enumerate(found)}


def _keyed_option(value: Any, named: dict[str, Any]) -> Gold | None:
    """Return the gold option by its key in an object, whatever the order of the keys; None where no key is meant."""
    key = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not key or list(named) == [str(position) for position in range(len(named))]:
        return None
    folded = [name.strip().upper() for name in named]
    return option_gold(folded.index(key.upper()), key) if folded.count(key.upper()) == 1 else None


def named_option(form: str, value: Any, options: tuple[str, ...], where: str) -> Gold:
    """Return the gold option that a letter, a position or a text names.

    Raises:
        RequestError: It names none of them.
    """
    position: int | None = None
    if form == "letter" and isinstance(value, str):
        letter = value.strip().upper()
        position = LETTERS.index(letter) if len(letter) == 1 and letter in LETTERS else None
    elif form == "index":
        position = _whole(value)
    elif form == "option_text" and isinstance(value, str):
        texts, wanted = [even_blanks(option) for option in options], even_blanks(value)
        position = texts.index(wanted) if wanted in texts else None
    if position is None or not 0 <= position < len(options):
        shown = kind_of(value) if form == "option_text" or not isinstance(value, (str, int)) else brief(value)
        raise RequestError(f"gold ({shown}) is not the {form} of one of the {len(options)} options", where=where)
    return option_gold(position, LETTERS[position])


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return None


def placed_rows(path: Path, split: str, columns: list[str], encoding: str) -> Iterator[Placed]:
    """Yield every row with its place: all the columns asked for, or what is wrong with it."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    compressed = suffixes[-1:] == [".gz"]
    match suffixes[:-1][-1:] if compressed else suffixes[-1:]:
        case [".jsonl"]:
            return _jsonl(path, split, columns, encoding)
        case [".csv" | ".tsv" as suffix]:
            return _csv(path, split, columns, encoding, _SEPARATORS[suffix])
        case [".parquet"] if not compressed:
            return _parquet(path, split, columns)
    raise RequestError(
        "unknown file format",
        where=f"{path}: {split}",
        remedy="use .jsonl, .csv or .parquet, or .tsv; all but .parquet also with .gz",
    )


def _jsonl(path: Path, split: str, columns: list[str], encoding: str) -> Iterator[Placed]:
    row = 0
    with opened(path, f"{path}: {split}") as stream:
        for number, line in enumerate(lines(stream, f"{path}: {split}"), start=1):
            if not line or line.isspace():
                continue
            where = f"{path}: {split} row {row} (line {number})"
            yield where, _json_row(line, columns, encoding, where)
            row += 1


def _json_row(line: bytes, columns: list[str], encoding: str, where: str) -> Row | RequestError:
    if len(line) > LONGEST_LINE:
        return too_long(where)
    try:
        values = parse_json(line.decode(encoding), where)
        if not isinstance(values, dict):
            raise RequestError(f"row is {kind_of(values)}, not an object", where=where)
        _require(columns, values, where)
    except UnicodeDecodeError:
        return undecodable(where, encoding)
    except RequestError as fault:
        return fault
    return values


def _csv(path: Path, split: str, columns: list[str], encoding: str, separators: str) -> Iterator[Placed]:
    with opened(path, f"{path}: {split}") as stream:
        texts = _csv_lines(stream, f"{path}: {split}", encoding)
        first = next(texts, "")
        reader = csv.reader(chain([first], texts), strict=True, **_form(first, columns, separators))
        try:
            header = [name.strip() for name in next(reader, [])]
        except csv.Error as error:
            raise RequestError(f"is not CSV ({error})", where=f"{path}: {split}") from None
        _require(columns, header, f"{path}: {split}")
        for name in columns:
            if header.count(name) > 1:
                raise RequestError(f"column {name!r} occurs twice", where=f"{path}: {split}")
        row = 0
        while (cells := _csv_cells(reader)) is not None:
            if cells:
                where = f"{path}: {split} row {row} (line {reader.line_num})"
                yield where, _csv_row(header, cells, encoding, where)
                row += 1


def _form(header: str, columns: list[str], separators: str) -> dict[str, Any]:
    """Return separator and handling of blanks that a header tells.

    The separator is the first under which the header has most of the columns asked for; where a blank follows a
    separator in the header, blanks that follow one are left out everywhere.
    """

    def cells(separator: str) -> list[str]:
        try:
            return next(csv.reader([header], delimiter=separator, skipinitialspace=True), [])
        except csv.Error:
            return []

    found = {separator: {cell.strip() for cell in cells(separator)} for separator in separators}
    best = max(separators, key=lambda separator: len(found[separator].intersection(columns)))
    return {"delimiter": best, "skipinitialspace": f"{best} " in header}


def _csv_lines(stream: IO[bytes], where: str, encoding: str) -> Iterator[str]:
    for number, line in enumerate(lines(stream, where), start=1):
        if len(line) > LONGEST_LINE:
            raise too_long(f"{where} (line {number})")
        yield line.decode(encoding, errors="surrogateescape")  # so that the rows after bad bytes can be read


def _csv_cells(reader: Iterator[list[str]]) -> list[str] | csv.Error | None:
    """Return the next row, what is wrong with it, or None at the end."""
    try:
        return next(reader, None)
    except csv.Error as error:
        return error


def _csv_row(header: list[str], cells: list[str] | csv.Error, encoding: str, where: str) -> Row | RequestError:
    if isinstance(cells, csv.Error):
        return RequestError(f"is not CSV ({cells})", where=where)
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return undecodable(where, encoding)
    if len(cells) != len(header):
        return RequestError(f"row has {len(cells)} cells, the header {len(header)}", where=where)
    return dict(zip(header, cells, strict=True))


def _parquet(path: Path, split: str, columns: list[str]) -> Iterator[Placed]:
    row = 0
    with opened(path, f"{path}: {split}") as stream:
        try:
            table = pq.ParquetFile(stream)
            _require(columns, table.schema_arrow.names, f"{path}: {split}")
            for batch in table.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
                for values in batch.to_pylist():
                    yield f"{path}: {split} row {row}", {name: _null(value) for name, value in values.items()}
                    row += 1
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise RequestError(f"is not a sound Parquet file ({error})", where=f"{path}: {split} row {row}") from None


def _null(value: Any) -> Any:
    """Return a value as a row of JSON has it.

    Data frames store a missing number as NaN, and Parquet a key that only other rows have as null.
    """
    if isinstance(value, dict):
        return {name: item for name, item in value.items() if item is not None}
    return None if isinstance(value, float) and math.isnan(value) else value


def _require(columns: list[str], present: Any, where: str) -> None:
    for name in columns:
        if name not in present:
            raise RequestError(f"column {name!r} is missing", where=where, remedy=did_you_mean(name, present))
