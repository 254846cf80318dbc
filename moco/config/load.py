"""From YAML to a study; every mistake becomes one line with file, key and remedy."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from moco.config.registered import with_registry
from moco.config.study import Study
from moco.config.tasks import TaskEntry
from moco.errors import RequestError

_RUNTIME_KEYS = ("replay",)


@dataclass(frozen=True)
class Problem:
    """One mistake.

    Attributes:
        key: Where in the configuration.
        what: What is wrong.
        remedy: What to do.
        warning: Whether the study can run all the same.
    """

    key: str
    what: str
    remedy: str = ""
    warning: bool = False

    def line(self, origin: str) -> str:
        """Return the mistake as one line."""
        return str(self.error(origin))

    def error(self, origin: str) -> RequestError:
        """Return the mistake as an error."""
        return RequestError(self.what, where=": ".join(filter(None, (origin, self.key))), remedy=self.remedy)


class InvalidStudy(RequestError):
    """A configuration that is not a study; carries all mistakes."""

    def __init__(self, problems: list[Problem], origin: str) -> None:
        self.problems, self.origin = problems, origin
        first = problems[0]
        more = f" ({len(problems) - 1} more: run `moco check`)" if len(problems) > 1 else ""
        super().__init__(first.what, where=": ".join(filter(None, (origin, first.key))), remedy=first.remedy + more)


class _UniqueKeys(yaml.SafeLoader):
    """A YAML loader that refuses a key written twice."""


def _mapping(loader: _UniqueKeys, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, "a key must be one word", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is written twice", key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=deep)


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the content of a configuration file.

    Raises:
        RequestError: It is missing, not YAML, or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"cannot be read ({error})", where=str(path), remedy="name a YAML file") from None
    try:
        content = yaml.load(text, Loader=_UniqueKeys)
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise RequestError(
            f"not valid YAML{line}: {error.problem}", where=str(path), remedy="correct that line"
        ) from None
    except yaml.YAMLError as error:
        raise RequestError(f"not valid YAML: {error}", where=str(path), remedy="correct the file") from None
    if not isinstance(content, dict):
        raise RequestError("holds no settings", where=str(path), remedy="see config/README.md")
    return content


def study_from(config: Mapping[str, Any], origin: str) -> Study:
    """Return the study that a configuration declares.

    Args:
        config: The configuration; keys that only steer a run (`replay`) are left out.
        origin: File name for messages.

    Raises:
        InvalidStudy: It has mistakes.
    """
    content = {key: value for key, value in config.items() if key not in _RUNTIME_KEYS}
    problems: list[Problem] = []
    if isinstance(content.get("tasks"), Mapping):
        content["tasks"], mistakes = with_registry(content["tasks"])
        problems = [Problem(mistake.where, mistake.what, mistake.remedy) for mistake in mistakes]
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        problems += [_problem(entry) for entry in error.errors()]
    if problems:
        raise InvalidStudy(problems, origin)
    return study


def task_from(content: Any, origin: str) -> TaskEntry:
    """Return the task that a configuration of one task declares.

    Args:
        content: The entry, as below `tasks` of a study.
        origin: File name or place for messages.

    Raises:
        InvalidStudy: It has mistakes.
    """
    try:
        return TaskEntry.model_validate(content)
    except ValidationError as error:
        raise InvalidStudy([_problem(entry) for entry in error.errors()], origin) from None


def load_study(path: Path) -> Study:
    """Return the study of a YAML file; errors as in `read_yaml` and `study_from`."""
    return study_from(read_yaml(path), str(path))


_TAGS = frozenset({"hub", "local", "adapter", "zoo", "server", "synthetic", "moco", "table", "task"})


def _key(location: tuple[int | str, ...]) -> str:
    """Return the place of a mistake as a user wrote it, without the names of union branches and types."""
    parts: list[str] = []
    for place, part in enumerate(location):
        if "[" in str(part):
            continue
        before = location[place - 1] if place else None
        branch = part in _TAGS and (before == "source" or (place == 2 and location[0] == "models"))
        if not branch:
            parts.append(str(part))
    return ".".join(parts)


def _problem(entry: Any) -> Problem:
    kind, key = entry["type"], _key(entry["loc"])
    if kind == "unknown_key":
        what, _, remedy = entry["msg"].partition("; ")
        return Problem(key, what, remedy)
    if kind == "string_pattern_mismatch" and "A-Za-z0-9" in str(entry.get("ctx", {}).get("pattern", "")):
        return Problem(key, f"{entry['input']!r} is not a name", "use letters, digits, _ and single - only")
    if kind == "string_pattern_mismatch" and key.endswith("revision"):
        return Problem(
            key, f"{entry['input']!r} is not a commit", "write its 40 hexadecimal digits; branches and tags move"
        )
    if kind == "string_pattern_mismatch" and key.endswith("gpu_model"):
        return Problem(
            key, f"{entry['input']!r} cannot be asked for", "write one model; letters, digits, _ and . are allowed"
        )
    if kind == "string_pattern_mismatch" and key.endswith("endpoint"):
        what = "is not an address such as https://host/v1, or holds a user, password or query"
        return Problem(key, what, "write the address alone; keys come from the environment (requests.key_env)")
    if kind == "string_pattern_mismatch" and key.endswith("key_env"):
        return Problem(key, "is no name of an environment variable", "write the variable's name, never the key itself")
    if kind == "missing":
        return Problem(key, "is missing", "add it")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        expected = entry["ctx"].get("expected_tags", "")
        return Problem(f"{key}.kind", "is missing or unknown", f"one of {expected}" if expected else "add `kind`")
    return Problem(
        key, f"{entry['msg'][0].lower()}{entry['msg'][1:]} (found {entry['input']!r})"[:300], "see config/README.md"
    )
