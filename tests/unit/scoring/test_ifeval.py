"""Replies that have to follow instructions: the official rules under strict, the release's under paper-1.1."""

import time

import pytest

from moco.scoring.catalogue import scorer_for
from moco.scoring.instructions import variants
from moco.tasks.item import Question, Reference

STARRED = "One.\n***\nTwo."
TITLED = "<<My title>>\ntext"


def verdict(rules, reply, *asked):
    gold = {"instructions": [{"id": name, "arguments": arguments} for name, arguments in asked]}
    question = Question("u", "t", "test", "ifeval", "q", "q")
    return scorer_for("ifeval", rules).score(question, Reference("u", gold, "instructions"), reply)


@pytest.mark.parametrize(
    ("name", "arguments", "reply", "strict", "paper"),
    [
        ("punctuation:no_comma", {}, "a b", 1, 1),
        ("punctuation:no_comma", {}, "a, b", 0, 0),
        ("punctuation:no_comma", {}, "", 0, 1),
        ("length_constraints:number_words", {"relation": "at least", "num_words": 3}, "well-known fact", 1, 0),
        ("length_constraints:number_words", {"relation": "less than", "num_words": 3}, "a b c", 0, 0),
        ("length_constraints:number_sentences", {"relation": "less than", "num_sentences": 2}, "Dr. Who left.", 1, 0),
        ("length_constraints:number_sentences", {"relation": "at least", "num_sentences": 3}, "One! Two? Three", 1, 1),
        ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, STARRED, 1, 0),
        ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "One.\n\nTwo.", 0, 1),
        ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, f"***\n{STARRED}\n***", 1, 0),
        ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "One.\n***\n \n***\nTwo.", 0, 1),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "elm"},
            'Oak.\n\n"Elm, ash',
            1,
            0,
        ),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 3, "nth_paragraph": 2, "first_word": "elm"},
            "Oak.\n\nElm is",
            0,
            1,
        ),
        ("keywords:existence", {"keywords": ["Red", "a+b"]}, "scared of A+B", 1, 1),
        ("keywords:existence", {"keywords": ["red", "blue"]}, "red", 0, 0),
        ("keywords:forbidden_words", {"forbidden_words": ["flea"]}, "infleaing", 1, 0),
        ("keywords:forbidden_words", {"forbidden_words": ["flea"]}, "A FLEA.", 0, 0),
        ("keywords:frequency", {"keyword": "an", "frequency": 3, "relation": "at least"}, "An ananas", 1, 1),
        ("keywords:frequency", {"keyword": "an", "frequency": 3, "relation": "less than"}, "An ananas", 0, 0),
        ("keywords:letter_frequency", {"letter": "A", "let_frequency": 2, "let_relation": "less than"}, "aA", 0, 0),
        ("keywords:letter_frequency", {"letter": "#", "let_frequency": 1, "let_relation": "at least"}, "x #", 1, 1),
        ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*x* and **y**", 1, 0),
        ("detectable_format:number_highlighted_sections", {"num_highlights": 1}, "* *", 0, 1),
        ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", 1, 1),
        ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n* b\n* c", 0, 1),
        ("detectable_format:title", {}, TITLED, 1, 0),
        ("detectable_format:title", {}, "# My title\ntext", 0, 1),
        ("detectable_format:title", {}, "<<>>", 0, 0),
        (
            "detectable_format:multiple_sections",
            {"section_spliter": "SECTION", "num_sections": 2},
            "Section 1 section 2",
            0,
            1,
        ),
        ("detectable_format:multiple_sections", {"section_spliter": "Day", "num_sections": 2}, "Day 1 x Day2 y", 1, 1),
        ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', 1, 1),
        ("detectable_format:json_format", {}, "```JSON\n[1]\n```", 1, 0),
        ("detectable_format:json_format", {}, "{'a': 1}", 0, 0),
        ("detectable_format:constrained_response", {}, "I think: My answer is no.", 1, 1),
        ("detectable_format:constrained_response", {}, "my answer is no.", 0, 1),
        ("startend:end_checker", {"end_phrase": "The End."}, 'So. "the end."', 1, 0),
        ("startend:end_checker", {"end_phrase": "The End."}, "The End. Or not.", 0, 0),
        ("startend:quotation", {}, '"x"', 1, 1),
        ("startend:quotation", {}, '"', 0, 1),
        ("change_case:english_capital", {}, "LOUD 1!", 1, 1),
        ("change_case:english_capital", {}, "ДА", 0, 1),
        ("change_case:english_capital", {}, "12", 0, 0),
        ("change_case:english_lowercase", {}, "quiet", 1, 1),
        ("change_case:english_lowercase", {}, "Quiet", 0, 0),
        (
            "change_case:capital_word_frequency",
            {"capital_relation": "at least", "capital_frequency": 2},
            "Every Word",
            0,
            1,
        ),
        (
            "change_case:capital_word_frequency",
            {"capital_relation": "less than", "capital_frequency": 2},
            "STATE-OF-THE-ART",
            1,
            1,
        ),
        ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "SAY IT. Done.", 1, 0),
        ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "Fine: Say it.", 0, 1),
        ("combination:two_responses", {}, "one\n******\ntwo", 1, 1),
        ("combination:two_responses", {}, "one\n******\none", 0, 1),
        ("combination:two_responses", {}, "one\n******\n \n******\ntwo", 0, 1),
        ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] [a\nb]", 0, 1),
        ("detectable_content:number_placeholders", {"num_placeholders": 1}, "[]", 1, 0),
        ("detectable_content:postscript", {"postscript_marker": "P.S."}, "x\np.s. y", 1, 0),
        ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "x\nP. P. S y", 1, 0),
        ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "P.S. y", 0, 0),
    ],
)
def test_one_instruction(name, arguments, reply, strict, paper):
    assert verdict("strict", reply, (name, arguments)).score == strict
    assert verdict("paper-1.1", reply, (name, arguments)).score == paper


