"""When two short answers are equal by the rules of release 1.1.2: as lists, truth values, numbers or texts."""

import ast
import math
import re
import warnings
from typing import Any

from moco.scoring.base import Unevaluable
from moco.scoring.original_answers import paper_1_1_form

_TOLERANCE = 0.01
_NEAR_ZERO = 1e-9
_WHOLE = re.compile(r"-?\d+")
_NO_COMMAS_AND_DOLLARS = str.maketrans("", "", ",$")


def equal(given: str, gold: str, answer_type: Any) -> bool:
    """Return whether an answer is right.

    Args:
        given: The answer.
        gold: The gold answer.
        answer_type: What the source calls the kind of answer; null where it says nothing.

    Raises:
        Unevaluable: A list cannot be read in a way that the release does not foresee.
    """
    wanted = _list(gold)
    if wanted is not None:
        elements = _list(given)
        if elements is None or len(elements) != len(wanted):
            return False
        whole = "integer" in str(answer_type or "")
        return all(_equal_items(str(one), str(other), whole) for one, other in zip(elements, wanted, strict=True))
    truth = _truth_value(gold)
    if truth is not None:
        return _truth_value(given) is truth
    whole = answer_type == "integer" or (not answer_type and bool(_WHOLE.fullmatch(gold.strip())))
    return _equal_items(given, gold, whole)


def _equal_items(given: str, gold: str, whole: bool) -> bool:
    one, other = _number(given), _number(gold)
    if one is None or other is None:
        return paper_1_1_form(given) == paper_1_1_form(gold)
    return _equal_numbers(one, other, whole)


def _equal_numbers(given: float, gold: float, whole: bool) -> bool:
    if whole:
        return given == gold
    if gold == 0:
        return abs(given) < _NEAR_ZERO
    return math.isclose(given, gold, rel_tol=_TOLERANCE)


def _list(text: str) -> list[Any] | tuple[Any, ...] | None:
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the parser, about escapes in the text
            value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return None
    except (TypeError, RecursionError, MemoryError):
        raise Unevaluable from None
    return value if isinstance(value, list | tuple) else None


def _truth_value(text: str) -> bool | None:
    return {"true": True, "yes": True, "false": False, "no": False}.get(text.strip().lower().rstrip("."))


def _number(text: str) -> float | None:
    bare = text.strip().translate(_NO_COMMAS_AND_DOLLARS)
    percent = bare.endswith("%")
    try:
        value = float(bare[:-1].strip() if percent else bare)
    except ValueError:
        return None
    return value / 100 if percent else value
