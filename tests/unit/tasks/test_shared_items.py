"""Which splits of two tasks over one file can hold the same items."""

import pytest

from moco.config.tasks import TaskEntry
from moco.tasks.origin import can_share


def task(splits="clean", **source):
    return TaskEntry.model_validate(
        {
            "source": {"kind": "moco", "path": "file.json", **source},
            "type": "exact_match",
            "domain": "d",
            "splits": splits,
        }
    )


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        (task(), task(), {("dev", "dev"), ("test", "test")}),
        # Both are cut alike from all items of the file.
        (task(stratify=True), task(stratify=True), {("dev", "dev"), ("test", "test")}),
        # One has the file's splits, of which the other mixes all items.
        (task(stratify=True), task(), {("dev", "dev"), ("dev", "test"), ("test", "dev"), ("test", "test")}),
        (task("upstream", stratify=True), task(), {("dev", "dev"), ("test", "test")}),
        (task(stratify=True), task(path="other.json"), set()),
    ],
)
def test_splits_share_items_unless_one_rule_keeps_them_apart(first, second, shared):
    pairs = [(one, other) for one in ("dev", "test") for other in ("dev", "test")]
    assert {pair for pair in pairs if can_share(first, pair[0], second, pair[1])} == shared
    assert {pair[::-1] for pair in pairs if can_share(second, pair[0], first, pair[1])} == shared
