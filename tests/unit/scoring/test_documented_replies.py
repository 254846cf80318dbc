"""The tables of docs/scoring.md: replies are scored as it says, and it has every type, rule set and rule."""

import inspect
import json
import os
import re
from fractions import Fraction
from itertools import pairwise
from statistics import fmean

import pytest
from support.documents import codes, key_codes, rows
from support.items import load, questions, references, right_reply, wrong_reply
from support.programs import coding_case, need_sandbox, verdicts

from moco.config.rule_sets import RULE_SETS
from moco.config.scoring import Scoring
from moco.config.tasks import TaskEntry
from moco.scoring import short_answers
from moco.scoring.catalogue import RUNS_CODE, scorer_for, task_types
from moco.scoring.code_text import Target, extract_code
from moco.scoring.judges import ROLES, judges
from moco.tasks.item import NULL_OPTIONS, Question, Reference
from moco.tasks.sources.gold import open_gold

PAGE = "docs/scoring.md"
CITIES = ("Paris", "London", "Rome", "Madrid")
COLOURS = ("red", "green", "blue", "grey")
FULL = Scoring(verifier="v", reward="r", second_reward="s", encoder="e", least_reward=0)
JUDGED = {name for name in task_types() if any(judges(name, rules, FULL) for rules in RULE_SETS)}


def verdict(type, gold, reply, *, rules="strict", kind="text", options=None, meta=None):
    question = Question("u", "t", "test", type, "", "", options)
    return scorer_for(type, rules).score(question, Reference("u", gold, kind, meta=meta or {}), reply)


def chosen(letter, reply, rules, options=COLOURS, meta=None):
    gold = {"index": "ABCD".index(letter), "key": letter}
    return verdict("multiple_choice", gold, reply, rules=rules, kind="option", options=options, meta=meta)


def test_rule_sets():
    assert key_codes(PAGE, "Rule set | What it follows | Numbers made so") == list(RULE_SETS)


STYLES = "Reply | `paper` | `paper-1.1`"
"""The page gives ranges over test sets; replies say the right letter where it has C."""
CHOICE_FILES = (
    *("agieval_tiny", "arc_challenge", "blend", "gpqa_diamond"),
    *("kaleidoscope", "tablemwp_multiple_choice", "truthfulqa"),
)


def means(style, rules, items):
    """Return the mean score of a style of reply over (question, reference)."""
    reply = re.sub(r"\bC\b", "{}", style.replace("{C}", "{{C}}")).format
    scorer = scorer_for("multiple_choice", rules)
    scores = (scorer.score(question, gold, reply(gold.gold["key"])).score for question, gold in items)
    return fmean(score for score in scores if score is not None)


def assert_ranges(items):
    for reply, *cells in rows(PAGE, STYLES):
        for rules, cell in zip(("paper", "paper-1.1"), cells, strict=True):
            bounds = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", cell)]
            low, high = bounds if len(bounds) == 2 else (0, *bounds)
            assert cell.startswith("at most") == (len(bounds) == 1)
            for style in codes(reply):
                assert low - 0.0051 <= means(style, rules, items) <= high + 0.0051, (style, rules)


def test_styles_of_replies_on_items_of_four_colours():
    gold = [{"index": place, "key": letter} for place, letter in enumerate("ABCD")]
    question = Question("u", "t", "test", "multiple_choice", "", "", COLOURS)
    assert_ranges([(question, Reference("u", each, "option")) for each in gold])


@pytest.mark.skipif(not os.environ.get("MOCO_SHARED"), reason="MOCO_SHARED names no folder with MoCo's JSON files")
@pytest.mark.parametrize("name", CHOICE_FILES)
def test_styles_of_replies_on_real_items(name):
    entry = TaskEntry(source={"kind": "moco", "path": f"$MOCO_SHARED/{name}.json.gz"}, type="multiple_choice")
    assert_ranges(
        [
            (
                Question("u", name, "test", "multiple_choice", item.question, "", item.options, item.domain),
                Reference("u", item.gold, item.gold_kind, meta=item.meta),
            )
            for item in load(entry)["test"]
            if item.valid
        ]
    )


def differ(type, gold, reply, paper, newer, **given):
    found = [verdict(type, gold, reply, rules=rules, **given).score for rules in ("paper", "paper-1.1")]
    assert found == [paper, newer], (type, gold, reply)


def blocks(rules):
    text = "```python\nx = 1\n```\n```python\ny = 2\n```"
    return scorer_for("coding", rules).extract(Question("u", "t", "test", "coding", "", ""), text).parsed


def boxes(key, _paper, _newer):
    (reply,) = codes(key)
    assert [verdict("exact_match", "1", reply, rules=each).parsed for each in ("paper", "paper-1.1")] == [
        r"\frac{1",
        r"\frac{1}{2}",
    ]


