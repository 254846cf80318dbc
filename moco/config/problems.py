"""Mistakes in a configuration, in our words: each is one line with file, key and remedy."""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError

from moco.config.fields import SLUG, Section
from moco.errors import RequestError

Location = tuple[int | str, ...]

LONGEST_NAME = 100
"""Characters: names are joined into names of folders, and file systems take 255 bytes."""

_PATTERNS = {
    "revision": ("is not a commit", "write its 40 hexadecimal digits; branches and tags move"),
    "gpu_model": ("cannot be asked for", "write one model; letters, digits, _ and . are allowed"),
    "endpoint": (
        "is not an address such as https://host/v1, or holds a user, password or query",
        "write the address alone; keys come from the environment (requests.key_env)",
    ),
    "key_env": ("is no name of an environment variable", "write the variable's name, never the key itself"),
    "repo": ("is no repository", "write owner/name"),
    "repository": ("is no repository", "write owner/name"),
    "date": ("is no day", "write YYYY-MM-DD"),
}
_SECRET = ("endpoint", "key_env")
"""Fields whose value may be a secret that was put there by mistake, and is not shown."""

_BOUNDS = {
    "greater_than": ("too small", "more than {gt}"),
    "greater_than_equal": ("too small", "at least {ge}"),
    "less_than": ("too large", "less than {lt}"),
    "less_than_equal": ("too large", "at most {le}"),
}


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
    """A configuration that is not what it should be; carries all mistakes.

    Attributes:
        problems: The mistakes.
        origin: File or place.
        content: The configuration as it was read, so that what is not wrong in it can be looked at too.
    """

    def __init__(self, problems: list[Problem], origin: str, content: Mapping[str, Any] | None = None) -> None:
        self.problems, self.origin, self.content = problems, origin, content or {}
        first = problems[0]
        more = f" ({len(problems) - 1} more: run `moco check`)" if len(problems) > 1 else ""
        super().__init__(first.what, where=": ".join(filter(None, (origin, first.key))), remedy=first.remedy + more)


def problems_of(section: type[Section], error: ValidationError) -> list[Problem]:
    """Return the mistakes that a section's validation found, at most one for each key.

    Of the ways in which a value can be written (a list or `all`, say), the one that the user came closest to counts.
    """
    found: dict[str, Problem] = {}
    entries = [(entry, _place(section, entry["loc"])) for entry in error.errors(include_url=False)]
    below = {place.path[:length] for _, place in entries for length in range(len(place.path))}
    deepest: dict[Location, int] = {}
    for _, place in entries:
        if place.choice is not None:
            deepest[place.choice] = max(deepest.get(place.choice, 0), len(place.path))
    for entry, place in entries:
        if place.is_key:
            place.path = (*place.path[:-1], str(entry["input"]))  # pydantic has numbers for keys that are no texts
        if place.choice is not None and len(place.path) < deepest[place.choice]:
            continue
        if entry["type"] == "too_short" and place.path in below:
            continue  # only because what stands there is wrong
        if place.choice is not None and len(place.path) == len(place.choice):
            place.annotation, place.constraints = place.choices, []
            problem = _wrong_kind(place, entry["input"])
        else:
            problem = _problem(entry, place)
        found.setdefault(f"{problem.key} {problem.what if entry['type'] == 'unknown_key' else ''}", problem)
    return list(found.values())


@dataclass
class _Place:
    """Where a mistake is.

    Attributes:
        path: Keys and positions as the user wrote them, without the names of a union's branches.
        annotation: Type that stands there, where it is known.
        choice: Path of the value that can be written in several ways, where one is on the path.
        choices: Its type.
        is_key: Whether the key is wrong, and not its value.
    """

    path: Location = ()
    annotation: Any = None
    choice: Location | None = None
    choices: Any = None
    is_key: bool = False
    constraints: list[Any] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The path with dots."""
        return ".".join(map(str, self.path))

    @property
    def expected(self) -> str:
        """What should stand there."""
        return "a name" if _names(self.constraints) else expected(self.annotation)


def _place(section: Any, location: Location) -> _Place:
    place, rest = _Place(annotation=section), list(location)
    while rest:
        place.annotation = _bare(place.annotation)
        origin, arguments = get_origin(place.annotation), get_args(place.annotation)
        if origin in (Union, UnionType):
            branches = [argument for argument in arguments if argument is not NoneType]
            label = str(rest.pop(0))
            if all(_is_section(branch) for branch in branches):
                place.annotation = next((branch for branch in branches if label == _tag(branch)), None)
            else:
                if place.choice is None:
                    place.choice, place.choices = place.path, place.annotation
                place.annotation = next((branch for branch in branches if label.startswith(_label(branch))), None)
            continue
        part = rest.pop(0)
        place.path = (*place.path, part)
        place.constraints = []
        if _is_section(place.annotation):
            known = place.annotation.model_fields.get(str(part))
            place.annotation = known.annotation if known else None
            place.constraints = list(known.metadata) if known else []
        elif origin is dict:
            place.is_key = rest[:1] == ["[key]"]
            rest = rest[1:] if place.is_key else rest
            place.annotation = arguments[0 if place.is_key else 1]
        elif origin in (tuple, list):
            place.annotation = arguments[0]
        else:
            place.annotation = None
    if place.path[:1] == ("methods",) and place.path[2:3] == ("params",):
        place.path = (*place.path[:2], *place.path[3:])
    return place


def _bare(annotation: Any) -> Any:
    """Return a type without its constraints, and without null."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
            continue
        others = [argument for argument in get_args(annotation) if argument is not NoneType]
        if get_origin(annotation) in (Union, UnionType) and len(others) == 1:
            annotation = others[0]
            continue
        return annotation


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _tag(section: type[Section]) -> str:
    return str(get_args(section.model_fields["kind"].annotation)[0])


