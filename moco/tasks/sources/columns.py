"""Meaning of the column vocabulary (`moco.config.columns`): from a row of a published dataset to values."""

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moco.config.columns import Condition, Step, Value
from moco.digest import canonical_json, digest
from moco.errors import RequestError
from moco.registry import did_you_mean
from moco.scoring.assertions import called_name
from moco.tasks.sources.fields import brief, kind_of
from moco.tasks.sources.files import parse_json

Row = Mapping[str, Any]

_COLUMN = re.compile(r"\{([^{}]+)\}")
_LABEL = re.compile(r"\s*\(?[A-Za-z]\)\s*")
_BARE_LETTER = re.compile(r"^\(([A-Za-z])\)$")
_LONGEST_GROUP = 64


def read(value: Value, row: Row, where: str) -> Any:
    """Return the value of a row.

    Raises:
        RequestError: A column is missing, or a step does not suit what it finds.
    """
    found: Any
    if value.column is not None:
        found = lookup(row, value.column, where)
    elif value.columns is not None:
        found = [lookup(row, column, where) for column in value.columns]
    elif value.template is not None:
        found = _fill(value.template, row, where)
    else:
        found = value.constant
    return apply(value.steps, found, row, where)


def apply(steps: Sequence[Step], value: Any, row: Row, where: str) -> Any:
    """Return the value after all steps; null stays null.

    Raises:
        RequestError: A step does not suit what it finds.
    """
    for step in steps:
        if value is None:
            return None
        ((name, argument),) = step.items()
        try:
            value = IMPLEMENTED[name](value, argument, row, where)
        except (TypeError, AttributeError, KeyError, ValueError, SyntaxError):
            raise RequestError(f"step {name!r} does not suit {kind_of(value)}", where=where) from None
    return value


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
        paths += [step[name] for step in value.steps for name in ("position_in", "assertions") if name in step]
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


def _json(value: Any, _argument: Any, _row: Row, where: str) -> Any:
    return parse_json(value, where) if isinstance(value, str) else value


def _values(value: Any, _argument: Any, _row: Row, _where: str) -> list[Any]:
    return list(value.values())


def _last_boxed(value: Any, _argument: Any, _row: Row, _where: str) -> str | None:
    start = max(value.rfind(r"\boxed"), value.rfind(r"\fbox"))
    if start < 0:
        return None
    opening = value.find("{", start)
    bare = value[start:opening] if opening >= 0 else value[start:]
    if opening < 0 or bare.strip() not in (r"\boxed", r"\fbox"):
        return value[start:].split("$")[0].partition(" ")[2].strip() or None
    depth = 0
    for place in range(opening, len(value)):
        depth += {"{": 1, "}": -1}.get(value[place], 0)
        if depth == 0:
            return str(value[opening + 1 : place]).strip()
    return None


def _drop_label(value: Any, _argument: Any, _row: Row, _where: str) -> Any:
    if isinstance(value, list):
        return [_LABEL.sub("", text, count=1) if _LABEL.match(text) else text for text in value]
    return _LABEL.sub("", value, count=1) if _LABEL.match(value) else value


def _called_name(value: Any, _argument: Any, _row: Row, _where: str) -> str | None:
    return called_name(ast.parse((value[0] if isinstance(value, list) else value).strip()))


def _after(value: Any, argument: Any, _row: Row, _where: str) -> str:
    return str(value.rpartition(argument)[2]).strip()


def _before(value: Any, argument: Any, _row: Row, _where: str) -> str:
    return str(value.partition(argument)[0]).strip()


def _map(value: Any, argument: Any, _row: Row, where: str) -> Any:
    known = {str(key).casefold(): target for key, target in argument.items()}
    key = str(value).strip().casefold()
    if key not in known:
        raise RequestError(f"{brief(value)} is none of {', '.join(map(str, argument))}", where=where)
    return known[key]


def _index_of(value: Any, argument: Any, _row: Row, _where: str) -> int:
    return int(value.index(argument))


def _position_in(value: Any, argument: Any, row: Row, where: str) -> int:
    return int(lookup(row, argument, where).index(value))


def _first_where(value: Any, argument: Any, _row: Row, _where: str) -> Any:
    return next((entry for entry in value if all(entry.get(key) == item for key, item in argument.items())), None)


def _assertions(value: Any, argument: Any, row: Row, where: str) -> str:
    name = called_name(ast.parse(value[0].strip()))
    setup = (lookup(row, argument, where) or "").strip()
    local = [f"    {name} = candidate"] if name else []
    body = [f"    {line}" for assertion in value for line in assertion.strip().splitlines()]
    return "\n".join([*([setup, ""] if setup else []), "def check(candidate):", *local, *body, ""])


IMPLEMENTED: dict[str, Callable[[Any, Any, Row, str], Any]] = {
    "json": _json,
    "text": lambda value, _argument, _row, _where: str(value),
    "strip": lambda value, _argument, _row, _where: value.strip(),
    "values": _values,
    "last_boxed": _last_boxed,
    "drop_label": _drop_label,
    "bare_letter": lambda value, _argument, _row, _where: _BARE_LETTER.sub(r"\1", value),
    "drop_prefix": lambda value, argument, _row, _where: value.strip().removeprefix(argument).strip(),
    "called_name": _called_name,
    "after": _after,
    "before": _before,
    "map": _map,
    "index_of": _index_of,
    "position_in": _position_in,
    "join": lambda value, argument, _row, _where: argument.join(value),
    "first_where": _first_where,
    "get": lambda value, argument, _row, _where: value.get(argument),
    "assertions": _assertions,
}
"""Every step of `moco.config.columns.STEPS`."""