def signs(_key, _paper, newer):
    (listed,) = codes(newer)
    assert len(listed.split()) == 9
    for sign in listed.split():
        differ("exact_match", f"x{sign}y", "xy", 1, 0)
        differ("exact_match", f"x{sign}y", f"x{sign}y!", 1, 1)
    differ("exact_match", "x!y", "xy", 1, 1)


def kinds(_key, _paper, _newer):
    differ("exact_match", "True", "yes", 0, 1)
    differ("exact_match", "5", "500 %", 0, 1)
    differ("exact_match", "5.0", "5.04", 0, 1)
    differ("exact_match", "5", "5.04", 0, 0)
    differ("exact_match", "[1.0, 2.0]", r"\box{[1.0, 2.01]}", 0, 1)
    differ("exact_match", "[1.0, 2.0]", r"\box{[2.0, 1.0]}", 0, 0)
    differ("exact_match", "a cat", "Cat.", 1, 1)


def choices(_key, _paper, _newer):
    for reply, paper, newer in (
        ("A dog", "A", None),
        ("blue and red", "A", "A"),
        ("red and blue", "A", "C"),
        ("(C) or (B)", "B", "B"),
        ("(B) or (C)", "B", "C"),
        ("the answer is C, not (A)", "A", "C"),
        ("Final answer: C. Answer: A", "C", "C"),
        ("A.", "A", "A"),
    ):
        assert [chosen("C", reply, rules).parsed for rules in ("paper", "paper-1.1")] == [paper, newer], reply


def programs(_key, _paper, _newer):
    assert [blocks(rules) for rules in ("paper", "paper-1.1")] == ["y = 2", "x = 1"]


def apostrophes(_key, _paper, _newer):
    differ("noncompliance", "Incomplete requests", "I’m not sure", 1, 0, kind="category")
    differ("noncompliance", "Incomplete requests", "I cannot say", 1, 1, kind="category")


def newer_types(key, _paper, _newer):
    assert codes(key) == ["ifeval", "gene_ranking", "smdd", "kernel_bench"]
    for name in codes(key):
        made = [scorer_for(name, rules) for rules in ("paper", "paper-1.1")]
        assert type(made[0]) is type(made[1])
        of = [{what: getattr(value, "__code__", value) for what, value in vars(each).items()} for each in made]
        assert of[0] == of[1], name


def null_golds(_key, _paper, _newer):
    differ("exact_match", None, "", 1, None)
    assert verdict("exact_match", None, "", rules="paper-1.1").status == "invalid"


def null_options(_key, _paper, _newer):
    options, meta = ("red", "-", "blue"), {NULL_OPTIONS: [1]}
    for rules in ("paper", "paper-1.1"):
        assert chosen("A", "It is blue", rules, options, meta).status == "invalid"
        assert chosen("A", "A", rules, options, meta).status == "ok"


DIFFERENCES = {
    r"a box, `\boxed{\frac{1}{2}}`": boxes,
    "equality of texts": signs,
    "`exact_match`": kinds,
    "`multiple_choice`": choices,
    "`coding`": programs,
    "`noncompliance`": apostrophes,
    "`ifeval`, `gene_ranking`, `smdd`, `kernel_bench`": newer_types,
    "a null gold answer of `exact_match`": null_golds,
    "a null option that the rules come to": null_options,
}


def test_what_the_newer_rules_do_otherwise():
    table = rows(PAGE, " | `paper` | `paper-1.1`")
    assert [key for key, *_ in table] == list(DIFFERENCES)
    for row in table:
        DIFFERENCES[row[0]](*row)


def test_types_that_rules_score():
    table = rows(PAGE, "Type | Score | `strict` | `paper`")
    named = {key: score for cell, score, *_ in table for key in re.findall(r"`(\w+)`", cell)}
    assert set(named) == set(task_types()) - JUDGED - RUNS_CODE
    for name, score in named.items():
        (item,) = questions(1, name)
        gold = references([item])[item.uid]
        right, wrong = (
            scorer_for(name, "strict").score(item, gold, reply(item)).score for reply in (right_reply, wrong_reply)
        )
        assert (right, wrong) == (1, 0) if score == "0 or 1" else 0 <= wrong < right <= 1, name


READ = {
    "box": (r"\boxed{1} and \boxed{\frac{1}{2}} or so", r"\frac{1}{2}"),
    "answer_element": ("<answer>1</answer>, no, <answer>2</answer> or so", "2"),
    "hash": ("#### 1\n#### 2", "2"),
    "cue": ("Final answer: 1. No, the answer is 2 after all. So it is.", "2 after all"),
    "short_reply": ("one two three four five six seven eight", "one two three four five six seven eight"),
    "last_line": ("First of all,\none two three", "one two three"),
}