def _label(annotation: Any) -> str:
    """Return how pydantic begins its name of a union's branch."""
    annotation = _bare(annotation)
    origin = get_origin(annotation)
    return "literal" if origin is Literal else getattr(origin or annotation, "__name__", "?")


def _names(constraints: Iterable[Any]) -> bool:
    """Return whether a text with these constraints is a name."""
    known = [each for one in constraints for each in (one, *getattr(one, "metadata", ()))]
    return any(getattr(each, "pattern", None) == SLUG for each in known)


def expected(annotation: Any) -> str:
    """Return what stands for a type in a sentence: `a whole number`, `a list of names, or all`."""
    if get_origin(annotation) is Annotated:
        return "a name" if _names(get_args(annotation)[1:]) else expected(get_args(annotation)[0])
    annotation = _bare(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        *others, last = map(_shown, arguments)
        return f"{', '.join(others)} or {last}" if others else last
    if origin in (Union, UnionType):
        return ", or ".join(expected(argument) for argument in arguments if argument is not NoneType)
    if origin in (tuple, list):
        one = expected(arguments[0]).partition(" ")[2]
        return f"a list of {one}s" if one in ("name", "text", "number", "whole number") else "a list"
    if origin is dict or _is_section(annotation):
        return "a mapping (key: value)"
    return {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}.get(
        annotation, "another value"
    )


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def described(value: Any) -> str:
    """Return what a value is, with its beginning where that helps."""
    kind: str
    match value:
        case None:
            return "is empty (null)"
        case bool():
            return f"is the truth value {_shown(value)}, as which YAML also reads yes, no, on and off without quotes"
        case int() | float():
            return f"is the number {value!r}"[:60]
        case str():
            kind = repr(value) if len(value) <= 60 else f"{value[:50]!r}..."
            return f"is the text {kind}"
        case datetime.date():
            return f"is the date {value}"
    names = ((Mapping, "is a mapping"), ((list, tuple), "is a list"), (set, "is a set"), (bytes, "is binary data"))
    return next((name for types, name in names if isinstance(value, types)), f"is a {type(value).__name__}")


def _wrong_kind(place: _Place, value: Any) -> Problem:
    wanted = place.expected
    quoted = isinstance(value, (bool, int, float, datetime.date)) and wanted in ("a name", "a text")
    if place.is_key:
        return Problem(place.key, f"the name {described(value)}", "write it in quotes" if quoted else "write a name")
    return Problem(place.key, described(value), f"write {wanted}{', in quotes if it is this' if quoted else ''}")


def _problem(entry: Any, place: _Place) -> Problem:
    kind, value, key, context = entry["type"], entry["input"], place.key, entry.get("ctx", {})
    shown = repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:70]}..."
    last = str(place.path[-1]) if place.path else ""
    if kind == "unknown_key":
        what, _, remedy = entry["msg"].partition("; ")
        return Problem(key, what, remedy)
    if kind == "missing":
        return Problem(key, "is missing", "add it")
    if kind == "string_pattern_mismatch":
        if context.get("pattern") == SLUG:
            return Problem(key, f"{shown} is not a name", "use letters, digits, _ and single - only")
        what, remedy = _PATTERNS.get(last, ("has another form than is expected", "see config/README.md"))
        return Problem(key, what if last in _SECRET else f"{shown} {what}", remedy)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tags = context.get("expected_tags", "")
        return Problem(f"{key}.kind", "is missing or unknown", f"one of {tags}" if tags else "add `kind`")
    if kind == "value_error":
        what, _, remedy = entry["msg"].removeprefix("Value error, ").partition("; ")
        return Problem(key, what, remedy or "see config/README.md")
    if kind in _BOUNDS:
        what, bound = _BOUNDS[kind]
        limits = {name: f"{limit:,g}" if limit < 1e6 else f"{limit:,}" for name, limit in context.items()}
        return Problem(key, f"{shown} is {what}", f"write a number of {bound.format(**limits)}")
    if kind == "finite_number":
        return Problem(key, f"{shown} is not finite", "write a number")
    if kind in ("int_from_float", "int_parsing_size"):
        return Problem(key, f"{shown} is no whole number", "write a whole number")
    if kind == "literal_error" and isinstance(value, str):
        return Problem(key, f"{shown} is none of its choices", f"write {place.expected}")
    if kind in ("too_short", "string_too_short"):
        return Problem(key, "is empty", f"write {place.expected}")
    if kind in ("too_long", "string_too_long"):
        return Problem(key, "is too long", f"use at most {context.get('max_length')}")
    return _wrong_kind(place, value)
