"""Numbers as people write them: what stands beside them, units on both sides, decimals, numbers in prose."""

from fractions import Fraction

import pytest

from moco.scoring.numbers import only_number, parsed_number, read_number, same_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.234.567", 1234567),
        ("1'234'567,5", Fraction(2469135, 2)),
        ("12,34,567", 1234567),
        ("0,125", Fraction(1, 8)),
        ("2516_8", 2 * 512 + 5 * 64 + 8 + 6),
        ("-1010 base two", -10),
        ("A5_{16}", 165),
        ("0x1f", 31),
        (r"0.1\overline{6}", Fraction(1, 6)),
        ("5 hundred thousand", 500_000),
        ("3万", 30_000),
        ("5 миллионов", 5_000_000),
        ("7 eighths", Fraction(7, 8)),
        ("$2.5k", 2500),
        ("negative 5 apples", -5),
        ("6.02×10²³", 602 * 10**21),
    ],
)
def test_values(text, value):
    assert parsed_number(text) == value


UNREAD = (
    "3i|3π|3x|7!|7th|5²|5 squared|3_2_1|9_8|1_000|C_{16}|a_{11}|5 mod 7|5 and|--5|1,2345|1,23|3,5|12,345,6|1.2.3|5 / 0"
    "|5 gross|5 m^x|5 €²=|5 x|± 5|5 +|1e999|3 4"
)


@pytest.mark.parametrize("text", UNREAD.split("|"))
def test_what_cannot_be_read_beside_a_number_makes_it_unread(text):
    assert parsed_number(text) is None


def test_a_decimal_comma_is_read_where_a_number_is_expected():
    assert read_number("3,5", decimal_comma=True).value == Fraction(7, 2)
    assert read_number("1,234", decimal_comma=True).value == 1234
    assert read_number("12,34,567", decimal_comma=True).value == 1234567


@pytest.mark.parametrize(
    ("given", "gold", "same"),
    [
        ("5", "5 cm", True),
        ("5 cm", "5", True),
        ("5 centimetres", "5 cm", True),
        ("500 cm", "5 m", True),
        ("5 km", "5 cm", False),
        ("5 cm^2", "5 cm", False),
        ("5 square cm", "5 cm²", True),
        ("60 miles per hour", "60 mph", True),
        ("60 km/h", "60 mph", False),
        ("500 cents", "$5", True),
        ("€5", "$5", False),
        ("5 red apples", "5 apples", True),
        ("5 pears", "5 apples", False),
        ("5%", "5", True),
        ("5%", "0.05", True),
        ("5%", "0.5", False),
        ("20°C", "20 degrees Celsius", True),
        ("20°C", "20°F", False),
    ],
)
def test_units_may_be_missing_but_not_differ(given, gold, same):
    assert same_number(read_number(given), read_number(gold)) is same


@pytest.mark.parametrize(
    ("given", "gold", "same"),
    [
        ("2000000", "2000001", False),
        ("2000001.0", "2000001", True),
        ("2000000.0", "2000001", False),
        ("0.333333", "1/3", True),
        ("0.33333", "1/3", False),
        ("0.3000001", "0.3", False),
        ("0.30000000000000004", "0.3", True),
        ("1e-301", "1e-300", False),
        ("0", "1e-300", False),
    ],
)
def test_numbers_are_exact_but_for_endless_decimals(given, gold, same):
    assert same_number(read_number(given), read_number(gold)) is same


def test_a_larger_tolerance_holds_for_decimal_golds_alone():
    percent = Fraction(1, 100)
    assert same_number(read_number("3.15"), read_number("3.14"), percent)
    assert not same_number(read_number("315"), read_number("314"), percent)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("So she has 42 apples.", 42),
        ("The value is negative 5.", -5),
        ("There are 5 million people.", 5_000_000),
        ("उत्तर है 42", 42),
        ("It is twice 21.", None),
        ("It is the square root of 42.", None),
        ("She has at least 42.", None),
        ("She has 42!", None),
        ("42 squared", None),
        ("42 and a half", None),
        ("sqrt(42)", None),
        ("-(42)", None),
        ("3 3", None),
        ("3 i", None),
    ],
)
def test_the_only_number_in_prose(text, value):
    found = only_number(text)
    assert (found and found.value) == value


def test_the_unit_of_a_number_in_prose_counts():
    assert same_number(only_number("The length is 5 cm."), read_number("5 cm"))
    assert not same_number(only_number("The length is 5 km."), read_number("5 cm"))
