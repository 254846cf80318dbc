"""Exact values of numbers as people write them: signs, separators, currency, units, fractions, powers of ten."""

import re
from fractions import Fraction

from moco.scoring.text import plain_unicode, sentences, unwrapped, without_math_delimiters

EXACT_TOLERANCE = Fraction(1, 1_000_000)
"""Relative difference up to which integers, fractions and decimals count as equal."""

_LONGEST = 200
_LARGEST_EXPONENT = 400
_MOST_UNIT_WORDS = 5
_PLAIN = r"(?:(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+(?!\d)|\d+)(?:\.\d*)?|\.\d+)"
_NUMBER = re.compile(
    r"(?:(?:approximately|approx\.?|about|around|roughly|exactly|≈|~|\\approx)\s*)?"
    r"(?P<sign>[-+]?)\s*(?:US\$|USD|EUR|GBP|[$€£¥₹])?\s*(?P<inner>-?)"
    rf"(?:(?P<whole>\d+)\s+(?P<part>\d+)\s*/\s*(?P<of>\d+)|(?P<over>{_PLAIN})\s*/\s*(?P<under>-?{_PLAIN})|(?P<plain>{_PLAIN}))"
    r"(?:\s*\*\s*10\s*\^\s*(?:\{\s*(?P<power>[-+]?\d+)\s*\}|(?P<bare>[-+]?\d+))|[eE](?P<exponent>[-+]?\d+)(?![\d.]))?"
    r"(?P<tail>.*)",
    re.DOTALL | re.IGNORECASE,
)
_DIGITS = r"(?:\{\s*(-?[\d.,]+)\s*\}|(\d))"
_LATEX_FRACTION = re.compile(r"\\[dtc]?frac\s*" + _DIGITS + r"\s*" + _DIGITS)
_REWRITES = (
    (re.compile(r",?\\!|\\left|\\right|\\displaystyle"), lambda match: "," if match[0].startswith(",") else ""),
    (re.compile(r"\{,\}"), lambda _: ","),
    (re.compile(r"\\[,;: ]|~(?=\d)"), lambda _: " "),
    (re.compile(r"\\(?:times|cdot)|[×·⋅]|(?<=[\d.])\s*[xX]\s*(?=10\s*\^)"), lambda _: "*"),
    (re.compile(r"\\([%$])"), lambda match: match[1]),
    (re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree|\\circ|°"), lambda _: " "),
    (re.compile(r"[–—‐‑](?=\s?[\d.$])"), lambda _: "-"),
    (_LATEX_FRACTION, lambda match: f" {match[1] or match[2]}/{match[3] or match[4]} "),
    (re.compile(r"(?<![\d.*])(?<!\* )10\s*\^"), lambda _: "1*10^"),
)
_ATTACHED_UNITS = re.compile(
    r"[kcmn]m|[km]g|ml|min|hrs?|sec|ms|mph|kmph|ft|lbs?|oz|[kmg]?hz|[kmg]?ev|rad|deg|kpa|mpa|atm|mol|[mk]w|usd"
)
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_NO_UNITS = re.compile(
    r"pi|sqrt|and|or|to|plus|minus|times|over|not|than|less|more|but|if|is|are|was|equals|squared|cubed|th|st|nd|rd"
    r"|ln|log|sin|cos|tan|exp|out"
)
_UNIT_WORD = re.compile(r"(?:[a-z]{2,}|[mglshjnwvakc])(?:/[a-z]+)?(?:\^\{?-?\d\}?)?[.,]?|°[cf]|%", re.IGNORECASE)
_FREE_NUMBER = re.compile(rf"(?<![\w.,^/\\])[-+]?[$€£¥₹]?{_PLAIN}(?:/\d+)?(?:[eE][-+]?\d+)?(?![\d^])")
_PROSE = re.compile(r"(?:[^\W\d_]|[\s,.;:!?'\"()%$€£¥₹°…-])*")
_VARIABLE = re.compile(r"(?<!['\w])[b-hj-zB-HJ-Z](?![\w'])")
_DENIED = re.compile(r"\b(?:not|never|neither|nor|cannot|than|except|or)\b|n't\b", re.IGNORECASE)


def parsed_number(text: str) -> Fraction | None:
    """Return the exact value of a text that is one number, perhaps with currency, percent sign or units, or None.

    Percent signs and degrees are dropped like units, so that five percent is five.
    """
    if len(text) > _LONGEST:
        return None
    cleaned = without_math_delimiters(unwrapped(plain_unicode(text)))
    for pattern, replacement in _REWRITES:
        cleaned = pattern.sub(replacement, cleaned)
    match = _NUMBER.fullmatch(cleaned.strip().strip("*_\"'").strip())
    if match is None:
        return None
    value = _value(match)
    scale = _scale(match["tail"])
    return None if value is None or scale is None else value * scale


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
    negative = (match["sign"] == "-") != (match["inner"] == "-")
    return (-size if negative else size) * Fraction(10) ** exponent


def _decimal(digits: str) -> Fraction:
    return Fraction(digits.replace(",", "").replace(" ", "").rstrip(".") or "0")


def _scale(tail: str) -> int | None:
    """Return the factor that the words after a number stand for, 1 for units, None for anything else."""
    attached = bool(tail) and not tail[0].isspace()
    rest = tail.strip().rstrip(".").strip()
    if rest[:1] == "%":
        rest, attached = rest[1:].strip(), False
    words = rest.lower().split()
    if not words:
        return 1
    if attached and not _ATTACHED_UNITS.fullmatch(words[0]):
        return None
    if len(words) > _MOST_UNIT_WORDS:
        return None
    factor = 1
    for word in words:
        if not _UNIT_WORD.fullmatch(word) or _NO_UNITS.fullmatch(word):
            return None
        factor *= _SCALES.get(word, 1)
    return factor


def only_number(text: str) -> Fraction | None:
    """Return the value of the only number in a stretch of prose, or None if there are others, formulas or denials."""
    if len(text) > _LONGEST * _MOST_UNIT_WORDS:
        return None
    cleaned = text.replace(r"\$", "$")
    numbers = list(_FREE_NUMBER.finditer(cleaned))
    stating = [sentence for sentence in sentences(cleaned) if _FREE_NUMBER.search(sentence)]
    if not numbers or any(_DENIED.search(sentence) for sentence in stating):
        return None
    rest = _FREE_NUMBER.sub(" ", cleaned)
    if not _PROSE.fullmatch(rest) or _VARIABLE.search(rest):
        return None
    values = {parsed_number(number[0]) for number in numbers}
    return values.pop() if len(values) == 1 else None


def close(value: Fraction, gold: Fraction, tolerance: Fraction = EXACT_TOLERANCE) -> bool:
    """Return whether `value` lies within a relative `tolerance` of `gold`; zero only equals zero."""
    return abs(value - gold) <= tolerance * abs(gold)


def number_form(value: Fraction) -> str:
    """Return the one way in which a value is written as a key."""
    return str(value)
