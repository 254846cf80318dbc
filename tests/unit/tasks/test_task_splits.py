from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moco.config.tasks import TaskEntry
from moco.errors import RequestError
from moco.tasks.raw import RawItem
from moco.tasks.splits import cut, cut_splits, limited


def item(row, domain="", group=None):
    return RawItem(row, f"question {row}", "1", "number", domain=domain, group=group)


def domains(*names):
    return [item(row, name) for row, name in enumerate(names)]


def rows(items):
    return [one.row for one in items]


SEEDS = st.integers(0, 3)
UNGROUPED = st.lists(st.sampled_from("abcd"), min_size=1, max_size=60).map(lambda names: domains(*names))
GROUPED = st.lists(st.tuples(st.sampled_from("ab"), st.none() | st.integers(0, 9)), min_size=1, max_size=60).map(
    lambda pairs: [
        item(row, domain, None if group is None else str(group)) for row, (domain, group) in enumerate(pairs)
    ]
)


def test_limit_of_known_items():
    items = domains(*"aaaaaaaabbbc")
    assert Counter(one.domain for one in limited(items, 7, 0, "dev")) == {"a": 3, "b": 3, "c": 1}
    assert Counter(one.domain for one in limited(items, 3, 0, "dev")) == {"a": 1, "b": 1, "c": 1}
    assert limited(items, 12, 0, "dev") == items
    assert limited(items, 99, 0, "dev") == items


def test_draws_never_change():
    items = domains(*"ab" * 10)
    assert rows(limited(items, 6, 0, "dev")) == [1, 2, 13, 16, 17, 18]
    assert rows(cut(items, 0.3, 0)[1]) == [2, 3, 6, 10, 13, 17]


@settings(deadline=None)
@given(UNGROUPED, st.integers(1, 70), SEEDS)
def test_limit_keeps_source_order_size_and_equal_shares(items, most, seed):
    kept = limited(items, most, seed, "dev")
    assert len(kept) == min(most, len(items))
    assert rows(kept) == sorted(set(rows(kept)))
    assert set(rows(kept)) <= set(rows(items))
    sizes, shares = (Counter(one.domain for one in some) for some in (items, kept))
    assert all(
        shares[domain] == sizes[domain] or shares[domain] >= shares[other] - 1 for domain in sizes for other in sizes
    )


@settings(deadline=None)
@given(UNGROUPED, st.integers(1, 60), SEEDS)
def test_a_larger_limit_adds_items(items, most, seed):
    assert set(rows(limited(items, most, seed, "dev"))) <= set(rows(limited(items, most + 1, seed, "dev")))


@settings(deadline=None)
@given(GROUPED, st.integers(1, 60), SEEDS)
def test_limit_keeps_groups_whole(items, most, seed):
    try:
        kept = limited(items, most, seed, "dev")
    except RequestError:
        return
    assert 0 < len(kept) <= most
    inside = {one.group for one in kept} - {None}
    assert all((one in kept) == (one.group in inside) for one in items if one.group is not None)


@settings(deadline=None)
@given(GROUPED, st.floats(0.01, 0.99), SEEDS)
def test_cut_is_a_partition_that_keeps_groups_whole(items, share, seed):
    try:
        dev, distill = cut(items, share, seed)
    except RequestError:
        return
    assert sorted(rows(dev) + rows(distill)) == rows(items)
    assert rows(dev) == sorted(rows(dev))
    assert rows(distill) == sorted(rows(distill))
    assert dev
    assert distill
    assert not {one.group for one in dev} & {one.group for one in distill} - {None}
    assert len(distill) <= int(share * len(items) + 0.5)


@settings(deadline=None)
@given(UNGROUPED, st.floats(0.01, 0.99), SEEDS)
def test_cut_takes_the_same_share_of_every_domain(items, share, seed):
    total = int(share * len(items) + 0.5)
    try:
        _, distill = cut(items, share, seed)
    except RequestError:
        assert total in (0, len(items))
        return
    assert len(distill) == total
    sizes, taken = (Counter(one.domain for one in some) for some in (items, distill))
    assert all(abs(taken[domain] - sizes[domain] * total / len(items)) < 1 for domain in sizes)


