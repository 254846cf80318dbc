"""Scorers that ask models: what they ask, what they make of it, and what they never ask."""

import pytest
from support.items import questions, references
from support.judges import Judges, reward_of, tools

from moco.config.scoring import Scoring
from moco.errors import RequestError
from moco.scoring import Case, scorer_for
from moco.scoring.general_verifier import decision, verifier_prompt
from moco.scoring.generation_diversity import distance
from moco.scoring.judges import judges, scoring_slice
from moco.tasks.item import Question, Reference

OPTIONS = ("Paris", "Rome", "Canada")


def case(reply, gold="42", kind="number", *, type="general_verifier", options=None, split="test", **more):
    question = Question("u", "t", split, type, "Q?", "Q?", options)
    return Case(question, Reference("u", gold, kind), reply, **more)


def score(rules, cases, judge=None, **settings):
    return scorer_for(cases[0].question.type, rules).score_all(cases, tools(judge or Judges(), **settings))


def test_the_judge_is_asked_only_about_answers_that_rules_do_not_accept():
    judge = Judges()
    replies = [r"\box{42}", r"\box{forty two}", "", "<think>42", r"\box{41}"]
    verdicts = score("strict", [case(reply, "42") for reply in replies], judge)
    assert [(each.score, each.rule, each.status) for each in verdicts] == [
        (1.0, "rules", "ok"),
        (0.0, "judge", "ok"),
        (0.0, "empty", "unparsed"),
        (0.0, "empty", "unparsed"),
        (0.0, "judge", "ok"),
    ]
    assert len(judge.prompts) == 2
    assert verdicts[1].parsed == "forty two"
    assert verdicts[1].details == {"extraction": "box"}


def test_the_judge_may_accept_what_rules_refuse():
    [verdict] = score("strict", [case(r"\box{forty two}")], Judges("They agree.\nFinal Decision: Yes"))
    assert (verdict.score, verdict.rule) == (1.0, "judge")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Final Decision: Yes", True),
        ("**Final Decision: No**", False),
        ("Final Decision: Yes. No wait.\nFinal decision: no", False),
        ("Final Decision: No\nthen\nFINAL DECISION - yes", True),
        ("Yes", None),
        ("", None),
        ("Final Decision: Yesterday", None),
    ],
)
def test_the_last_decision_line_decides(text, found):
    assert decision(text) is found
    [verdict] = score("strict", [case(r"\box{x}")], Judges(text))
    assert verdict.score == float(bool(found))
    assert verdict.rule == ("undecided" if found is None else "judge")


def test_options_are_shown_with_letter_and_text_on_both_sides():
    judge = Judges()
    gold = {"index": 2, "key": "C"}
    verdicts = score("strict", [case(reply, gold, "option", options=OPTIONS) for reply in ("C", "B")], judge)
    assert [each.score for each in verdicts] == [1, 0]
    assert judge.prompts == [verifier_prompt("Q?", "C) Canada", "B) Rome")]


def test_every_alias_is_a_right_answer_and_all_are_shown():
    judge = Judges()
    cases = [case(rf"\box{{{answer}}}", ["Wilmington", "Wilmington, DE"], "aliases") for answer in ("Wilmington", "DE")]
    assert [each.score for each in score("strict", cases, judge)] == [1, 0]
    assert judge.prompts == [verifier_prompt("Q?", "Wilmington or Wilmington, DE", "DE")]


def test_strict_shows_braces_as_they_are_and_paper_doubles_them():
    for rules, shown in (("strict", r"\frac{1}{3}"), ("paper", r"\frac{{1")):
        judge = Judges()
        score(rules, [case(r"\boxed{\frac{1}{3}}", "x")], judge)
        assert f"[student answer]\n{shown}\n" in judge.prompts[0]


