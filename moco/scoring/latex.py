"""Formulas: one form for those that differ only in layout, and comparison by form, structure, value and algebra."""

import re

from moco.scoring.algebra import algebraically_equal
from moco.scoring.enclosures import enclosed, same_parts
from moco.scoring.numbers import read_number, same_number
from moco.scoring.text import plain_unicode, unwrapped, without_math_delimiters
from moco.scoring.units import Tail, read_tail

_LONGEST = 2_000
_DEEPEST = 4
_DROPPED = re.compile(
    r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|limits)(?![a-zA-Z])|(?<!\\)\\[!,;:> ]|\\q?quad(?![a-zA-Z])|(?<!\\)~"
    r"|\^\s*\{?\s*\\circ\s*\}?|\\degree(?![a-zA-Z])|°|\\?%|\\?\$"
)
_FRACTION_NAME = re.compile(r"\\[dtc]frac(?![a-zA-Z])")
_BARE_FRACTION = re.compile(r"\\frac\s*(?:(\d)|(\{[^{}]*\}))\s*(?:(\d)|(\{[^{}]*\}))")
_BARE_ROOT = re.compile(r"\\sqrt\s*([a-zA-Z0-9])")
_SIMPLE_FRACTION = re.compile(r"(?<![\w}])\\frac\{((?:\\pi|\w|\.)+)\}\{(\d+|\\pi|[a-zA-Z])\}(?![\w\\({^.])")
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
_SOLUTIONS = re.compile(rf"{_RELATION.pattern}|\\(?:mathbb|cup|cap|setminus)(?![a-z])")
_UNIT = re.compile(r"(.*?\S)\s*(?:\\[ ,;:]|~)?\s*\\(?:text|mathrm|mbox)\s?\{([^{}]*)\}(\^\{?\d\}?)?[.\s]*", re.DOTALL)
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
    (formula, unit), (wanted, wanted_unit) = _without_unit(given), _without_unit(gold)
    if unit and wanted_unit and not (unit.agrees(wanted_unit) and unit.size == wanted_unit.size):
        return False
    return _equal(_bare(given), _bare(gold), 0) or (
        bool(unit or wanted_unit) and _equal(_bare(formula), _bare(wanted), 0)
    )


def _without_unit(text: str) -> tuple[str, Tail | None]:
    r"""Return a formula and the unit behind it, as in `36\pi \text{ cm}^2`."""
    found = _UNIT.fullmatch(without_math_delimiters(text))
    unit = read_tail(f" {found[2]}{found[3] or ''}") if found else None
    if found is None or unit is None or unit.bare or unit.factor != 1 or read_number(found[1]) is not None:
        return text, None
    return found[1], unit


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
    parts, wanted_parts = enclosed(given), enclosed(gold)
    if parts is None and given.count("=") > 1 and "=" not in gold and not _RELATION.search(given):
        return _equal(given.rpartition("=")[2].strip(), gold, depth + 1)
    named, wanted_named = _LEFT_SIDE.match(given), _LEFT_SIDE.match(gold)
    if (named is None) != (wanted_named is None) and not _RELATION.search(given + gold):
        bare = given[named.end() :] if named else given
        wanted_bare = gold[wanted_named.end() :] if wanted_named else gold
        return _equal(bare.strip(), wanted_bare.strip(), depth + 1)
    if parts and wanted_parts:
        return same_parts(parts, wanted_parts, lambda part, other: _equal(part, other, depth + 1))
    if (parts or wanted_parts) and not _SOLUTIONS.search(gold if parts else given):
        return False
    return algebraically_equal(given, gold)
