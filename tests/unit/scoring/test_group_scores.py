"""All-or-nothing groups: whole groups only, one implementation for score files, fits and plans."""

import pytest
from support.contexts import fit_context

from moco.scoring import Case, Verdict
from moco.scoring.groups import group_sizes, group_verdicts
from moco.tasks.item import Question, Reference


def cases_of(*items):
    """Return cases and verdicts of (split, group, score) triples."""
    cases, verdicts = [], []
    for row, (split, group, score) in enumerate(items):
        uid = f"t/{split}/{row}"
        question = Question(uid, "t", split, "exact_match", "", "")
        cases.append(Case(question, Reference(uid, "True", "boolean", group=group), ""))
        verdicts.append(Verdict(score, None, "cue", "invalid" if score is None else "ok"))
    return cases, verdicts


def sizes_of(cases):
    splits = {case.question.split for case in cases}
    return {split: group_sizes(case.reference for case in cases if case.question.split == split) for split in splits}


def scores(*items, sizes=None):
    cases, verdicts = cases_of(*items)
    return [verdict.score for verdict in group_verdicts(cases, verdicts, sizes or sizes_of(cases))]


def test_one_wrong_item_makes_its_group_wrong():
    assert scores(("test", "1", 1.0), ("test", "2", 1.0), ("test", "1", 0.0), ("test", "2", 1.0)) == [0, 1, 0, 1]


def test_a_score_below_1_is_not_right():
    assert scores(("test", "1", 1.0), ("test", "1", 0.999)) == [0, 0]


def test_items_without_a_group_keep_their_score():
    assert scores(("test", None, 0.5), ("test", None, 1.0), ("test", "1", 0.0)) == [0.5, 1, 0]


def test_groups_of_two_splits_are_apart():
    assert scores(("dev", "1", 0.0), ("test", "1", 1.0)) == [0, 1]


def test_broken_items_do_not_count_against_their_group():
    assert scores(("test", "1", 1.0), ("test", "1", None), ("test", "1", 1.0)) == [1, None, 1]


def test_items_of_an_incomplete_group_cannot_be_judged():
    cases, verdicts = cases_of(("test", "1", 1.0), ("test", "1", 0.0), ("test", "2", 1.0))
    made = group_verdicts(cases, verdicts, {"test": {"1": 3, "2": 1}})
    assert [(verdict.score, verdict.status) for verdict in made] == [(None, "failed"), (None, "failed"), (1, "ok")]


def test_the_score_of_the_item_itself_is_kept():
    cases, verdicts = cases_of(("test", "1", 1.0), ("test", "1", 0.0))
    made = group_verdicts(cases, verdicts, sizes_of(cases))
    assert [verdict.details for verdict in made] == [{"item_score": 1.0}, {"item_score": 0.0}]


def test_several_answers_to_an_item_are_one_item_of_the_group():
    cases, verdicts = cases_of(("test", "1", 1.0), ("test", "1", 1.0))
    twice = group_verdicts([*cases, cases[0]], [*verdicts, Verdict(0.0, None, "cue")], sizes_of(cases))
    assert [verdict.score for verdict in twice] == [0, 0, 0]


@pytest.fixture
def items():
    questions = [Question(f"t/dev/{row}", "t", "dev", "exact_match", "", "") for row in range(4)]
    gold = {item.uid: Reference(item.uid, "5", "number", group=str(row // 2)) for row, item in enumerate(questions)}
    return questions, gold


def test_fits_score_groups_in_the_same_way(items):
    questions, gold = items
    replies = {item.uid: "7" if row == 3 else "5" for row, item in enumerate(questions)}
    given = {"models": ["a"], "questions": questions, "references": gold}
    single, grouped = (fit_context(**given, group_score=value) for value in (False, True))
    assert single.score(list(replies.items())) == [1, 1, 1, 0]
    assert grouped.score(list(replies.items())) == [1, 1, 0, 0]
    assert grouped.score([(uid, replies[uid]) for uid in ("t/dev/0", "t/dev/2", "t/dev/3")]) == [None, 0, 0]


def test_several_replies_to_an_item_are_grouped_with_those_of_the_same_place(items):
    questions, gold = items
    ctx = fit_context(models=["a"], questions=questions[:2], references=gold, group_score=True)
    first, second = (item.uid for item in questions[:2])
    assert ctx.score([(first, "5"), (first, "7"), (second, "5"), (second, "5"), (first, "5")]) == [1, 0, 1, 0, None]
