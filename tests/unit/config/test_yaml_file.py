"""Values of the command line are what they would be in a file."""

import pytest

from moco.config.yaml_file import typed


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["1", "2"], [1, 2]),
        ({"items": {"dev": "4"}, "share": "0.5", "rate": "1e-4"}, {"items": {"dev": 4}, "share": 0.5, "rate": 1e-4}),
        (["true", "False", "null"], [True, False, None]),
        (["010", "1:30", "2026-01-31", "a", '"1"'], ["010", "1:30", "2026-01-31", "a", '"1"']),
        (["1", ["2", {"a": "3"}]], [1, [2, {"a": 3}]]),
        ("1", "1"),
        (3, 3),
    ],
)
def test_numbers_and_truth_values_within_lists_and_mappings_are_no_texts(given, meant):
    assert typed(given) == meant
