"""Checks of an item's fields that every file format shares."""

from typing import Any

from moco.digest import canonical_json
from moco.errors import RequestError
from moco.tasks.blanks import even_blanks
from moco.tasks.item import LETTERS
from moco.tasks.raw import RawItem


def question_text(value: Any, where: str) -> str:
    """Return the question.

    Raises:
        RequestError: It is not a text, or has no visible character.
    """
    if not isinstance(value, str):
        raise RequestError(f"question is {kind_of(value)}, not a text", where=where)
    if not value.strip():
        raise RequestError("question is empty", where=where)
    return value


def option_texts(named: dict[str, Any], where: str) -> tuple[str, ...]:
    """Return the options in the given order.

    Args:
        named: Options by the name under which errors mention them.
        where: File, split and row.

    Raises:
        RequestError: There are fewer than 2 or more than there are letters, or one is null, no text, or empty.
    """
    if not 2 <= len(named) <= len(LETTERS):
        raise RequestError(f"has {len(named)} options, not 2 to {len(LETTERS)}", where=where)
    for name, value in named.items():
        if not isinstance(value, str):
            raise RequestError(f"option {brief(name)} is {kind_of(value)}, not a text", where=where)
        if not even_blanks(value):
            raise RequestError(f"option {brief(name)} is empty", where=where)
    return tuple(named.values())


def label(value: Any, name: str, where: str) -> str:
    """Return a source id, group or domain as text; null becomes the empty text.

    Raises:
        RequestError: It is neither text nor whole number.
    """
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # data frames store whole numbers so when one is missing
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise RequestError(f"{name} is {kind_of(value)}, neither a text nor a whole number", where=where)
    return str(value)


def storable(item: RawItem, where: str) -> RawItem:
    """Return the item.

    Raises:
        RequestError: Some value has no place in a record file: broken Unicode, an infinite number, an unknown type.
    """
    try:
        "".join([item.question, item.src_id, item.domain, item.group or "", *(item.options or ())]).encode()
        (item.gold if isinstance(item.gold, str) else canonical_json(item.gold)).encode()
        if item.meta:
            canonical_json(item.meta).encode()
    except UnicodeEncodeError:
        raise RequestError("holds half of a surrogate pair", where=where, remedy="repair the text") from None
    except (ValueError, TypeError) as error:
        raise RequestError(f"cannot be stored as JSON ({error})", where=where) from None
    return item


def kind_of(value: Any) -> str:
    """Return what a value is, without its content: error messages must not print items."""
    if value is None:
        return "null"
    names = {
        bool: "a truth value",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), f"a {type(value).__name__}")


def brief(value: Any) -> str:
    """Return a short label for an error message."""
    text = repr(value)
    return text if len(text) <= 24 else f"{text[:20]}...{text[0]}"
