"""Words beside a number: what multiplies it, which unit it has, and what makes it unreadable."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from unicodedata import normalize

_SCALES: dict[int | Fraction, str] = {
    12: "dozen dozens dutzend docena docenas douzaine douzaines",
    100: "hundred hundreds 百",
    1000: "thousand thousands mil mille tausend tsd тысяча тысячи тысяч ألف آلاف हज़ार हजार 千 천",
    10**4: "万 萬 만",
    10**5: "lakh lakhs lac lacs लाख",
    10
    ** 6: "million millions millionen millones millón milhão milhões mn mio миллион миллиона миллионов млн مليون ملايين 百万",
    10**7: "crore crores करोड़ करोड 千万",
    10**8: "億 亿 억",
    10**9: "billion billions bn milliard milliards milliarde milliarden mrd миллиард миллиарда миллиардов млрд مليار",
    10**12: "trillion trillions",
    Fraction(1, 2): "half halves",
    Fraction(1, 3): "third thirds",
    Fraction(1, 4): "fourth fourths quarter quarters",
    Fraction(1, 5): "fifth fifths",
    Fraction(1, 6): "sixth sixths",
    Fraction(1, 7): "seventh sevenths",
    Fraction(1, 8): "eighth eighths",
    Fraction(1, 9): "ninth ninths",
    Fraction(1, 10): "tenth tenths",
    Fraction(1, 100): "hundredth hundredths",
    Fraction(1, 1000): "thousandth thousandths",
    Fraction(1, 10**6): "millionth millionths",
}
_FACTORS = {word: Fraction(factor) for factor, words in _SCALES.items() for word in normalize("NFKC", words).split()}
_MONEY_SCALES = {"k": 1000, "m": 10**6, "b": 10**9}
_MEASURES: tuple[tuple[str, int | Fraction, str], ...] = (
    ("m", 1, "m meter meters metre metres"),
    ("m", 1000, "km kms kilometer kilometers kilometre kilometres"),
    ("m", Fraction(1, 100), "cm cms centimeter centimeters centimetre centimetres"),
    ("m", Fraction(1, 1000), "mm millimeter millimeters millimetre millimetres"),
    ("m", Fraction(1, 10**9), "nm nanometer nanometers"),
    ("inch", 1, "inch in inches"),
    ("inch", 12, "foot ft feet"),
    ("inch", 36, "yard yd yards"),
    ("inch", 63360, "mile mi miles"),
    ("g", 1, "g gram grams"),
    ("g", 1000, "kg kgs kilogram kilograms kilo kilos"),
    ("g", Fraction(1, 1000), "mg milligram milligrams"),
    ("pound", 1, "pound lb lbs pounds gbp £"),
    ("pound", Fraction(1, 16), "ounce oz ounces"),
    ("l", 1, "l liter liters litre litres"),
    ("l", Fraction(1, 1000), "ml milliliter milliliters millilitre millilitres"),
    ("s", 1, "s sec secs second seconds"),
    ("s", Fraction(1, 1000), "ms millisecond milliseconds"),
    ("s", 60, "min mins minute minutes"),
    ("s", 3600, "h hr hrs hour hours"),
    ("s", 86400, "day days"),
    ("s", 604800, "week weeks"),
    ("month", 1, "month months"),
    ("month", 12, "year yr yrs years"),
    ("dollar", 1, "dollar dollars usd us$ $"),
    ("dollar", Fraction(1, 100), "cent cents ¢"),
    ("euro", 1, "euro euros eur €"),
    ("yen", 1, "yen jpy ¥"),
    ("rupee", 1, "rupee rupees rs inr ₹"),
    ("degree", 1, "degree degrees deg"),
    ("celsius", 1, "celsius centigrade"),
    ("fahrenheit", 1, "fahrenheit"),
    ("rad", 1, "rad radian radians"),
    ("%", 1, "% percent pct"),
    ("%", Fraction(1, 10), "‰ permille"),
    ("hz", 1, "hz hertz"),
    ("hz", 1000, "khz"),
    ("hz", 10**6, "mhz"),
    ("hz", 10**9, "ghz"),
    ("pa", 1, "pa pascal pascals"),
    ("pa", 1000, "kpa"),
    ("ev", 1, "ev"),
    ("ev", 1000, "kev"),
    ("j", 1, "joule joules"),
    ("j", 1000, "kj kilojoule kilojoules"),
    ("w", 1, "watt watts"),
    ("w", 1000, "kw kilowatt kilowatts"),
    ("byte", 1, "byte bytes"),
    ("kb", 1, "kb kilobyte kilobytes"),
    ("mb", 1, "mb megabyte megabytes"),
    ("gb", 1, "gb gigabyte gigabytes"),
    ("atm", 1, "atm atmosphere atmospheres"),
    ("mol", 1, "mol mole moles"),
)
_MEASURE = {word: (unit, Fraction(size)) for unit, size, words in _MEASURES for word in words.split()}
_SYMBOLS = {symbol: (symbol.lower(), Fraction(1)) for symbol in "JNWVACFTK"}
_COMPOUND = {"mph": "mile / h", "kmph": "km / h", "kph": "km / h"}
_FILLER_WORDS = "in total altogether all left remaining each of the long old tall wide high away apart later"
_CHANGING_WORDS = (
    "pi tau squared cubed factorial mod modulo base power plus minus times over below above score scores gross myriad "
    "quadrillion googol squares radical root"
)
_OTHER_WORDS = (
    "sqrt and or to under not than less more fewer but if is are was equals th st nd rd ln log sin cos tan exp out "
    "negative positive bc bce ad am pm"
)
_FILLERS = frozenset(_FILLER_WORDS.split())
_CHANGERS = frozenset(_CHANGING_WORDS.split())
_NO_UNITS = _CHANGERS | set(_OTHER_WORDS.split())
_MOST_WORDS = 6
_WORD = re.compile(r"[a-z]{2,}(?:'s|-[a-z]+)?", re.IGNORECASE)
_PERCENT = re.compile(r"\bper\s+cent\b|\bpercentage\b", re.IGNORECASE)
_PER = re.compile(r"\s*/\s*|\bper\b", re.IGNORECASE)
_POWER = re.compile(r"\s*\^\s*\{?\s*(-?\d)\s*\}?")
_DIGIT_POWER = re.compile(r"-?[0-9]")
_RAISED = (
    (re.compile(r"\b(?:square|sq\.?)\s+([a-z]+)", re.IGNORECASE), r"\1^2"),
    (re.compile(r"\b(?:cubic|cu\.?)\s+([a-z]+)", re.IGNORECASE), r"\1^3"),
    (re.compile(r"\b((?!\bto\b)[a-z]+)\s+squared\b", re.IGNORECASE), r"\1^2"),
    (re.compile(r"\b((?!\bto\b)[a-z]+)\s+cubed\b", re.IGNORECASE), r"\1^3"),
)


def _pattern(words: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


MULTIPLIER = _pattern(_FACTORS)
"""Pattern of the words that multiply or divide the number before them."""

CHANGER = _pattern(_CHANGERS)
"""Pattern of further words that change the number before them."""

MEASURE = _pattern(word for word in _MEASURE if len(word) > 1 and word.isalpha() and word not in _FILLERS)
"""Pattern of units of measurement with more than one letter."""


@dataclass(frozen=True)
class Tail:
    """What stands behind a number.

    Attributes:
        factor: What it multiplies the number by.
        units: Its units of measurement, reduced to one of a kind, with powers and `/`.
        size: Size of its units in the reduced ones.
        things: Other words, such as what is counted.
    """

    factor: Fraction = Fraction(1)
    units: tuple[str, ...] = ()
    size: Fraction = Fraction(1)
    things: frozenset[str] = frozenset()

    @property
    def bare(self) -> bool:
        """Whether there is no unit at all."""
        return not self.units and not self.things

    @property
    def is_percent(self) -> bool:
        """Whether the unit is percent alone."""
        return self.units == ("%",)

    def agrees(self, other: "Tail") -> bool:
        """Return whether two units are of one kind."""
        if self.units or other.units:
            return self.units == other.units
        return self.things <= other.things or other.things <= self.things


def read_tail(text: str, currency: str = "") -> Tail | None:
    """Return what the words behind a number say, or None where they cannot be read.

    Args:
        text: Everything behind the digits; a blank at its start tells a unit from a factor such as `x`.
        currency: The sign before the digits.
    """
    words = _words(text)
    attached = bool(text) and not text[0].isspace()
    if len(words) > _MOST_WORDS or (attached and words and not _may_be_attached(words[0], currency)):
        return None
    factor, size, below = Fraction(1), Fraction(1), False
    units: list[str] = []
    things: set[str] = set()
    for word in words:
        name, mark, power = word.rstrip(".,").partition("^")
        if mark and not _DIGIT_POWER.fullmatch(power):
            return None
        lower = name.lower()
        known = _SYMBOLS.get(name) or _MEASURE.get(lower)
        multiplier = _FACTORS.get(lower) or (_MONEY_SCALES.get(lower) if currency and attached else None)
        if multiplier and not (power or units or things):
            factor *= multiplier
        elif lower == "/" and (units or things or currency):
            units.append("/")
            below = True
        elif lower in _FILLERS and not (power or (lower == "in" and word is words[-1]) or below):
            continue
        elif known and lower not in _NO_UNITS:
            units.append(known[0] + (f"^{power}" if power else ""))
            size *= known[1] ** (int(power or 1) * (-1 if below else 1))
        elif lower not in _NO_UNITS and _WORD.fullmatch(name):
            things.add(lower.removesuffix("s") + (f"^{power}" if power else ""))
        else:
            return None
    if currency and units[:1] != [_MEASURE[currency.lower()][0]]:
        units.insert(0, _MEASURE[currency.lower()][0])
    return Tail(factor, tuple(units), size, frozenset(things))


def _words(text: str) -> list[str]:
    rest = _PERCENT.sub("%", text.strip().rstrip(".").strip())
    rest = _PER.sub(" / ", _POWER.sub(r"^\1", rest))
    for pattern, raised in _RAISED:
        rest = pattern.sub(raised, rest)
    words = rest.replace("%", " % ").replace("‰", " ‰ ").split()
    return [part for word in words for part in _COMPOUND.get(word.lower(), word).split()]


def _may_be_attached(word: str, currency: str) -> bool:
    name = word.partition("^")[0].rstrip(".,").lower()
    if currency and name in _MONEY_SCALES:
        return True
    return (name in _MEASURE or name in _FACTORS) and (len(name) > 1 or not (name.isascii() and name.isalpha()))
