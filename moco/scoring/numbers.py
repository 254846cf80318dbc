"""Exact values of numbers as people write them: signs, digit groups, currency, units, fractions, bases, powers of ten."""

import re
from dataclasses import dataclass
from fractions import Fraction

from moco.scoring.text import plain_unicode, sentences, unwrapped, without_math_delimiters
from moco.scoring.units import CHANGER, MEASURE, MULTIPLIER, Tail, read_tail

EXACT_TOLERANCE = Fraction(1, 1_000_000)
"""Relative difference up to which a decimal stands for a number that has no finite decimal."""

_FLOAT_NOISE = Fraction(1, 10**14)
_LONGEST = 200
_LONGEST_PROSE = 1_000
_LARGEST_EXPONENT = 400
_GROUPED = r"\d{1,3}(?:,\d{3})+(?!,?\d)|\d{1,3}(?:'\d{3})+|\d{1,3}(?: \d{3})+(?!\d)|\d{1,2}(?:,\d{2})+,\d{3}(?!,?\d)"
_PLAIN = rf"(?:(?:{_GROUPED}|\d+)(?:\.\d*)?|\.\d+)"
_BASE_NAMES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_BASE = re.compile(
    r"(?P<sign>-?)(?P<digits>(?=[A-Z]*\d|[A-Z]{2})[0-9A-Z]+)"
    r"(?:\s*_\s*\{?\s*\(?(?P<base>\w+)\)?\s*\}?|\s*\(?\s*(?:in\s+)?[Bb]ase[ -]+(?P<named>\w+)\s*\)?)"
)
_PREFIXED = re.compile(r"-?0(?:x[0-9a-f]+|b[01]+|o[0-7]+)", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?:(?:approximately|approx\.?|about|around|roughly|exactly|precisely|≈|~|\\approx)\s*)?"
    r"(?P<sign>[-+]|(?:negative|minus|positive|plus)\b)?\s*(?P<currency>US\$|USD|EUR|GBP|[$€£¥₹])?\s*(?P<inner>-?)"
    rf"(?:(?P<whole>\d+)\s+(?P<part>\d+)\s*/\s*(?P<of>\d+)|(?P<over>{_PLAIN})\s*/\s*(?P<under>-?{_PLAIN})|(?P<plain>{_PLAIN}))"
    r"(?:\s*\*\s*10\s*\^\s*(?:\{\s*(?P<power>[-+]?\d+)\s*\}|(?P<bare>[-+]?\d+))|[eE](?P<exponent>[-+]?\d+)(?![\d.]))?"
    r"(?P<tail>.*)",
    re.DOTALL | re.IGNORECASE,
)
_FRACTION_PART = r"(?:\{\s*(-?[\d.,]+)\s*\}|(\d))"
_LATEX_FRACTION = re.compile(r"\\[dtc]?frac\s*" + _FRACTION_PART + r"\s*" + _FRACTION_PART)
_REPEATING = re.compile(r"(\d*)\.(\d*)\\overline\s*\{?(\d+)\}?")
_REWRITES = (
    (_REPEATING, lambda match: _repeated(*match.groups())),
    (re.compile(r",?\\!|\\left|\\right|\\displaystyle"), lambda match: "," if match[0].startswith(",") else ""),
    (re.compile(r"\{,\}"), lambda _: ","),
    (re.compile(r"(?<!\\)\\[,;: ]|(?<=\d)~"), lambda _: " "),
    (re.compile(r"\\(?:times|cdot)|[×·⋅]|(?<=[\d.])\s*[xX]\s*(?=10\s*\^)"), lambda _: "*"),
    (re.compile(r"\\([%$])"), lambda match: match[1]),
    (re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree|\\circ|°"), lambda _: " degree "),
    (re.compile(r"\bdegree\s+([CF])\b"), lambda match: "celsius" if match[1] == "C" else "fahrenheit"),
    (re.compile(r"\bdegrees?\s+(?=celsius|fahrenheit)", re.IGNORECASE), lambda _: ""),
    (re.compile(r"[–—‐‑](?=\s?[\d.$])"), lambda _: "-"),
    (_LATEX_FRACTION, lambda match: f" {match[1] or match[2]}/{match[3] or match[4]} "),
    (re.compile(r"(?<![\d.*])(?<!\* )10\s*\^"), lambda _: "1*10^"),
    (
        re.compile(r"(?<![\d.,])(\d{1,3}(?:[.' ]\d{3})+),(\d+)(?![\d.,])"),
        lambda match: _without_groups(match[1], match[2]),
    ),
    (re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3}){2,}(?![\d.,])"), lambda match: match[0].replace(".", "")),
    (re.compile(r"(?<![\d.,])0,(\d+)(?![\d.,])"), lambda match: f"0.{match[1]}"),
)
_DECIMAL_COMMA = re.compile(r"(?<![\d.,])(\d+),(\d{1,2}|\d{4,}|(?<=\d{4},)\d{3})(?![\d.,])")
_BRACED = re.compile(r"^\{([^{},]*)\}$")
_FREE_NUMBER = re.compile(
    rf"(?<![\w.,^/\\])(?:(?:negative|minus)\s+)?[-+]?[$€£¥₹]?{_PLAIN}(?:/\d+)?(?:[eE][-+]?\d+)?(?![\d^!_])"
    rf"(?:\s*%|\s*(?:{MULTIPLIER})(?!\w))*(?:\s*(?:{MEASURE})\b(?:\s*/\s*(?:{MEASURE})\b)?)?(?![\w^!])",
    re.IGNORECASE,
)
_PROSE = re.compile(
    r"(?:[^\W\d_]|[\s,.;:!?'\"()%$€£¥₹°…-]"
    r"|[\u0300-\u036f\u0591-\u05c7\u0610-\u065f\u0900-\u0dff\u0e30-\u0e4e])*"  # vowel signs and other marks
)
_VARIABLE = re.compile(r"(?<!['\w])[b-hj-zB-HJ-Z](?![\w'])")
_DENIED = re.compile(r"\b(?:not|never|neither|nor|cannot|than|except|or)\b|n't\b", re.IGNORECASE)
_CHANGED_BEFORE = re.compile(
    r"\b(?:half|third|quarter|twice|thrice|double|triple|root|square|cube|percent|negative|minus|plus|base|log\w*|below"
    r"|above|over|under|almost|nearly|between|at\s+(?:least|most)|up\s+to)\s+(?:of\s+|the\s+|by\s+)*$|[π√]\s*$|[\w+*/^-]\s*\($",
    re.IGNORECASE,
)
_CHANGED_AFTER = re.compile(
    rf"\s*(?:{CHANGER}|to\s+the|and\s+(?:an?|one|two|three)|or\s+(?:so|more|less)|percent\s+of|of\s+\d|%\s+of)\b"
    r"|\s*[π√+*=<>±-]|\s*(?-i:[ei])(?=\W*$)|\s*[,;]?\s*[-+]?\d",
    re.IGNORECASE,
)


