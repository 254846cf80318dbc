"""Comparison of a short answer with a gold answer of a known kind, and the form under which answers are equal."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction

from moco.scoring.algebra import algebraically_equal
from moco.scoring.enclosures import Enclosure, enclosed, same_parts
from moco.scoring.labels import leading_label, option_equal_to, option_follows
from moco.scoring.latex import latex_equal, latex_form
from moco.scoring.numbers import (
    EXACT_TOLERANCE,
    Quantity,
    number_form,
    only_number,
    parsed_number,
    read_number,
    same_number,
)
from moco.scoring.text import plain_unicode, unwrapped, without_emphasis, without_math_delimiters
from moco.tasks.item import LETTERS

FLOAT_TOLERANCE = Fraction(1, 100)
"""Relative difference up to which computed decimals of theoremqa count as right."""

_LONGEST = 20_000
_MOST_LAYERS = 8
_COMPARED_OTHERWISE = ("latex", "list", "number", "option")
_BRACKETS = "()[]{}<>"
_BRACKET_ANSWER = re.compile(r"[\s$\\,]*(?:[()\[\]{}<>][\s$\\,]*)+")
_LABEL_GOLD = re.compile(r"\(?([A-Za-z])\)?[.:]?")
_LABEL_FORM = re.compile(r"[(\[]?([A-Za-z])[)\].:]?|[(\[]([A-Za-z])[)\]]\s.+|([A-Za-z])\)\s?.+", re.DOTALL)
_LISTED_OPTION = re.compile(r"^\(([A-Z])\)\s*(.+)$", re.MULTILINE)
_LIST_GOLD = re.compile(r"\[.*\]|\(.*,.*\)", re.DOTALL)
_VECTOR = re.compile(r"\\begin\{[a-zA-Z]*(?:matrix|array)\}(?:\{[clr|]*\})?(.*)\\end\{\w+\}", re.DOTALL)
_ROW_BREAK = re.compile(r"\\\\|&")
_TRUTH_WORD = re.compile(r"\b(?:true|false|yes|no)\b")
_LEADING_TRUTH = re.compile(r"\W*(true|false|yes|no)\s*(?:[,.;:!)\]-]|$)")
_TRUTH_DENIED = re.compile(r"\b(?:not|cannot|never)\b|n't\b")
_AS_TRUTH = {"yes": "true", "no": "false"}
_ARTICLE = re.compile(r"(?<!\w)(?:a|an|the)(?![\w+#-])")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DASH = re.compile(r"(?<=\d)[–—‐‑](?=\d)")
_BELONGING = re.compile(
    r"(?<=\d)[.,:/-](?=\d)"  # 1.5, 2-1, 10:30
    r"|(?<![\w-])-(?=\.?\d)"  # -3
    r"|(?<=(?<!\w)[^\W\d_])(?:\+{1,2}|#|-)(?![\w+#-])"  # C++, F#, A-
    r"|(?<=(?<!\w)ab)[+-](?!\w)"  # AB+
)
_MARKS = "$+<=>^`|~"
_LATEX_MARK = re.compile(r"\\[a-zA-Z]|[\^_]")
_TERM = re.compile(r"-?\d[\d.]*[a-zA-Z]")
_SEVERAL = re.compile(r"\b(?:or|and)\b|,\s|;")
_EQUALS = re.compile(r"(?<![<>!:=])=(?!=)|\\in(?![a-z])|∈")


def is_right(given: str, gold: str, kind: str, *, options: Sequence[str] = (), tolerance: Fraction) -> bool:
    """Return whether an answer agrees with a gold answer of a kind; never for an answer without content.

    Args:
        given: The extracted answer.
        gold: The gold answer as text.
        kind: Its kind; `text` and unknown kinds are guessed from the gold answer.
        options: Texts of the options that the question lists, in order.
        tolerance: Relative tolerance for a gold answer written with a decimal point or an exponent.
    """
    written = plain_unicode(given[:_LONGEST])
    answer = " ".join(unwrapped(written).split()).strip("`").strip()
    gold = plain_unicode(gold).strip()
    if not answer or not gold:
        return False
    kind = kind if kind in _COMPARED or kind in _COMPARED_OTHERWISE else _guessed_kind(gold)
    if kind == "option":
        return _same_label(answer, gold, options)
    if kind == "number":
        return _same_number(answer, gold, tolerance)
    if kind == "list":
        return _same_list(answer, gold, tolerance)
    return latex_equal(written, gold) if kind == "latex" else _COMPARED[kind](answer, gold)


def _guessed_kind(gold: str) -> str:
    if _LABEL_GOLD.fullmatch(unwrapped(gold)):
        return "option"
    if _BRACKET_ANSWER.fullmatch(gold):
        return "brackets"
    if read_number(gold) is not None:
        return "number"
    if _LATEX_MARK.search(gold) or _TERM.fullmatch(gold):
        return "latex"
    return "list" if _LIST_GOLD.fullmatch(gold) else "plain"


def _same_label(answer: str, gold: str, options: Sequence[str]) -> bool:
    match = _LABEL_GOLD.fullmatch(unwrapped(gold).strip())
    if match is None:
        return _same_plain(answer, gold)
    wanted = LETTERS.index(match[1].upper())
    text = without_math_delimiters(without_emphasis(answer))
    equal = option_equal_to(text, options) if len(text) > 1 else None
    if equal is not None:
        return equal == wanted
    label = leading_label(text)
    if label is None or label.ambiguous:
        return False
    follows = label.index < len(options) and option_follows(text, label, options)
    return label.index == wanted and (label.firm or follows)


def _same_brackets(answer: str, gold: str) -> bool:
    wanted = [mark for mark in gold if mark in _BRACKETS]
    return bool(wanted) and [mark for mark in answer if mark in _BRACKETS] == wanted


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,;]+", text.casefold().strip("[]().\"'*$ ")) if word]


def _same_words(answer: str, gold: str) -> bool:
    wanted = _words(gold)
    return bool(wanted) and wanted in (_words(answer), _words(answer.rpartition(":")[2]))


def _truth(text: str) -> str | None:
    folded = without_math_delimiters(without_emphasis(text)).casefold().strip("\"'")
    leading = _LEADING_TRUTH.match(folded)
    if leading:
        return leading[1]
    found = set(_TRUTH_WORD.findall(folded))
    return found.pop() if len(found) == 1 and not _TRUTH_DENIED.search(folded) else None


def _same_boolean(answer: str, gold: str) -> bool:
    given, wanted = _truth(answer), _truth(gold)
    if given is None or wanted is None:
        return False
    return _AS_TRUTH.get(given, given) == _AS_TRUTH.get(wanted, wanted)


def _stated_number(answer: str) -> Quantity | None:
    """Return the number an answer states: all of it, the right side of an equation, or the only one in prose."""
    number = read_number(answer, decimal_comma=True) or read_number(_right_side(answer), decimal_comma=True)
    return number or only_number(without_math_delimiters(answer))


def _right_side(answer: str) -> str:
    """Return what follows the last equals sign of an answer that gives one value, else all of it."""
    sides = _EQUALS.split(answer)
    return answer if len(sides) == 1 or _SEVERAL.search(answer) else sides[-1].replace("$", "").strip()


def _same_number(answer: str, gold: str, tolerance: Fraction) -> bool:
    wanted = read_number(gold)
    if wanted is None:
        return latex_equal(answer, gold) or _same_plain(answer, gold)
    number = _stated_number(answer)
    if number is not None:
        return same_number(number, wanted, tolerance)
    formula = without_math_delimiters(_right_side(answer))
    allowed = tolerance if wanted.decimal else EXACT_TOLERANCE
    value = f"{Decimal(wanted.value.numerator) / wanted.value.denominator:f}" if wanted.decimal else str(wanted.value)
    return enclosed(formula) is None and algebraically_equal(formula, value, allowed)


def _listed(text: str) -> Enclosure | None:
    r"""Return the list that a text is; a vector `\begin{pmatrix} 1 \\ 2 \end{pmatrix}` is one."""
    text = without_math_delimiters(text).strip(",. ")
    vector = _VECTOR.fullmatch(text)
    if vector and (r"\\" in vector[1]) != ("&" in vector[1]):
        text = f"[{_ROW_BREAK.sub(',', vector[1])}]"
    found = enclosed(text)
    if found is None or len(found.parts) > 1:
        return found or (Enclosure("", tuple(text.split())) if text else None)
    return Enclosure(found.frame, tuple(found.parts[0].split()))


def _same_list(answer: str, gold: str, tolerance: Fraction) -> bool:
    given, wanted = _listed(_right_side(answer)), _listed(gold)
    if given is None or wanted is None:
        return False
    if same_parts(given, wanted, lambda part, other: _same_number(part, other, tolerance), bare_list=True):
        return True
    return "," in gold and latex_equal(answer, gold)


def plain_form(text: str) -> str:
    """Return a text without case, punctuation and articles; articles stay if nothing else is there.

    Marks that belong to a word or number stay: `C++`, `F#`, `A-`, `1.5`, `2-1`, `-3`. The form of a form is that form.
    """
    form = _without_marks(text)
    # What stood between two marks may be gone now, and with it their reason to stay.
    while (again := _without_marks(form)) != form:
        form = again
    return form


def _without_marks(text: str) -> str:
    folded = _DASH.sub("-", _THOUSANDS.sub("", plain_unicode(text).casefold()))
    belonging = {position for match in _BELONGING.finditer(folded) for position in range(*match.span())}
    spaced = "".join(
        mark
        for position, mark in enumerate(folded)
        if position in belonging or not (mark in _MARKS or unicodedata.category(mark).startswith("P"))
    )
    without_articles = " ".join(_ARTICLE.sub(" ", spaced).split())
    return without_articles or " ".join(spaced.split())


def _same_plain(answer: str, gold: str) -> bool:
    wanted = plain_form(gold)
    if wanted and plain_form(answer) == wanted:
        return True
    if wanted in _AS_TRUTH or wanted in _AS_TRUTH.values():
        return _truth(answer) == wanted
    return not wanted and "".join(answer.split()) == "".join(gold.split())


_COMPARED: dict[str, Callable[[str, str], bool]] = {
    "boolean": _same_boolean,
    "brackets": _same_brackets,
    "plain": _same_plain,
    "words": _same_words,
}


def answer_form(text: str) -> str:
    """Return the text under which equal short answers are equal, whatever their kind; it is its own form."""
    form = _one_form(text)
    for _ in range(_MOST_LAYERS):
        again = _one_form(form)
        if again == form:
            break
        form = again
    return form


def _one_form(text: str) -> str:
    answer = without_math_delimiters(without_emphasis(unwrapped(plain_unicode(text[:_LONGEST])))).strip()
    label = _LABEL_FORM.fullmatch(answer)
    if label:
        return (label[1] or label[2] or label[3]).upper()
    value = parsed_number(answer)
    if value is not None:
        return number_form(value)
    if _BRACKET_ANSWER.fullmatch(answer):
        return " ".join(mark for mark in answer if mark in _BRACKETS)
    found = enclosed(answer) if "," in answer else None
    values = [parsed_number(part) for part in found.parts] if found else []
    if found and all(value is not None for value in values):
        frame = found.frame or "[]"
        return frame[0] + ", ".join(number_form(value) for value in values if value is not None) + frame[1]
    if _LATEX_MARK.search(answer):
        return latex_form(answer) or answer
    return plain_form(answer) or answer


def listed_options(question: str) -> tuple[str, ...]:
    """Return the option texts that a question lists in lines such as "(A) red", in order from A; else nothing."""
    found = _LISTED_OPTION.findall(question)
    in_order = [letter for letter, _ in found] == list(LETTERS[: len(found)])
    return tuple(text.strip() for _, text in found) if in_order else ()