def test_paper_asks_about_every_reply_and_takes_a_yes_anywhere():
    judge = Judges("Final Decision: Yes\nFinal Decision: No")
    cases = [case("42"), case(""), case("C", {"index": 2, "key": "C"}, "option", options=OPTIONS)]
    assert [each.score for each in score("paper", cases, judge)] == [1, 1, 1]
    assert "[student answer]\nThe reply gives no answer.\n" in judge.prompts[1]
    assert "[reference answer]\nCanada\n" in judge.prompts[2]


def test_an_answer_that_a_method_gives_is_compared_as_it_is():
    judge = Judges()
    given = [case("text", extracted=answer, given=True) for answer in ("42", "forty", None)]
    assert [(each.score, each.status) for each in score("strict", given, judge)] == [
        (1, "ok"),
        (0, "ok"),
        (0, "unparsed"),
    ]
    assert "[student answer]\nforty\n" in judge.prompts[0]


def test_a_broken_item_is_left_out():
    assert score("strict", [case("42", None)])[0].status == "invalid"


@pytest.mark.parametrize("rules", ["paper", "strict"])
def test_a_reward_is_the_score_and_may_be_negative(rules):
    judge = Judges()
    items = [case(reply, "gold", "text", type="reward_model") for reply in ("a b c", "", "z")]
    verdicts = score(rules, items, judge, max_length=99)
    assert [each.score for each in verdicts] == [reward_of("reward", "Q?", reply) for reply in ("a b c", "", "z")]
    assert min(each.score for each in verdicts) < 0
    assert judge.limits == {99 if rules == "strict" else None}


def test_strict_rewards_report_length_wins_and_a_second_opinion():
    gold = reward_of("reward", "Q?", "gold")
    replies = ("a b c", "gold", "", "<think>x</think> z")
    cases = [case(reply, "gold", "text", type="reward_model") for reply in replies]
    verdicts = score("strict", cases, second_reward="other")
    spoken = ("a b c", "gold", "", "z")
    assert [each.details["tokens"] for each in verdicts] == [3, 1, 0, 1]
    expected = [float(reward_of("reward", "Q?", text) > gold) for text in spoken]
    assert [each.details["win"] for each in verdicts] == [expected[0], 0.5, 0.0, expected[3]]
    assert verdicts[2].status == "unparsed"
    assert [each.details["second_reward"] for each in verdicts] == [
        reward_of("second_reward", "Q?", text) for text in spoken
    ]
    [bare] = score("strict", [case("x", None, "none", type="reward_model")])
    assert set(bare.details) == {"tokens"}


def test_open_text_has_no_score_unless_the_study_says_how():
    cases = [case("42", "42", "number", type="text_generation", split=split) for split in ("dev", "test")]
    judge = Judges()
    assert [(each.score, each.status) for each in score("strict", cases, judge)] == [(None, "unscored")] * 2
    assert not judge.rated + judge.prompts
    rewarded = score("strict", cases, judge, text_generation="reward_model")
    assert [each.score for each in rewarded] == [reward_of("reward", "Q?", "42")] * 2
    assert [each.score for each in score("strict", cases, judge, text_generation="general_verifier")] == [1, 1]


def test_the_original_rates_open_text_on_dev_and_reports_zero_elsewhere():
    splits = ("test", "dev", "test")
    cases = [case("x", None, "none", type="text_generation", split=split) for split in splits]
    assert [each.score for each in score("paper", cases)] == [0.0, reward_of("reward", "Q?", "x"), 0.0]


def diverse(*replies, gold=("abc",)):
    return case(replies[0], list(gold), "aliases", type="generation_diversity", further=replies[1:])


def test_diversity_is_the_mean_distance_between_all_pairs():
    vectors = dict(zip("abcd", Judges().embed(["aaa", "abc", "hij", "xyz"], "mask"), strict=True))
    judge = Judges()
    [verdict] = score("strict", [diverse("aaa", "abc", "hij", "xyz")], judge)
    pairs = [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]
    expected = sum(distance(vectors[one], vectors[other]) for one, other in pairs) / 6
    assert verdict.score == pytest.approx(expected)
    away = sum(distance(vectors[each], vectors["b"]) for each in "abcd") / 4
    assert verdict.details == {"answers": 4, "gated": 0, "to_references": pytest.approx(away)}
    assert {pooling for pooling, _ in judge.embedded} == {"mask"}


