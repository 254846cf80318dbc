"""Multiple choice: the known weaknesses under both rule sets, surface forms, thoughts, ambiguity, long replies."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moco.scoring.catalogue import scorer_for
from moco.tasks.item import LETTERS, Question, Reference

PAPER, STRICT = scorer_for("multiple_choice", "paper"), scorer_for("multiple_choice", "strict")
CITIES = ("Paris", "Rome", "Canada", "Spain")
FIVE = (*CITIES, "Norway")
NINE = (*FIVE, "Chile", "Ghana", "Japan", "Peru")
STANCES = ("Support", "Oppose", "Either support or oppose")
CLAIM = ("support", "refute")


def question(options):
    return Question("u", "t", "test", "multiple_choice", "", "", options)


def reference(index, key=None, valid=True):
    return Reference("u", {"index": index, "key": key or LETTERS[index]}, "option", valid=valid)


def parsed(scorer, options, reply):
    return scorer.extract(question(options), reply).parsed


@pytest.mark.parametrize(
    ("options", "reply", "paper", "strict"),
    [
        (CITIES, "A good question. The answer is C", "A", "C"),
        (NINE, "I think the answer is B", "I", "B"),
        (CITIES, "The answer is B. Canada is wrong.", "C", "B"),
        (CITIES, "It is not Paris. It is Spain.", "A", "D"),
        (CITIES, "Rome is wrong, Paris is wrong; the answer is Canada", "A", "C"),
        (CITIES, "The capital of the USA. The answer is B", "A", "B"),
        (CITIES, "I would pick C, not A.", "A", "C"),
        (FIVE, "I think this is a hard one. Let us see.", "E", None),
        (("1", "5", "15", "51"), "The answer is C) 15", "A", "C"),
        (("2", "12", "20", "21"), "Answer: 12", "A", "B"),
        (STANCES, "The answer is C) Either support or oppose", "A", "C"),
        (CLAIM, "The claim is not supported by the paper.", "A", None),
        (CITIES, "**C**", None, "C"),
        (CITIES, "Answer: C", None, "C"),
        (CITIES, "Final Answer: C", None, "C"),
        (CITIES, r"\boxed{C}", None, "C"),
        (CITIES, "C:", None, "C"),
        (CITIES, "C,", None, "C"),
        (CITIES, "[C]", None, "C"),
        (CITIES, "Option C", None, "C"),
        (CITIES, "C\nbecause it is the only country", None, "C"),
        (CITIES, "Let us go through: A) no. B) no. C) yes.", "A", "C"),
        (CITIES, "答案是C", None, "C"),
        (CITIES, "Ｃ", None, "C"),
    ],
)
def test_known_weaknesses(options, reply, paper, strict):
    assert parsed(PAPER, options, reply) == paper
    assert parsed(STRICT, options, reply) == strict


FORMS = [
    "{letter}",
    "{low}",
    "{letter}.",
    "({letter})",
    "{letter}) {text}",
    "{letter}: {text}",
    "{letter} {text}",
    "**{letter}) {text}**",
    "**Answer:** {letter}",
    "### Final answer\n\n{letter}",
    "The best choice would be letter {letter}.",
    "The correct answer is {letter}, because I know it.",
    "The answer is: {letter}",
    "the answer is option {low}",
    "The answer is {text}.",
    "{letter} is the correct answer.",
    r"\boxed{{{letter}}}",
    r"\boxed{{\text{{({letter})}}}}",
    r"$\boxed{{\textbf{{{letter}}}}}$",
    r"So we get \boxed{{{text}}}.",
    "<answer>{letter}</answer>",
    "Some thoughts first.\n\n{letter}",
    "I would go with option {letter}.",
    "My choice: {letter}",
    "{text}",
    "{text}!",
    "My reading favours {text}.",
    "La respuesta correcta es la {letter}.",
    "La réponse est {letter}",
    "Die richtige Antwort ist {letter}.",
    "答案：{letter}",
    "我选{letter}。",
    "（{letter}）",
    "<think>Perhaps A) or B)?</think>The answer is {letter}.",
    "The prompt opened this thought: A) maybe.</think>\n\n{letter}",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("index", range(4))
def test_surface_forms(form, index):
    reply = form.format(letter=LETTERS[index], low=LETTERS[index].lower(), text=CITIES[index])
    for gold in range(4):
        verdict = STRICT.score(question(CITIES), reference(gold), reply)
        assert verdict.score == float(gold == index), verdict


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "   \n",
        "...",
        "<think>The answer is C",
        "The answer is C. <think>or is it",
        "<think>C</think>",
        r"\boxed{}",
        "B or C",
        "The answer is B or C",
        "A) Paris\nB) Rome\nC) Canada\nD) Spain",
        "A) Paris. B) Rome. C) Canada. D) Spain.",
        "(A) Paris, (B) Rome, (C) Canada, (D) Spain",
        "A dog is not a country.",
        "The answer is not C.",
        "It is neither Paris nor Rome.",
        "I",
        "Z",
    ],
)
def test_no_answer(reply):
    verdict = STRICT.score(question(CITIES), reference(2), reply)
    assert (verdict.parsed, verdict.score, verdict.status) == (None, 0.0, "unparsed")


def test_a_repeated_option_list_does_not_hide_the_answer():
    reply = "Question: where? A) Paris\nB) Rome\nC) Canada\nD) Spain\n\nIt must be Spain."
    assert parsed(STRICT, CITIES, reply) == "D"


def test_last_declaration_wins():
    assert parsed(STRICT, CITIES, "The answer is A. Wait, that is wrong.\nThe answer is D.") == "D"


def test_a_word_that_begins_with_a_letter_is_not_a_label():
    options = ("protein", "water", "C-reactive protein", "sugar", "E. coli")
    assert parsed(STRICT, options, "The answer is E. coli.") == "E"
    assert parsed(STRICT, options, "The answer is C-reactive protein.") == "C"


def test_position_counts_and_not_the_stored_key():
    options = ("ice", "water", "steam")
    gold = reference(1, key="2")
    assert STRICT.score(question(options), gold, "B").score == 1.0
    assert PAPER.score(question(options), gold, "B").score == 0.0


def test_identical_option_texts_are_both_right():
    options = ("5 kmph", "50 kmph", "5 kmph", "8 kmph")
    for reply in ("5 kmph", "A", "C"):
        assert STRICT.score(question(options), reference(2), reply).score == 1.0
    assert STRICT.score(question(options), reference(2), "50 kmph").score == 0.0


def test_options_that_differ_in_symbols():
    options = ("10^-4 eV", "10^-8 eV", "10^-9 eV", "10^-11 eV")
    for index, option in enumerate(options):
        assert parsed(STRICT, options, option) == LETTERS[index]


@pytest.mark.parametrize("broken", [reference(2, valid=False), Reference("u", {"index": None, "key": "x"}, "option")])
def test_broken_items_are_left_out(broken):
    verdict = STRICT.score(question(CITIES), broken, "C")
    assert (verdict.score, verdict.status) == (None, "invalid")


def test_given_letters():
    verdict = STRICT.score_extracted(question(CITIES), reference(2), "c")
    assert (verdict.score, verdict.rule, verdict.status) == (1.0, "given", "ok")
    assert STRICT.score_extracted(question(CITIES), reference(2), "D").score == 0.0
    for nothing in (None, "", "Canada", "Z"):
        assert STRICT.score_extracted(question(CITIES), reference(2), nothing).status == "unparsed"
    assert PAPER.score_extracted(question(CITIES), reference(2), "C").score == 1.0
    assert STRICT.normal_form(question(CITIES), "c") == "C"


@given(st.text(alphabet=" \n\t.,;:!?-–—()[]{}<>*_`#$\\'\"/|~", max_size=60))
def test_punctuation_is_never_right(reply):
    assert STRICT.score(question(CITIES), reference(2), reply).score == 0.0


@given(st.text(max_size=200))
def test_any_reply_yields_a_letter_or_nothing(reply):
    for scorer in (PAPER, STRICT):
        letter = parsed(scorer, CITIES, reply)
        assert letter is None or letter in "ABCD"


@pytest.mark.parametrize(
    "unit", ["answer is ", "答案是", "(A) ", " ", "\n", "A) x\n", "Paris ", "not ", r"\boxed{", "*"]
)
def test_the_time_to_read_a_reply_grows_with_its_length_and_not_with_its_square(unit):
    def seconds(characters: int) -> float:
        started = time.process_time()
        for scorer in (PAPER, STRICT):
            scorer.score(question(CITIES), reference(2), unit * (characters // len(unit)))
        return time.process_time() - started

    # Four times as long: 4 times the time where it is linear, 16 times where it is quadratic.
    assert min(seconds(100_000) for _ in range(2)) < 10 * max(0.02, min(seconds(25_000) for _ in range(2)))