_NO_TAIL = Tail()


@dataclass(frozen=True)
class Quantity:
    """A number as it was written.

    Attributes:
        value: Its value, in its own unit.
        tail: Its unit.
        decimal: Whether it was written with a decimal mark or an exponent.
    """

    value: Fraction
    tail: Tail = _NO_TAIL
    decimal: bool = False


def read_number(text: str, *, decimal_comma: bool = False) -> Quantity | None:
    """Return the number that a text is, perhaps with currency, percent sign or units, or None.

    What cannot be read beside the number makes all of it unread.

    Args:
        text: The text.
        decimal_comma: Whether `3,5` is a number; it is a list of two numbers otherwise.
    """
    if len(text) > _LONGEST:
        return None
    cleaned = without_math_delimiters(unwrapped(plain_unicode(text)))
    for pattern, replacement in _REWRITES:
        cleaned = pattern.sub(replacement, cleaned)
    if decimal_comma:
        cleaned = _DECIMAL_COMMA.sub(r"\1.\2", cleaned)
    cleaned = cleaned.strip().strip("*_\"'").strip()
    cleaned = _BRACED.sub(r"\1", cleaned)
    based = _in_base(cleaned)
    if based is not None:
        return Quantity(based)
    match = _NUMBER.fullmatch(cleaned)
    if match is None:
        return None
    value = _value(match)
    tail = read_tail(match["tail"], match["currency"] or "")
    if value is None or tail is None:
        return None
    digits = match["plain"] or f"{match['over'] or ''}{match['under'] or ''}"
    return Quantity(value * tail.factor, tail, "." in digits or match["exponent"] is not None)


def parsed_number(text: str) -> Fraction | None:
    """Return the value of a text that is one number, or None."""
    number = read_number(text)
    return None if number is None else number.value