def test_what_is_read_as_the_answer():
    source = inspect.getsource(short_answers.declared_answer)
    known = set(re.findall(r'\("(\w+)", last_|, "(\w+)"\)|"(\w+)" if short else "(\w+)"', source))
    known = {name for groups in known for name in groups if name} - {"empty", "none"}
    assert set(key_codes(PAGE, "`rule` | Read")) == set(READ) == known
    for rule, (reply, answer) in READ.items():
        found = short_answers.declared_answer(reply)
        assert (found.rule, found.parsed) == (rule, answer)
    assert short_answers.declared_answer(READ["short_reply"][0] + " nine").rule == "last_line"
    for first, second in pairwise(key_codes(PAGE, "`rule` | Read")[:5]):
        text = f"{READ[first][0]}\n\n{READ[second][0]}"
        assert short_answers.declared_answer(text).rule == first, text


def pairs(cell, named):
    """Yield (reply, gold) of every piece of code in a cell: those of "`a`, `b` for `c`", and others for `named`."""
    for group, gold in re.findall(r"((?:`[^`]+`(?:, | or )?)+) for `([^`]+)`", cell):
        yield from ((reply, gold) for reply in codes(group))
    for reply in codes(re.sub(r"(?:`[^`]+`(?:, | or )?)+ for `[^`]+`", "", cell)):
        (gold,) = named
        yield reply, gold


SOURCES = {"letter": {"question": "Which is a colour?\n(A) seven\n(B) red"}, "words": {"domain": "word_sorting"}}
"""What the source of an item knows besides its gold, by the first word of the row."""


@pytest.mark.parametrize("row", rows(PAGE, "Gold | Right | Wrong"), ids=lambda row: row[0])
def test_exact_match(row):
    first, *cells = row
    source = {"question": "", "domain": "", **SOURCES.get(first.partition(" ")[0], {})}
    for cell, expected in zip(cells, (1, 0), strict=True):
        found = list(pairs(cell, codes(first)))
        assert found, "no example"
        for reply, text in found:
            gold = open_gold("exact_match", text, PAGE, **source)
            question = Question("u", "t", "test", "exact_match", source["question"], "")
            scored = scorer_for("exact_match", "strict").score(question, Reference("u", gold.value, gold.kind), reply)
            assert scored.score == expected, (text, gold.kind, reply)


@pytest.mark.parametrize(("gold", "reply", "said"), rows(PAGE, "Gold | Reply | Score"))
def test_f1_match(gold, reply, said):
    (text,) = codes(gold)
    value, kind = (json.loads(text), "aliases") if text.startswith("[") else (text, "text")
    expected = float(Fraction(said.partition(":")[0]))
    assert verdict("f1_match", value, codes(reply)[0], kind=kind).score == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rule", "_what", "replies"), rows(PAGE, "`rule` | A clause speaks for an option by | For instance")
)
def test_multiple_choice(rule, _what, replies):
    question = Question("u", "t", "test", "multiple_choice", "", "", CITIES)
    found = [scorer_for("multiple_choice", "strict").extract(question, reply) for reply in codes(replies)]
    assert found
    assert {(each.parsed, each.rule) for each in found} == {("B", codes(rule)[0])}


def test_types_that_models_score():
    table = rows(PAGE, "Type | Score | `strict` | `paper` | Models in `scoring`")
    assert {codes(key)[0] for key, *_ in table} == JUDGED
    for key, *_, models in table:
        (name,) = codes(key)
        needed = judges(name, "strict", FULL)
        if name == "text_generation":
            assert not needed
            ways = [judges(name, "strict", FULL.model_copy(update={name: way})) for way in ("reward_model", None)]
            assert [bool(way) for way in ways] == [True, False]
        else:
            assert set(codes(models)) & set(ROLES) == set(needed), name


HEADER = 'def twice(x):\n    """Return two times x."""'
FUNCTION = "def twice(x):\n    return x + x"
FOUND = {
    "reply": FUNCTION,
    "fence": f"Here:\n~~~\n{FUNCTION}\n~~~\nDone.",
    "fenced_body": "Here:\n```\n    return x + x\n```",
    "prose": f"Here it is:\n{FUNCTION}\nThat is all.",
    "body": "    return x + x",
    "broken_fence": "```python\ndef twice(x)\n    return x + x\n```",
    "broken_code": "def twice(x)\n    return x + x",
    "none": "I cannot do that.",
    "empty": "<think>Hm.</think>",
}


def test_which_code_is_run():
    assert key_codes(PAGE, "Found | ") == list(FOUND)
    for rule, reply in FOUND.items():
        assert extract_code(reply, Target("twice", "", HEADER)).rule == rule


FARED = {
    "passed": FUNCTION,
    "wrong": "def twice(x):\n    return x",
    "error": "def twice(x):\n    return x.two",
    "timeout": "def twice(x):\n    while True:\n        pass",
    "no_code": "I cannot do that.",
}


def test_how_programs_fare():
    assert key_codes(PAGE, "Fared | ") == list(FARED)
    need_sandbox()
    test = "def check(candidate):\n    assert candidate(2) == 4"
    found = verdicts([coding_case(reply, prompt=HEADER, test=test) for reply in FARED.values()], seconds=5)
    assert [each.rule.partition("/")[2] for each in found] == list(FARED)
