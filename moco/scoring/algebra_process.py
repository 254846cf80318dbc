"""What the process of `algebra` runs: formulas become objects of sympy, and objects of one kind are compared.

Numbers are compared by 120 digits, and formulas with variables by such values at five places: two that agree there are
equal for every purpose of a score, and nothing has to be simplified, which may take for ever.
"""

import math
import random
from collections.abc import Iterable
from typing import Any

import sympy
from latex2sympy2_extended import NormalizationConfig, latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational

_DIGITS, _EXACT, _PLACES = 120, sympy.Float("1e-100", 120), 5
_ROUNDED = 1e-6  # what a decimal may be off that stands for a number without a finite one
_FLOAT_NOISE = sympy.Rational(1, 10**14)
_MOST_DIGITS = 5_000
_LARGEST_ARGUMENT = 1_000
_NORMALIZED = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=False, boxed="none", equations=False
)
_READ = ConversionConfig(lowercase_symbols=False)
_TRIGONOMETRY = ("sin", "cos", "tan", "cot", "sec", "csc")


def equal_formulas(given: str, gold: str, tolerance: float) -> bool:
    """Return whether two formulas in LaTeX can both be read and denote the same object."""
    try:
        left, right = _read(given), _read(gold)
        return _same(left, right, tolerance)
    except Exception:  # neither the reader nor sympy says what it may raise
        return False


def _read(formula: str) -> Any:
    degrees = any(f"\\{name}" in formula for name in _TRIGONOMETRY)
    return latex2sympy(formula, convert_degrees=degrees, conversion_config=_READ, normalization_config=_NORMALIZED)


def _same(left: Any, right: Any, tolerance: float) -> bool:
    left, right = (part.doit().as_explicit() if isinstance(part, sympy.MatrixExpr) else part for part in (left, right))
    if isinstance(left, sympy.MatrixBase) and isinstance(right, sympy.MatrixBase):
        return left.shape == right.shape and _all_same(left.flat(), right.flat(), tolerance)
    if _is_relation(left) and _is_relation(right):
        return _same_relations(_relations(left), _relations(right))
    if isinstance(left, sympy.Set) or isinstance(right, sympy.Set):
        return _same_sets(_as_set(left), _as_set(right), tolerance)
    if isinstance(left, sympy.Expr) and isinstance(right, sympy.Expr):
        return _same_values(left, right, tolerance)
    return False


def _all_same(left: Iterable[Any], right: Iterable[Any], tolerance: float) -> bool:
    return all(_same(one, other, tolerance) for one, other in zip(left, right, strict=True))


def _is_relation(read: Any) -> bool:
    return isinstance(read, Relational) or (
        isinstance(read, sympy.And) and all(isinstance(part, Relational) for part in read.args)
    )


def _relations(read: Any) -> list[Any]:
    return list(read.args) if isinstance(read, sympy.And) else [read]


def _same_relations(left: list[Any], right: list[Any]) -> bool:
    rest = list(right)
    for relation in left:
        match = next((other for other in rest if _same_relation(relation, other)), None)
        if match is None:
            return False
        rest.remove(match)
    return not rest


def _same_relation(one: Any, other: Any) -> bool:
    """Return whether two relations say the same: their differences of both sides have a constant ratio."""
    turned = {sympy.StrictLessThan: sympy.StrictGreaterThan, sympy.LessThan: sympy.GreaterThan}
    if type(one) in turned:
        one = turned[type(one)](one.rhs, one.lhs, evaluate=False)
    if type(other) in turned:
        other = turned[type(other)](other.rhs, other.lhs, evaluate=False)
    if type(one) is not type(other) or isinstance(one.rhs, sympy.Set) or isinstance(other.rhs, sympy.Set):
        return bool(one == other)
    left, right = _exact(one.lhs - one.rhs), _exact(other.lhs - other.rhs)
    variables = sorted(left.free_symbols | right.free_symbols, key=str)
    ratios = []
    for place in _places(variables):
        top, bottom = _value(left, place), _value(right, place)
        if not top or not bottom:
            return False
        ratios.append(top / bottom)
    constant = all(abs(ratio - ratios[0]) <= _EXACT * abs(ratios[0]) for ratio in ratios)
    return constant and (isinstance(one, (sympy.Eq, sympy.Ne)) or bool(ratios[0] > 0))


