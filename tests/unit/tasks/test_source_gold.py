import pytest

from moco.errors import RequestError
from moco.tasks.item import WITHOUT_ANSWERS, Reference
from moco.tasks.sources.gold import GOLD_REQUIRED, Gold, open_gold, option_gold

LISTED = "Which one?\nOptions:\n(A) red\n(B) blue\n(C) green"


def gold(task_type, value, question="What?", **hints):
    return open_gold(task_type, value, "here", question=question, **hints)


@pytest.mark.parametrize(
    "text",
    ["3", "-17", "1,600", "1,450,000", "0.50", ".5", "3/10", "1 1/2", "3.54e-07", "$7.50", "40%", "−3", " 12 "],
)
def test_numbers(text):
    assert gold("exact_match", text) == Gold(text, "number")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("True", "boolean"),
        ("false", "boolean"),
        ("Yes", "text"),
        ("[1, 2]", "list"),
        ("[]", "list"),
        ("] } )", "brackets"),
        (r"\frac{1}{2}", "latex"),
        (r"60^\circ", "latex"),
        ("(3,5)", "latex"),
        ("C++", "text"),
        ("A-", "text"),
        ("-i", "latex"),
        ("12,9", "latex"),
        ("y = 2x - 13", "latex"),
        ("3:30", "latex"),
        ("Winston-Salem", "text"),
        ("rita, sue and bob poo", "text"),
        ("A", "text"),
        (r"[\d", "latex"),
    ],
)
def test_kinds_by_form(text, kind):
    assert gold("exact_match", text) == Gold(text, kind)


@pytest.mark.parametrize("text", ["B", "(B)", "b"])
def test_letter_is_an_option_where_the_question_lists_options(text):
    assert gold("exact_match", text, LISTED) == Gold({"index": None, "key": text}, "option")


def test_a_reply_to_listed_options_is_their_letter():
    made = gold("exact_match", "B", LISTED)
    assert Reference("u", made.value, made.kind).text() == "B"


def test_letter_outside_the_listed_options_is_text():
    assert gold("exact_match", "F", LISTED).kind == "text"


@pytest.mark.parametrize(
    ("text", "answer_type", "kind"),
    [
        ("(a)", "option", "option"),
        ("True", "bool", "boolean"),
        ("yes", "bool", "boolean"),
        ("1.0", "float", "number"),
        ("[1, 2]", "list of integer", "list"),
        ("many", "integer", "text"),
    ],
)
def test_kinds_by_answer_type(text, answer_type, kind):
    assert gold("exact_match", text, answer_type=answer_type).kind == kind


def test_words_by_domain():
    assert gold("exact_match", "bad dog", domain="word_sorting") == Gold("bad dog", "words")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Gold(None, "none", valid=False)),
        ("  ", Gold("  ", "none", valid=False)),
        (True, Gold("True", "boolean")),
        (7, Gold(7, "number")),
        (0.5, Gold(0.5, "number")),
        ([1, "é"], Gold('[1, "é"]', "list")),
        ([1, 6], Gold("[1, 6]", "list")),
        (["Paris", "City of Paris"], Gold(["Paris", "City of Paris"], "aliases")),
        ('["Paris", "City of Paris"]', Gold(["Paris", "City of Paris"], "aliases")),
        ("['1', '6']", Gold(["1", "6"], "aliases")),
        ('["Paris", 6]', Gold('["Paris", 6]', "list")),
        ("(1, 2)", Gold("(1, 2)", "latex")),
    ],
)
def test_exact_gold_of_other_types(value, expected):
    assert gold("exact_match", value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('["Madrid", "Madrid, Spain"]', Gold(["Madrid", "Madrid, Spain"], "aliases")),
        ("['Madrid', \"O'Higgins\"]", Gold(["Madrid", "O'Higgins"], "aliases")),
        (["Madrid"], Gold(["Madrid"], "aliases")),
        ("Madrid", Gold("Madrid", "text")),
        ("[untitled]", Gold("[untitled]", "text")),
        ("[1, 2]", Gold("[1, 2]", "text")),
        ("[]", Gold("[]", "none", valid=False)),
        ([], Gold(None, "none", valid=False)),
        (None, Gold(None, "none", valid=False)),
        ("", Gold("", "none", valid=False)),
        (1912, Gold("1912", "text")),
    ],
)
def test_f1_gold(value, expected):
    assert gold("f1_match", value) == expected


def test_code_category_and_references():
    assert gold("coding", "check()") == Gold({"test": "check()", "entry_point": None, "preamble": ""}, "code")
    assert not gold("coding", "").valid
    assert gold("noncompliance", "Incomplete requests") == Gold("Incomplete requests", "category")
    assert gold("generation_diversity", ["a", "b"]) == Gold(["a", "b"], "aliases")
    assert gold("reward_model", "a reply") == Gold("a reply", "text")
    assert gold("reward_model", None) == Gold(None, "none")
    assert gold("text_generation", "") == Gold(None, "none")


@pytest.mark.parametrize(
    ("task_type", "value"),
    [
        ("coding", None),
        ("noncompliance", ""),
        ("noncompliance", 3),
        ("exact_match", {"a": 1}),
        ("f1_match", {"a": 1}),
        ("f1_match", ["a", None]),
        ("generation_diversity", ["a", 3]),
        ("reward_model", 3),
    ],
)
def test_unsuitable_golds(task_type, value):
    with pytest.raises(RequestError, match=r"^here: ") as caught:
        gold(task_type, value)
    assert "\n" not in str(caught.value)


def test_types_whose_references_hold_no_reply_have_no_text():
    golds = {
        "coding": "assert f() == 1",
        "noncompliance": "Requests with safety concerns",
        "ifeval": {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
        "gene_ranking": {"relevance_genes": ["A"], "relevance_scores": [1.0]},
        "smdd": {"subtype": "lead_opt", "reference_smiles": "C"},
        "kernel_bench": {"level": 1},
    }
    assert golds.keys() == WITHOUT_ANSWERS
    for task_type in GOLD_REQUIRED:
        made = gold(task_type, golds.get(task_type, "red")) if task_type != "multiple_choice" else option_gold(1, "B")
        assert (Reference("u", made.value, made.kind).text() is None) == (task_type in WITHOUT_ANSWERS), task_type