def test_equal_replies_have_no_diversity():
    [verdict] = score("strict", [diverse("abc", "abc", "abc", "abc")])
    assert verdict.score == pytest.approx(0, abs=1e-12)


def test_replies_below_a_threshold_are_at_distance_zero():
    [whole] = score("strict", [diverse("aa bb", "hij x", "xyz xyz", "bcd bcd")])
    [one_out] = score("strict", [diverse("aa bb", "hij x", "xyz xyz", "bcd")], least_words=2)
    assert one_out.details["gated"] == 1
    assert 0 < one_out.score < whole.score
    [all_out] = score("strict", [diverse("", "<think>abc", " ", "")])
    assert (all_out.score, all_out.status) == (0.0, "unparsed")
    replies = ("aa bb", "hij x", "xyz xyz", "bcd bcd")
    rewards = sorted(reward_of("reward", "Q?", reply) for reply in replies)
    [rated] = score("strict", [diverse(*replies)], least_reward=rewards[1])
    assert rated.details["gated"] == 1


def test_one_reply_has_no_diversity_to_speak_of():
    with pytest.raises(RequestError, match="answers"):
        score("strict", [diverse("abc")])


def test_the_original_looks_at_the_first_reply_and_its_references():
    judge = Judges()
    [verdict] = score("paper", [diverse("hij", "abc", gold=("abc", "xyz"))], judge)
    reply, *golds = Judges().embed(["hij", "abc", "xyz"], "padded")
    assert verdict.score == pytest.approx(sum(distance(reply, gold) for gold in golds) / 2)
    assert judge.embedded == [("padded", text) for text in ("hij", "abc", "xyz")]
    assert score("paper", [diverse("hij", gold=())])[0].status == "invalid"


@pytest.mark.parametrize("type", ["general_verifier", "reward_model", "text_generation", "generation_diversity"])
@pytest.mark.parametrize("rules", ["paper", "strict"])
def test_no_verdict_depends_on_another_case(type, rules):
    items = questions(6, type)
    gold = references(items)
    texts = ["a b", "c", "", "word1", "no", "long text"]
    cases = [
        Case(item, gold[item.uid], text, further=(text[::-1], "x", "y"))
        for item, text in zip(items, texts, strict=True)
    ]
    settings = {"text_generation": "reward_model", "second_reward": "other", "least_reward": 0.0}
    together = score(rules, cases, **settings)
    assert [score(rules, [each], **settings)[0] for each in reversed(cases)] == together[::-1]
    assert score(rules, cases[:1], **settings)
    assert scorer_for(type, rules).score_all([], tools()) == []


def test_only_settings_that_matter_decide_a_score():
    settings = Scoring(verifier="v", reward="r", encoder="e", max_length=64)
    assert scoring_slice("exact_match", "strict", settings) is None
    assert scoring_slice("general_verifier", "paper", settings) == {"verifier": "v", "verdict_tokens": 1024}
    assert judges("generation_diversity", "strict", settings) == {"encoder": "e"}
    gated = settings.model_copy(update={"least_reward": 0.5})
    assert judges("generation_diversity", "strict", gated) == {"encoder": "e", "reward": "r"}
    assert judges("text_generation", "strict", settings) == {}
    assert judges("text_generation", "paper", settings) == {"reward": "r"}
    assert judges("reward_model", "strict", Scoring()) == {"reward": None}


@pytest.mark.parametrize("type", ["reward_model", "generation_diversity"])
def test_without_models_nothing_is_made_up(type):
    item = diverse("a", "b") if type == "generation_diversity" else case("a", type=type)
    with pytest.raises(RequestError, match="scored by models"):
        scorer_for(type, "strict").score_all([item], tools().__class__())