def _as_set(read: Any) -> Any:
    if isinstance(read, sympy.Eq) and isinstance(read.rhs, sympy.Set):
        return read.rhs
    if _is_relation(read) and len(read.free_symbols) == 1:
        variable = next(iter(read.free_symbols))
        return read.subs(variable, sympy.Symbol(variable.name, real=True)).as_set()
    return read


def _same_sets(left: Any, right: Any, tolerance: float) -> bool:
    if not isinstance(left, sympy.Set) or not isinstance(right, sympy.Set):
        return False
    if isinstance(left, sympy.FiniteSet) and isinstance(right, sympy.FiniteSet):
        rest = list(right.args)
        for element in left.args:
            match = next((other for other in rest if _same(element, other, tolerance)), None)
            if match is None:
                return False
            rest.remove(match)
        return not rest
    left, right = left.doit(), right.doit()
    return bool(left == right) or bool(left.symmetric_difference(right).is_empty)


def _same_values(left: Any, right: Any, tolerance: float) -> bool:
    decimals = left.has(sympy.Float) != right.has(sympy.Float)
    left, right = _exact(left), _exact(right)
    variables = sorted(left.free_symbols | right.free_symbols, key=str)
    rounded = decimals and not (_is_finite_decimal(left) and _is_finite_decimal(right))
    allowed = sympy.Float(tolerance) if not variables and (rounded or tolerance > _ROUNDED) else _EXACT
    if left.is_Rational and right.is_Rational and allowed == _EXACT:
        noisy = decimals and not left.is_Integer and not right.is_Integer
        return bool(left == right) or (noisy and bool(abs(left - right) <= _FLOAT_NOISE * abs(right)))
    for place in _places(variables):
        one, other = _value(left, place), _value(right, place)
        if one is None or other is None:
            return bool(left == right)
        if abs(one - other) > allowed * abs(other):
            return False
    return True


def _is_finite_decimal(number: Any) -> bool:
    return bool(number.is_Rational) and pow(10, int(number.q).bit_length(), int(number.q)) == 0


def _places(variables: list[Any]) -> list[dict[Any, Any]]:
    """Return rational values for variables, positive and negative ones; a single empty place without variables."""
    if not variables:
        return [{}]
    rng = random.Random(0)  # the same places for every formula
    return [
        {variable: sympy.Rational(rng.randint(-300, 300) * 2 + 1, 211) for variable in variables}
        for _ in range(_PLACES)
    ]


def _value(expression: Any, place: dict[Any, Any]) -> Any:
    value = expression.evalf(_DIGITS, subs=place)
    return value if value.is_number and value.is_finite else None


def _exact(expression: Any) -> Any:
    """Return an expression with its decimals as fractions and `i` as the imaginary unit, if it is not too large."""
    units = {symbol: sympy.I for symbol in expression.free_symbols if symbol.name == "i"}
    fractions = {number: sympy.Rational(str(number)) for number in expression.atoms(sympy.Float)}
    called = {call: sympy.Symbol(str(call)) for call in expression.atoms(AppliedUndef)}
    expression = expression.xreplace({**units, **fractions, **called})
    for part in sympy.postorder_traversal(expression):
        if isinstance(part, sympy.Pow) and part.exp.is_number and part.base.is_number:
            size = abs(complex(part.base.evalf(15)))
            if not -_MOST_DIGITS < part.exp.evalf(15) * math.log10(size or 1) < _MOST_DIGITS:
                raise ValueError("too large")
        grows = isinstance(part, (sympy.factorial, sympy.exp)) and part.args[0].is_number
        if grows and not abs(part.args[0].evalf(15)) <= _LARGEST_ARGUMENT:
            raise ValueError("too large")
    return expression.doit()
