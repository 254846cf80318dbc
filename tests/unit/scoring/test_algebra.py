"""Formulas that denote the same object, and formulas meant to do harm."""

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import pytest

from moco.scoring.algebra import algebraically_equal
from moco.scoring.answers import is_right

TOLERANCE = Fraction(1, 1_000_000)


@pytest.mark.parametrize(
    ("given", "gold"),
    [
        ("(x+1)^2", "x^2+2x+1"),
        (r"\sqrt{8}", r"2\sqrt{2}"),
        (r"\frac{x}{2}+\frac{x}{2}+1", "x+1"),
        (r"\{2,1\}", r"\{1,2\}"),
        (r"$\frac{\sqrt{3}}{3}$", r"\frac{1}{\sqrt{3}}"),
        (r"2^{10}x", "1024x"),
    ],
)
def test_other_spellings_of_a_formula_are_right(given, gold):
    assert is_right(given, gold, "latex", tolerance=TOLERANCE)


@pytest.mark.parametrize(
    ("given", "gold"),
    [
        ("(x-1)^2", "x^2+2x+1"),
        (r"\sqrt{8}", r"3\sqrt{2}"),
        ("(2,1)", "(1,2)"),
        ("[0,1)", "[0,1]"),
        (r"-\sqrt{2}", r"\sqrt{2}"),
        ("y", "x^2"),
        (r"either \sqrt{2} or 3", r"\sqrt{2}"),
        ("", r"\sqrt{2}"),
    ],
)
def test_other_formulas_are_wrong(given, gold):
    assert not is_right(given, gold, "latex", tolerance=TOLERANCE)


def test_a_formula_is_never_run_as_a_program(tmp_path):
    target = tmp_path / "written"
    assert not algebraically_equal(f'__import__("pathlib").Path("{target}").touch()', "1")
    assert not Path(target).exists()


@pytest.mark.slow
def test_a_formula_that_is_too_hard_is_wrong_and_does_not_stop_the_next():
    assert not algebraically_equal("9^{9^{9^{9}}}", "1")
    assert algebraically_equal("x+x", "2x")


def test_threads_may_ask_at_once():
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: algebraically_equal(f"{n}x+x", f"{n + 1 if n % 2 else n}x"), range(2, 10)))
    assert answers == [bool(n % 2) for n in range(2, 10)]