@pytest.mark.parametrize("unit", ["[a", "\n\n \n", "*x ", "- ", "a. "])
def test_long_replies_are_read_in_time_that_grows_with_their_length(unit):
    asked = (("detectable_content:number_placeholders", {"num_placeholders": 1}),)
    asked += (("detectable_format:number_bullet_lists", {"num_bullets": 2}),)
    asked += (("length_constraints:number_sentences", {"relation": "at least", "num_sentences": 2}),)
    started = time.process_time()
    for rules in ("strict", "paper-1.1"):
        verdict(rules, "x" + unit * 50_000, *asked)
    assert time.process_time() - started < 5  # which is far above what it takes, and far below squares


COMMA, QUOTED = ("punctuation:no_comma", {}), ("startend:quotation", {})


def test_strict_counts_prompts_and_instructions_and_the_original_a_share():
    found = verdict("strict", "no comma", COMMA, QUOTED)
    assert (found.score, found.details["instructions"], found.details["followed"]) == (0, 2, 1)
    assert verdict("paper-1.1", "no comma", COMMA, QUOTED).score == 0.5
    assert verdict("strict", '"no comma"', COMMA, QUOTED).score == 1


def test_loose_rules_forgive_an_introduction_and_emphasis():
    found = verdict("strict", 'Sure, here it is:\n"no comma"', COMMA, QUOTED)
    assert (found.score, found.details["loose"], found.details["followed_loose"]) == (0, 1, 2)
    assert verdict("strict", '**"x"**', QUOTED).details["loose"] == 1
    assert verdict("strict", "a, b", COMMA).details["loose"] == 0
    assert variants("1\n2*\n3")[:4] == ["1\n2*\n3", "2*\n3", "1\n2*", "2*"]


def test_thoughts_are_no_part_of_the_reply_under_strict():
    assert verdict("strict", "<think>well, well</think>\nfine", COMMA).score == 1
    assert verdict("paper-1.1", "<think>well, well</think>\nfine", COMMA).score == 0
    found = verdict("strict", "<think>well", COMMA, QUOTED)
    assert (found.score, found.status, found.details["instructions"]) == (0, "unparsed", 2)


def test_what_cannot_be_checked():
    unknown = ("unknown:thing", {})
    assert (verdict("strict", "x", unknown).score, verdict("strict", "x", unknown).status) == (None, "invalid")
    assert verdict("strict", "x", ("language:response_language", {"language": "de"})).status == "invalid"
    assert verdict("strict", "x").status == "invalid"
    assert verdict("strict", "x", ("keywords:existence", {})).status == "invalid"
    assert verdict("paper-1.1", "a, b", unknown, COMMA).score == 0.5
    assert verdict("paper-1.1", "x").score == 1
    assert verdict("paper-1.1", "x", ("keywords:existence", {})).score == 0
