"""One form for formulas that differ only in layout, and their comparison."""

import re

from moco.scoring.numbers import close, parsed_number
from moco.scoring.text import plain_unicode, unwrapped, without_math_delimiters

_LONGEST = 2_000
_DEEPEST_TUPLE = 3
_DROPPED = re.compile(
    r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|limits)(?![a-zA-Z])|\\[!,;:> ]|\\q?quad(?![a-zA-Z])|(?<!\\)~"
    r"|\^\s*\{?\s*\\circ\s*\}?|\\degree(?![a-zA-Z])|°|\\?%|\\?\$"
)
_FRACTION_NAME = re.compile(r"\\[dtc]frac(?![a-zA-Z])")
_BARE_FRACTION = re.compile(r"\\frac\s*(?:(\d)|(\{[^{}]*\}))\s*(?:(\d)|(\{[^{}]*\}))")
_BARE_ROOT = re.compile(r"\\sqrt\s*([a-zA-Z0-9])")
_SIMPLE_FRACTION = re.compile(r"\\frac\{((?:\\pi|\w|\.)+)\}\{((?:\\pi|\w|\.)+)\}")
_BRACED_CHARACTER = re.compile(r"([_^])\{(\w)\}")
_SYMBOLS = {
    "π": r"\pi",
    "∞": r"\infty",
    "∪": r"\cup",
    "√": r"\sqrt",
    "≤": r"\leq",
    "≥": r"\geq",
    "×": r"\times",
    "·": r"\cdot",
    "⋅": r"\cdot",
    r"\infin ": r"\infty",
    "{,}": ",",
}
_MATRIX = re.compile(r"\{[pbvB]matrix\}|\{array\}(?:\{[clr|]*\})?")
_LEFT_SIDE = re.compile(r"[a-zA-Z](?:_\w)?(?:\([a-z]\))?(?:=|\\in(?![a-z]))")
_LABEL = re.compile(r"\(?([A-Z])\)?")


def latex_form(text: str) -> str:
    """Return a formula without spacing, delimiters, text wrappers and degree signs, with one spelling of fractions."""
    form = without_math_delimiters(unwrapped(plain_unicode(text[:_LONGEST]))).strip("*` ")
    for symbol, command in _SYMBOLS.items():
        form = form.replace(symbol, command)
    form = _FRACTION_NAME.sub(r"\\frac", _DROPPED.sub("", form))
    form = _BARE_FRACTION.sub(_braced_fraction, form)
    form = _BARE_ROOT.sub(r"\\sqrt{\1}", form)
    form = _MATRIX.sub("{matrix}", form)
    form = re.sub(r"\s+", "", form).rstrip(".")
    form = _SIMPLE_FRACTION.sub(r"\1/\2", form)
    return _BRACED_CHARACTER.sub(r"\1\2", form)


def _braced_fraction(match: re.Match[str]) -> str:
    upper = match[2] or f"{{{match[1]}}}"
    lower = match[4] or f"{{{match[3]}}}"
    return rf"\frac{upper}{lower}"


def latex_equal(given: str, gold: str) -> bool:
    """Return whether two formulas have the same form or value, part by part for tuples and lists."""
    return _equal(given, gold, 0)


def _equal(given: str, gold: str, depth: int) -> bool:
    left, right = latex_form(given), latex_form(gold)
    if not left or not right:
        return False
    if left == right or (left.isalpha() and left.casefold() == right.casefold() and len(left) > 1):
        return True
    gold_label, given_label = _LABEL.fullmatch(right), _LABEL.match(left)
    if gold_label and given_label and given_label[1] == gold_label[1]:
        return _LABEL.fullmatch(left) is not None or left.startswith(f"({gold_label[1]})")
    value, wanted = parsed_number(given), parsed_number(gold)
    if value is not None and wanted is not None:
        return close(value, wanted)
    if depth >= _DEEPEST_TUPLE:
        return False
    named, wanted_named = _LEFT_SIDE.match(left), _LEFT_SIDE.match(right)
    if (named is None) != (wanted_named is None):
        bare = left[named.end() :] if named else left
        wanted_bare = right[wanted_named.end() :] if wanted_named else right
        return _equal(bare, wanted_bare, depth + 1)
    parts, wanted_parts = _tuple_parts(left), _tuple_parts(right)
    if len(parts) != len(wanted_parts) or len(parts) == 1 or _frame(left) != _frame(right):
        return False
    return all(_equal(part, want, depth + 1) for part, want in zip(parts, wanted_parts, strict=True))


def _frame(form: str) -> str:
    return form[0] + form[-1] if form[0] in "([" and form[-1] in ")]" else ""


def _tuple_parts(form: str) -> list[str]:
    inner = form[1:-1] if _frame(form) else form
    return split_at_commas(inner)


def split_at_commas(text: str) -> list[str]:
    """Return the parts of `text` between commas that stand outside all brackets."""
    parts, depth, start = [], 0, 0
    for position, mark in enumerate(text):
        if mark in "([{":
            depth += 1
        elif mark in ")]}":
            depth -= 1
        elif mark == "," and depth <= 0:
            parts.append(text[start:position].strip())
            start = position + 1
    return [*parts, text[start:].strip()]
