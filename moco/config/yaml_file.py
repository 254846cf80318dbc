"""Reading of YAML: what `moco check` and a run both refuse, since Snakemake's own reader would take it without a word."""

import datetime
import json
import re
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any

import yaml

from moco.config.problems import InvalidStudy, Problem, described
from moco.errors import RequestError

_TAG = "tag:yaml.org,2002:"
_OCTAL = re.compile(r"[-+]?0[0-7_]+")
_AS = {f"{_TAG}bool": "a truth value", f"{_TAG}null": "null", f"{_TAG}float": "a number", f"{_TAG}timestamp": "a date"}


class _Loader(yaml.SafeLoader):
    """A loader that notes what cannot be meant, and goes on."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.found: list[Problem] = []

    def note(self, node: yaml.Node, what: str, remedy: str) -> None:
        self.found.append(Problem(f"line {node.start_mark.line + 1}", what, remedy))


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == f"{_TAG}merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, "a key must be one word", key_node.start_mark)
        if key in seen:
            loader.note(key_node, f"key {key!r} is written twice", "correct that line")
        if key_node.tag in _AS and not key_node.style:
            what = f"the key {key_node.value or 'before the colon'} is read as {_AS[key_node.tag]}"
            loader.note(key_node, what, f'write "{key_node.value}", in quotes')
        seen.add(key)
    loader.flatten_mapping(node)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=deep)


def _number(loader: _Loader, node: yaml.ScalarNode) -> Any:
    value = loader.construct_yaml_float(node) if node.tag.endswith("float") else loader.construct_yaml_int(node)
    if not node.style and (":" in node.value or _OCTAL.fullmatch(node.value)):
        base = "60" if ":" in node.value else "8"
        what = f"{node.value} is read to base {base}, as {value}"
        loader.note(node, what, f'write {value}, or "{node.value}" in quotes if it is a text')
    return value


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_constructor(f"{_TAG}int", _number)
_Loader.add_constructor(f"{_TAG}float", _number)


def typed(value: Any) -> Any:
    """Return a value of `--config` as it is in a file: Snakemake reads all within `[1, 2]` and `{a: 1}` as texts."""
    if isinstance(value, Mapping):
        return {key: _scalars(each) for key, each in value.items()}
    return _scalars(value) if isinstance(value, list) else value


def _scalars(value: Any) -> Any:
    if isinstance(value, Mapping | list):
        return typed(value) if isinstance(value, Mapping) else [_scalars(each) for each in value]
    try:
        read = json.loads(value.lower() if value in ("True", "False") else value)
    except ValueError:
        return value
    return read if isinstance(read, bool | int | float | NoneType) else value


def parse_yaml(path: Path) -> tuple[dict[str, Any], list[Problem]]:
    """Return the content of a configuration file, and what in it cannot be meant as YAML reads it.

    Raises:
        RequestError: It is missing, not YAML, or not a mapping.
    """
    where = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise RequestError(
            "cannot be read (it is not UTF-8)", where=where, remedy="name a YAML file, saved as UTF-8"
        ) from None
    except OSError as error:
        what = f"cannot be read ({error.strerror or error})"
        raise RequestError(what, where=where, remedy="name a YAML file") from None
    try:
        loader = _Loader(text)
        content = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise RequestError(f"not valid YAML{line}: {error.problem}", where=where, remedy="correct that line") from None
    except (yaml.YAMLError, ValueError) as error:
        raise RequestError(f"not valid YAML: {error}", where=where, remedy="correct the file") from None
    except RecursionError:
        raise RequestError("is nested too deeply", where=where, remedy="see config/README.md") from None
    if not isinstance(content, dict):
        raise RequestError("holds no settings", where=where, remedy="see config/README.md")
    return content, loader.found


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the content of a configuration file.

    Raises:
        RequestError: It is missing, not YAML, not a mapping, or holds what cannot be meant: a key written twice, say.
    """
    content, found = parse_yaml(path)
    if found:
        raise InvalidStudy(found, str(path))
    return content


def misfits(value: Any, path: tuple[int | str, ...] = (), above: tuple[int, ...] = ()) -> Iterator[Problem]:
    """Yield what no setting can be, wherever it stands: numbers that are not finite, dates, values that hold themselves."""
    key = ".".join(map(str, path))
    if id(value) in above:
        yield Problem(key, "holds itself (by an anchor of YAML)", "write the values out")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from misfits(item, (*path, str(name)), (*above, id(value)))
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from misfits(item, (*path, place), (*above, id(value)))
    elif isinstance(value, float) and not float("-inf") < value < float("inf"):
        yield Problem(key, f"{value} is not finite", "write a number")
    elif not isinstance(value, (str, int, float, NoneType)):
        is_day = type(value) is datetime.date and path[:1] == ("models",) and path[2:] == ("date",)
        if not is_day:
            yield Problem(key, described(value), "write it in quotes if it is a text")
