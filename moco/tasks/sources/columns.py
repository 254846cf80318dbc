"""Meaning of the column vocabulary (`moco.config.columns`): from a row of a published dataset to values."""

import re
from collections.abc import Mapping
from typing import Any

from moco.config.columns import Condition, Value
from moco.config.oddities import FUNCTIONS, parameters
from moco.digest import canonical_json, digest
from moco.errors import RequestError
from moco.registry import did_you_mean

Row = Mapping[str, Any]

_COLUMN = re.compile(r"\{([^{}]+)\}")
_LONGEST_GROUP = 64


def read(value: Value, row: Row, where: str) -> Any:
    """Return the value of a row.

    Raises:
        RequestError: A column is missing.
    """
    if value.column is not None:
        return lookup(row, value.column, where)
    if value.columns is not None:
        return [lookup(row, column, where) for column in value.columns]
    return value.constant if value.template is None else _fill(value.template, row, where)


def odd_fields(function: str | None, row: Row, where: str) -> dict[str, Any]:
    """Return what a function of `moco.config.oddities` reads from a row.

    Raises:
        RequestError: A column is missing, or the function does not suit what it finds.
    """
    if function is None:
        return {}
    values = [lookup(row, name, where) for name in parameters(function)]
    try:
        return FUNCTIONS[function](*values)
    except (TypeError, AttributeError, LookupError, ValueError, SyntaxError):
        raise RequestError(f"function {function!r} does not suit the row", where=where) from None


def lookup(row: Row, path: str, where: str) -> Any:
    """Return a column; dots lead into nested objects.

    Raises:
        RequestError: There is no such column.
    """
    found: Any = row
    for part in [path] if path in row else path.split("."):
        if isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
            continue
        if not isinstance(found, Mapping) or part not in found:
            known = found if isinstance(found, Mapping) else ()
            raise RequestError(f"column {path!r} is missing", where=where, remedy=did_you_mean(part, map(str, known)))
        found = found[part]
    return found


def fulfilled(condition: Condition, row: Row, where: str) -> bool:
    """Tell whether a row fulfils a condition.

    Raises:
        RequestError: The column is missing.
    """
    found = lookup(row, condition.column, where)
    if condition.among is not None and found not in condition.among:
        return False
    if condition.starts_with is not None and not str(found).startswith(condition.starts_with):
        return False
    return condition.missing is None or condition.missing == _is_empty(found)


def group_label(value: Any) -> str | None:
    """Return a group as a short label: texts that are long, a passage say, by their digest."""
    if _is_empty(value):
        return None
    text = value if isinstance(value, str) else canonical_json(value)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_GROUP else digest("group", text)[:16]


def columns_of(*values: Value | None) -> list[str]:
    """Return the top-level columns that values read."""
    paths: list[str] = []
    for value in values:
        if value is None:
            continue
        paths += [value.column] if value.column is not None else list(value.columns or ())
        paths += _COLUMN.findall(value.template or "")
    return list(dict.fromkeys(path.partition(".")[0] for path in paths))


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or value == []


def _fill(template: str, row: Row, where: str) -> str:
    lines = []
    for line in template.split("\n"):
        found = {path: lookup(row, path, where) for path in _COLUMN.findall(line)}
        if found and all(_is_empty(value) for value in found.values()):
            continue
        lines.append(_COLUMN.sub(lambda match, found=found: _shown(found[match[1]]), line))  # type: ignore[misc]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)
