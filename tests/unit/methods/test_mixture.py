"""Weights in millionths: exact sums, whatever the numbers."""

import pytest

from moco.methods.shared.mixture import UNITS, as_weights, in_units, softmax


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 60])
def test_equal_weights_sum_to_one_and_differ_by_a_millionth_at_most(count):
    units = in_units([1 / count] * count)
    assert sum(units) == UNITS
    assert max(units) - min(units) <= 1
    assert list(units) == sorted(units, reverse=True)


def test_the_largest_remainders_are_rounded_up():
    assert in_units([0.1234567, 0.1234562, 0.7530871]) == (123457, 123456, 753087)
    assert as_weights(in_units([0.25, 0.75])) == [0.25, 0.75]


@pytest.mark.parametrize("position", [(0.0, 0.0), (-800.0, 800.0), (1e300, 0.0, -1e300), (700.0, 700.0, 701.0)])
def test_any_position_has_weights(position):
    units = softmax(position)
    assert sum(units) == UNITS
    assert all(0 <= unit <= UNITS for unit in units)
    assert max(range(len(units)), key=units.__getitem__) == max(range(len(position)), key=position.__getitem__)
