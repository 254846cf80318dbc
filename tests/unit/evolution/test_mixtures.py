"""Mixtures: how many pairs of which source every student gets, and which."""

import pytest

from moco.config.evolution import EvolutionEntry, Mix
from moco.evolution.mixture import Pair, Sources, best_student, mix, passes

DEFAULT = Mix().slice()


def pairs(count, source, split="distill", who=(), score=None):
    return [
        Pair(f"t/{split}/{n}", f"ask {n}", f"{source}{''.join(who)} {n}", split, source, who, score)
        for n in range(count)
    ]


def sources(items=8, students=3, best=1, own_items=None, own_split="distill"):
    learns = items if own_items is None else own_items
    return Sources(
        teach=pairs(items, "teach"),
        own=[pairs(learns, "self", own_split, (f"m{place}",)) for place in range(students)],
        gold=pairs(items, "gold"),
        best=best,
        sizes={"teach": items, "gold": items, "self": learns, "best": learns},
    )


def counted(found):
    return {source: sum(pair.source == source for pair in found) for source in dict.fromkeys(p.source for p in found)}


def test_the_default_mixture_of_8_items_has_8_and_4_and_4_pairs_for_every_student():
    mixtures = mix(sources(), DEFAULT, 3, [1])
    assert [counted(found) for found in mixtures] == [{"teach": 8, "self": 4, "best": 4}] * 3
    for place, found in enumerate(mixtures):
        assert {pair.models for pair in found if pair.source == "self"} == {(f"m{place}",)}
        assert {pair.models for pair in found if pair.source == "best"} == {("m1",)}


def test_the_best_students_shares_are_different_pairs():
    best = mix(sources(), DEFAULT, 3, [1])[1]
    assert len({pair.uid for pair in best[8:]}) == 8
    assert {pair.models for pair in best[8:]} == {("m1",)}


def test_the_same_seed_draws_the_same_and_another_seed_others():
    one, again, other = (mix(sources(40), DEFAULT, 3, [seed]) for seed in (1, 1, 2))
    assert one == again
    drawn = [[pair.uid for pair in found[0] if pair.source == "self"] for found in (one, other)]
    assert drawn[0] != drawn[1]


def test_students_draw_the_same_replies_of_the_best_student():
    first, _, third = mix(sources(40), DEFAULT, 3, [1])
    assert [pair for pair in first if pair.source == "best"] == [pair for pair in third if pair.source == "best"]


def test_upstream_gives_1200_pairs_for_gsm8k_and_the_best_student_the_same_half_twice():
    found = sources(200, own_items=1000, own_split="test")
    mixtures = mix(found, DEFAULT, 3, [1], overlap=True)
    assert [counted(each) for each in mixtures] == [{"teach": 200, "self": 500, "best": 500}] * 3
    own, best = ([pair.uid for pair in mixtures[1] if pair.source == source] for source in ("self", "best"))
    assert own == best
    assert {uid.split("/")[1] for uid in own} == {"test"}


def test_an_odd_number_of_items_is_halved_downwards():
    assert counted(mix(sources(9), DEFAULT, 1, [1])[0]) == {"teach": 9, "self": 4, "best": 4}


@pytest.mark.parametrize(("share", "items", "expected"), [(0.29, 100, 29), (0.57, 100, 57), (1.0, 3, 3)])
def test_a_share_that_floats_cannot_hold_is_counted_right(share, items, expected):
    assert len(mix(sources(items), {"teach": share}, 1, [1])[0]) == expected


@pytest.mark.parametrize(
    ("rule", "score", "passed"),
    [
        ("none", None, True),
        ("correct", 1.0, True),
        ("correct", 0.9, False),
        ("correct", None, False),
        ("score>=0.5", 0.5, True),
        ("score>=0.5", 0.49, False),
        ("score>=-1", -0.5, True),
        ("score>=0.5", None, False),
    ],
)
def test_what_passes_a_filter(rule, score, passed):
    assert EvolutionEntry(pool="p", methods=["m"], tasks=["t"], filter=rule).filter == rule
    assert passes(pairs(1, "teach", score=score)[0], rule) is passed


def test_a_reference_passes_every_filter():
    assert passes(pairs(1, "gold")[0], "correct")


def test_a_filter_takes_away_and_brings_no_others_in():
    found = sources(8)
    scored = [Pair(**{**vars(pair), "score": float(n % 2)}) for n, pair in enumerate(found.teach)]
    found = Sources(**{**vars(found), "teach": scored})
    drawn = mix(found, {"teach": 0.5}, 1, [1])[0]
    kept = mix(found, {"teach": 0.5}, 1, [1], rule="correct")[0]
    assert kept == [pair for pair in drawn if pair.score == 1]


def test_a_pair_that_a_student_has_already_is_left_out_where_the_study_says_so():
    found = sources(4, students=1, best=0)
    same = [Pair(**{**vars(pair), "completion": f"teach {n}"}) for n, pair in enumerate(found.own[0])]
    found = Sources(**{**vars(found), "own": [same]})
    assert counted(mix(found, DEFAULT, 1, [1])[0]) == {"teach": 4, "self": 2, "best": 2}
    assert counted(mix(found, DEFAULT, 1, [1], dedupe=True)[0]) == {"teach": 4}


def test_the_best_student_is_the_first_of_the_highest_means():
    assert best_student([0.2, 0.5, 0.5]) == 1
    assert best_student([None, 0.0, None]) == 1
    assert best_student([None, None]) == 0


def test_shares_that_the_best_students_replies_cannot_hold_apart_are_refused():
    with pytest.raises(ValueError, match="together at most 1"):
        Mix(**{"self": 0.6, "best": 0.5})
    with pytest.raises(ValueError, match="no share"):
        Mix(**{"teach": 0, "self": 0, "best": 0})
