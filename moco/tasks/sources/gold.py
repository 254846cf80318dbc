"""The gold of an item, and its kind, which decides how scorers compare it."""

import ast
import json
import re
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from moco.errors import RequestError
from moco.tasks.sources.fields import kind_of
from moco.tasks.sources.files import parse_json
from moco.tasks.sources.structured import STRUCTURED, structured

GOLD_REQUIRED = frozenset(
    {"coding", "exact_match", "f1_match", "general_verifier", "multiple_choice", "noncompliance", *STRUCTURED}
)

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+"
_NUMBER = re.compile(rf"[-+−]?[$€£]?(?:{_DIGITS})(?:[eE][-+]?[0-9]+)?\s*%?|[-+−]?(?:[0-9]+\s+)?[0-9]+\s*/\s*[0-9]+")
_CLOSING_BRACKETS = re.compile(r"[\s)\]}>]+")
_OPTION_LABEL = re.compile(r"\(?([A-Za-z])\)?\.?")
_LATEX = re.compile(r"[\\^{}$]")
_WORD = re.compile(r"[^\W\d_]{3,}")
_OPERATOR = re.compile(r"[-+−*/=<>()\[\],:|!√π°]")
_MARKED_NAME = re.compile(r"[A-Za-z]{1,2}(?:\+{1,2}|#|-)")


@dataclass(frozen=True)
class Gold:
    """A gold with its kind; `valid` is false where no reply could be judged."""

    value: Any
    kind: str
    valid: bool = True


def open_gold(
    task_type: str, value: Any, where: str, *, question: str, answer_type: str = "", domain: str = ""
) -> Gold:
    """Return the gold of an item without options.

    Args:
        task_type: Type of the task.
        value: What the source holds; null where it holds nothing.
        where: File, split and row.
        question: Text of the item; it may list options.
        answer_type: What the source calls the kind of answer.
        domain: The item's domain at the source.

    Raises:
        RequestError: The value does not suit the task type.
    """
    if task_type in STRUCTURED:
        fields = parse_json(value, where) if isinstance(value, str) else value
        if not isinstance(fields, dict):
            raise RequestError(f"gold is {kind_of(fields)}, not an object", where=where)
        found = structured(task_type, {"input": question, **fields}, where)
        return Gold(found.gold, found.kind)
    match task_type:
        case "coding":
            test = _text(value, "test", where)
            return Gold({"test": test, "entry_point": None, "preamble": ""}, "code", bool(test.strip()))
        case "noncompliance":
            category = _text(value, "category", where)
            if not category.strip():
                raise RequestError("category is empty", where=where)
            return Gold(category, "category")
        case "exact_match" | "general_verifier":
            return _exact(value, where, question, answer_type, domain)
        case "f1_match":
            return _aliases(value, where)
    if value is None or value == "" or value == []:
        return Gold(None, "none")
    if isinstance(value, list):
        return Gold(_texts(value, where), "aliases")
    return Gold(_text(value, "gold", where), "text")


def option_gold(index: int, key: str) -> Gold:
    """Return the gold of an item with options: its position, and its label at the source."""
    return Gold({"index": index, "key": key}, "option")


def _text(value: Any, name: str, where: str) -> str:
    if not isinstance(value, str):
        raise RequestError(f"{name} is {kind_of(value)}, not a text", where=where)
    return value


def _texts(values: list[Any], where: str) -> list[str]:
    for value in values:
        if not isinstance(value, str):
            raise RequestError(f"gold lists {kind_of(value)}, not only texts", where=where)
    return values


def _exact(value: Any, where: str, question: str, answer_type: str, domain: str) -> Gold:
    match value:
        case None:
            return Gold(None, "none", valid=False)
        case bool():
            return Gold(str(value), "boolean")
        case int() | float():
            return Gold(value, "number")
        case list():
            aliases = _only_texts(value)
            return Gold(value, "aliases") if aliases else Gold(json.dumps(value, ensure_ascii=False), "list")
        case str():
            if not value.strip():
                return Gold(value, "none", valid=False)
            if _only_texts(found := _list_in(value)):
                return Gold(found, "aliases")
            kind = _kind(value.strip(), question, answer_type.strip().lower(), domain)
            return Gold({"index": None, "key": value} if kind == "option" else value, kind)
    raise RequestError(f"gold is {kind_of(value)}, neither text, number, truth value nor list", where=where)


def _only_texts(value: list[Any] | None) -> bool:
    """Tell aliases, a list of texts and nothing else, from a list that is one answer."""
    return bool(value) and all(isinstance(alias, str) for alias in value or ())


def _aliases(value: Any, where: str) -> Gold:
    if isinstance(value, str):
        found = _list_in(value)
        if not _only_texts(found):
            return Gold(value, "text") if value.strip() and found != [] else Gold(value, "none", valid=False)
        return Gold(found, "aliases")
    if isinstance(value, list) and value:
        return Gold(_texts(value, where), "aliases")
    if value is None or value == []:
        return Gold(None, "none", valid=False)
    if isinstance(value, (bool, int, float)):
        return Gold(str(value), "text")
    raise RequestError(f"gold is {kind_of(value)}, neither text, number nor list", where=where)


def _list_in(text: str) -> list[Any] | None:
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    for parse in (json.loads, ast.literal_eval):
        with warnings.catch_warnings(), suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            warnings.simplefilter("ignore")  # of the parser, about escapes in the text
            found = parse(text)
            return found if isinstance(found, list) else None
    return None


def _kind(text: str, question: str, answer_type: str, domain: str) -> str:
    if answer_type == "option" and _OPTION_LABEL.fullmatch(text):
        return "option"
    if answer_type in ("bool", "boolean") and text.casefold() in ("true", "false", "yes", "no"):
        return "boolean"
    if domain == "word_sorting":
        return "words"
    if _CLOSING_BRACKETS.fullmatch(text):
        return "brackets"
    if (letter := _OPTION_LABEL.fullmatch(text)) and _lists_options(question, letter[1]):
        return "option"
    if text.casefold() in ("true", "false"):
        return "boolean"
    if _NUMBER.fullmatch(text):
        return "number"
    if _list_in(text) is not None:
        return "list"
    return "latex" if _is_formula(text) else "text"


def _lists_options(question: str, letter: str) -> bool:
    return all(
        re.search(rf"(?:^|\s)\(?{name}[).:]", question, re.IGNORECASE | re.MULTILINE) for name in {"A", "B", letter}
    )


def _is_formula(text: str) -> bool:
    """Tell whether signs carry the meaning, so that a comparison of words alone would be wrong."""
    if _MARKED_NAME.fullmatch(text):  # C++, A-
        return False
    return bool(_LATEX.search(text)) or (not _WORD.search(text) and bool(_OPERATOR.search(text)))