def _repeated(whole: str, first: str, period: str) -> str:
    nines = 10 ** len(first) * (10 ** len(period) - 1)
    return f"{int(f'{whole}{first}{period}') - int(f'{whole}{first}' or 0)}/{nines}"


def _without_groups(whole: str, decimals: str) -> str:
    return f"{re.sub('[^0-9]', '', whole)}.{decimals}"


def _in_base(text: str) -> Fraction | None:
    if _PREFIXED.fullmatch(text):
        return Fraction(int(text, 0))
    match = _BASE.fullmatch(text)
    if match is None:
        return None
    name = (match["base"] or match["named"]).lower()
    base = _BASE_NAMES.get(name) or (int(name) if name.isdecimal() and name[0] != "0" and len(name) < 3 else 0)
    try:
        value = int(match["digits"], base) if 2 <= base <= 36 else None
    except ValueError:
        return None
    return None if value is None else Fraction(-value if match["sign"] else value)


def _value(match: re.Match[str]) -> Fraction | None:
    try:
        if match["whole"] is not None:
            size = Fraction(match["whole"]) + Fraction(int(match["part"]), int(match["of"]))
        elif match["over"] is not None:
            size = _decimal(match["over"]) / _decimal(match["under"])
        else:
            size = _decimal(match["plain"])
        exponent = int(match["power"] or match["bare"] or match["exponent"] or 0)
    except (ZeroDivisionError, ValueError):
        return None
    if abs(exponent) > _LARGEST_EXPONENT:
        return None
    if match["sign"] and match["inner"] and not match["currency"]:
        return None
    negative = ((match["sign"] or "").lower() in ("-", "negative", "minus")) != (match["inner"] == "-")
    return (-size if negative else size) * Fraction(10) ** exponent


def _decimal(digits: str) -> Fraction:
    return Fraction(re.sub("[, ']", "", digits).rstrip(".") or "0")


def only_number(text: str) -> Quantity | None:
    """Return the only number in a stretch of prose, or None if there are others, formulas, denials or changes of it."""
    if len(text) > _LONGEST_PROSE:
        return None
    cleaned = text.replace(r"\$", "$")
    found = list(_FREE_NUMBER.finditer(cleaned))
    stating = [sentence for sentence in sentences(cleaned) if _FREE_NUMBER.search(sentence)]
    if not found or any(_DENIED.search(sentence) for sentence in stating):
        return None
    if any(_CHANGED_BEFORE.search(cleaned, 0, at.start()) or _CHANGED_AFTER.match(cleaned, at.end()) for at in found):
        return None
    rest = _FREE_NUMBER.sub(" ", cleaned)
    if not _PROSE.fullmatch(rest) or _VARIABLE.search(rest):
        return None
    numbers = {read_number(number[0]) for number in found}
    return numbers.pop() if len(numbers) == 1 else None


def same_number(given: Quantity, gold: Quantity, tolerance: Fraction = EXACT_TOLERANCE) -> bool:
    """Return whether two numbers are equal: exactly, but for a decimal that stands for what has no finite decimal.

    Units must be of one kind where both have one, and are converted. Five percent agrees with 5 and with 0.05.

    Args:
        given: The number in the reply.
        gold: The gold number.
        tolerance: A larger one than `EXACT_TOLERANCE` holds for every gold number that is written as a decimal.
    """
    value, wanted = given.value, gold.value
    if given.tail.is_percent != gold.tail.is_percent and _share(given) == _share(gold):
        return given.tail.bare or gold.tail.bare
    if not given.tail.bare and not gold.tail.bare:
        if not given.tail.agrees(gold.tail):
            return False
        value, wanted = value * given.tail.size, wanted * gold.tail.size
    difference = abs(value - wanted)
    if gold.decimal and tolerance > EXACT_TOLERANCE:
        return difference <= tolerance * abs(wanted)
    if given.decimal and value.denominator > 1 and difference <= _FLOAT_NOISE * abs(wanted):
        return True
    endless = gold if given.decimal else given
    if given.decimal != gold.decimal and not _is_finite_decimal(endless.value):
        return difference <= EXACT_TOLERANCE * abs(wanted)
    return not difference


def _share(number: Quantity) -> Fraction:
    return number.value * number.tail.size / 100 if number.tail.is_percent else number.value


def _is_finite_decimal(value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def number_form(value: Fraction) -> str:
    """Return the one way in which a value is written as a key."""
    return str(value)
