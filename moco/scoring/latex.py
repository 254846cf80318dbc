"""Formulas: one form for those that differ only in layout, and comparison by form, structure, value and algebra."""

import re

from moco.scoring.algebra import algebraically_equal
from moco.scoring.enclosures import enclosed, same_parts
from moco.scoring.numbers import read_number, same_number
from moco.scoring.text import plain_unicode, unwrapped, without_math_delimiters

_LONGEST = 2_000
_DEEPEST = 4
_DROPPED = re.compile(
    r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|limits)(?![a-zA-Z])|(?<!\\)\\[!,;:> ]|\\q?quad(?![a-zA-Z])|(?<!\\)~"
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
_MATRIX = re.compile(r"\{[pbB]matrix\}|\{array\}(?:\{[clr|]*\})?")
_LEFT_SIDE = re.compile(r"\s*[a-zA-Z](?:_\w)?(?:\([a-z]\))?\s*(?:=|\\in(?![a-z])|∈)")
_RELATION = re.compile(r"[<>≤≥]|\\(?:le|ge|leq|geq|lt|gt)(?![a-z])")
_DIGIT_GROUP = re.compile(r"(?<=\d)\s+(?=\d{3}(?!\d))")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)\s+(?=\d)")
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
    form = _BETWEEN_DIGITS.sub("␣", _DIGIT_GROUP.sub("", form))  # 3 4 is not 34
    form = re.sub(r"\s+", "", form).rstrip(".")
    form = _SIMPLE_FRACTION.sub(r"\1/\2", form)
    return _BRACED_CHARACTER.sub(r"\1\2", form)


def _braced_fraction(match: re.Match[str]) -> str:
    upper = match[2] or f"{{{match[1]}}}"
    lower = match[4] or f"{{{match[3]}}}"
    return rf"\frac{upper}{lower}"


def latex_equal(given: str, gold: str) -> bool:
    """Return whether two formulas have the same form or value, part by part for tuples, intervals and sets."""
    return _equal(_bare(given), _bare(gold), 0)


def _bare(text: str) -> str:
    return without_math_delimiters(unwrapped(plain_unicode(text[:_LONGEST]))).strip("*` ")


def _equal(given: str, gold: str, depth: int) -> bool:
    left, right = latex_form(given), latex_form(gold)
    if not left or not right:
        return False
    value, wanted = read_number(given), read_number(gold)
    if value is not None and wanted is not None:
        return same_number(value, wanted)
    if left == right or (left.isalpha() and left.casefold() == right.casefold() and len(left) > 1):
        return True
    gold_label, given_label = _LABEL.fullmatch(right), _LABEL.match(left)
    if gold_label and given_label and given_label[1] == gold_label[1]:
        return _LABEL.fullmatch(left) is not None or left.startswith(f"({gold_label[1]})")
    if depth >= _DEEPEST:
        return False
    named, wanted_named = _LEFT_SIDE.match(given), _LEFT_SIDE.match(gold)
    if (named is None) != (wanted_named is None) and not _RELATION.search(given + gold):
        bare = given[named.end() :] if named else given
        wanted_bare = gold[wanted_named.end() :] if wanted_named else gold
        return _equal(bare.strip(), wanted_bare.strip(), depth + 1)
    parts, wanted_parts = enclosed(given), enclosed(gold)
    if parts and wanted_parts:
        return same_parts(parts, wanted_parts, lambda part, other: _equal(part, other, depth + 1))
    if (parts or wanted_parts) and not _RELATION.search(gold if parts else given):
        return False
    return algebraically_equal(given, gold)