@settings(deadline=None)
@given(UNGROUPED, SEEDS)
def test_draws_repeat(items, seed):
    most = max(1, len(items) // 2)
    assert limited(items, most, seed, "dev") == limited(list(items), most, seed, "dev")


def test_seed_and_split_change_the_draw():
    items = domains(*"ab" * 50)
    draws = [rows(limited(items, 20, seed, split)) for seed in (0, 1) for split in ("dev", "test")]
    assert len({tuple(draw) for draw in draws}) == 4


def entry(**changes):
    return TaskEntry(source={"kind": "moco", "path": "x.json"}, type="exact_match", **changes)


def test_splits_of_an_entry():
    items = {"test": domains(*"ab" * 8), "dev": domains(*"abc" * 8)}
    found = cut_splits(entry(limit={"dev": 12, "distill": 2}, distill=0.25), items)
    assert list(found) == ["dev", "distill", "test"]
    assert [len(found[split]) for split in found] == [9, 2, 16]
    plain = cut_splits(entry(limit={"dev": 12}), items)
    uncapped = cut_splits(entry(limit={"dev": 12}, distill=0.25), items)
    assert rows(plain["dev"]) == sorted(rows(uncapped["dev"]) + rows(uncapped["distill"]))
    assert set(rows(found["distill"])) <= set(rows(uncapped["distill"]))
    assert plain["test"] == items["test"]


def test_train_is_cut_first_and_shares_are_of_the_whole():
    items = {"dev": domains(*"ab" * 20), "test": domains(*"ab" * 8)}
    both = cut_splits(entry(limit={}, train=0.25, distill=0.5), items)
    assert list(both) == ["train", "dev", "distill", "test"]
    assert [len(both[split]) for split in both] == [10, 10, 20, 16]
    assert sorted(rows(both["train"]) + rows(both["dev"]) + rows(both["distill"])) == rows(items["dev"])
    alone = cut_splits(entry(limit={}, train=0.25), items)
    assert alone["train"] == both["train"]
    capped = cut_splits(entry(limit={"train": 4}, train=0.25), items)
    assert set(rows(capped["train"])) < set(rows(both["train"]))
    assert capped["dev"] == alone["dev"], "what a limit leaves out of train is not given back to dev"


def test_another_task_over_the_same_source_draws_the_same_items():
    items = {"dev": domains(*"abc" * 20), "test": domains(*"abc" * 20)}
    first = cut_splits(entry(limit={"dev": 30, "test": 9}), items, "tasks.gsm8k")
    second = cut_splits(entry(limit={"dev": 30, "test": 9}, distill=0.5), items, "tasks.gsm8k-evo")
    assert rows(first["dev"]) == sorted(rows(second["dev"]) + rows(second["distill"]))
    assert first["test"] == second["test"]


@pytest.mark.parametrize(
    ("changes", "items", "message"),
    [
        ({"limit": {"dev": 0}}, domains(*"ab"), "tasks.t: limit of dev is 0"),
        ({"limit": {"dev": 1}}, [item(0, "a", "g"), item(1, "a", "g")], "smallest group has 2 items"),
        ({"distill": 0.01}, domains(*"ab"), r"distill = 0\.01 of 2 dev items leaves distill empty"),
        ({"distill": 0.99}, domains(*"ab"), "leaves dev empty"),
        ({"train": 0.01}, domains(*"ab"), r"train = 0\.01 of 2 dev items leaves train empty"),
        ({"train": 0.5, "distill": 0.45}, domains(*"ab"), r"distill = 0\.45 of 2 dev items leaves dev empty"),
        ({"distill": 0.5}, [item(0, "a", "g"), item(1, "a", "g")], "leaves distill empty"),
    ],
)
def test_empty_splits_are_refused(changes, items, message):
    with pytest.raises(RequestError, match=message):
        cut_splits(entry(**changes), {"dev": items}, "tasks.t")
