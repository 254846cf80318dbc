"""Programs in replies: which code is taken, under both rule sets, and what a prompt asks to define."""

import ast
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.programs import coding_case

from moco.errors import RequestError
from moco.scoring import scorer_for
from moco.scoring.assertions import called_name
from moco.scoring.code_text import Target, extract_code, target_of
from moco.scoring.coding import is_broken
from moco.tasks.item import Question

PAPER, STRICT = scorer_for("coding", "paper"), scorer_for("coding", "strict")
HEADER = 'def twice(x):\n    """Return two times x."""'
PROMPT = f"Complete the following code\nimport math\n\n\ndef half(x):\n    return x / 2\n\n\n{HEADER}\n"
FUNCTION = "def twice(x):\n    return x + x"
QUESTION = Question("u", "t", "test", "coding", PROMPT, PROMPT)


def paper(reply):
    return PAPER.extract(QUESTION, reply).parsed


def strict(reply):
    return STRICT.extract(QUESTION, reply).parsed


def test_a_prompt_that_begins_a_function_names_it_and_shows_what_stands_before():
    assert target_of(PROMPT) == Target("twice", "import math\n\n\ndef half(x):\n    return x / 2", HEADER)


@pytest.mark.parametrize(
    ("assertion", "name"),
    [
        ("assert twice(2) == 4", "twice"),
        ("assert (Diff([1], [2])) == [1]", "Diff"),
        ("assert int(lobb_num(5, 3)) == 35", "lobb_num"),
        ("assert set(similar((3, 4), (5, 4))) == set((4,))", "similar"),
        ("assert chain([Pair(5, 24), Pair(15, 25)], 2) == 1", "chain"),
        ("assert sum(10,15) == 6", "sum"),
    ],
)
def test_the_outermost_call_of_the_shown_assertion_is_the_entry_point(assertion, name):
    assert (
        target_of(f"You are an expert. Write it.\nYour code should pass this test case: {assertion}").entry_point
        == name
    )
    assert called_name(ast.parse(assertion)) == name


def test_a_prompt_without_code_names_nothing():
    assert target_of("Write a function. You may assert anything.") == Target(None)


@pytest.mark.parametrize(
    ("reply", "parsed"),
    [
        (f"```python\n{FUNCTION}\n```", FUNCTION),
        (f"```PYTHON \n{FUNCTION}\n```", FUNCTION),
        (f"```\n{FUNCTION}\n```", FUNCTION),
        (f"```py\n{FUNCTION}\n```", f"py\n{FUNCTION}"),
        (f"``` python\n{FUNCTION}\n```", f"python\n{FUNCTION}"),
        (f"~~~\n{FUNCTION}\n~~~", f"~~~\n{FUNCTION}\n~~~"),
        (f"```python\n{FUNCTION}\n```\nUsage:\n```python\ntwice(1)\n```", "twice(1)"),
        (f"```py\n{FUNCTION}\n```\nOr:\n```py\n{FUNCTION}\n```", "Or:"),
        (f"```python\n{FUNCTION}", f"```python\n{FUNCTION}"),
        (f"  {FUNCTION}\n", FUNCTION),
        ("", ""),
    ],
)
def test_original_rules(reply, parsed):
    assert paper(reply) == parsed


PRESENTATIONS = {
    "python": f"```python\n{FUNCTION}\n```",
    "py": f"```py\n{FUNCTION}\n```",
    "python3": f"Here:\n```python3\n{FUNCTION}\n```\nDone.",
    "info words": f"```python title=a.py\n{FUNCTION}\n```",
    "no info": f"```\n{FUNCTION}\n```",
    "tildes": f"~~~python\n{FUNCTION}\n~~~",
    "four backticks": f"````python\n{FUNCTION}\n````",
    "blank before the info": f"``` python\n{FUNCTION}\n```",
    "not closed": f"```python\n{FUNCTION}",
    "in a list": "1. So:\n   ```python\n   def twice(x):\n       return x + x\n   ```",
    "in a quotation-free line": f"Take this ```python\n{FUNCTION}\n```",
    "closed at the end of a line": f"```python\n{FUNCTION}```",
    "usage after it": f"```python\n{FUNCTION}\n```\nUse it:\n```python\nprint(twice(2))\n```\nOutput:\n```\n4\n```",
    "older version before it": f"```python\ndef twice(x):\n    return x\n```\nBetter:\n```python\n{FUNCTION}\n```",
    "thought before it": f"<think>```python\ndef twice(x):\n    return 0\n```</think>```python\n{FUNCTION}\n```",
    "bare": FUNCTION,
    "prose before it": f"Here is the code:\n{FUNCTION}",
    "prose around it": f"Here is the code:\n\n{FUNCTION}\n\nIt adds x to itself.",
}


@pytest.mark.parametrize("name", PRESENTATIONS)
def test_strict_rules_find_the_function_in_every_presentation(name):
    assert strict(PRESENTATIONS[name]) == FUNCTION


FENCED_DOCSTRING = """def twice(x):
    \'\'\'Return two times x.

    ```python
    twice(2)
    ```
    \'\'\'
    return x + x"""
FENCE_AT_THE_MARGIN = FENCED_DOCSTRING.replace("    ```", "```").replace("    twice(2)", "twice(2)")
FENCE_IN_A_TEXT = f"EXAMPLE = '''\n~~~\n```\ncode\n```\n'''\n\n{FUNCTION}"
DOCTEST = "def twice(x):\n    '''Double.\n\n    >>> twice(2)\n    4\n    '''\n    return x + x"


@pytest.mark.parametrize("program", [FENCED_DOCSTRING, FENCE_AT_THE_MARGIN, FENCE_IN_A_TEXT, DOCTEST])
@pytest.mark.parametrize(
    "form",
    [
        "```python\n{}\n```",
        "```\n{}\n```\nThat is all.",
        "```python\n{}\n```\nUse it:\n```python\nprint(twice(2))\n```\nOutput:\n```\n4\n```",
        "````python\n{}\n````",
        "~~~~~python\n{}\n~~~~~",
        "```python\n{}",
        "[BEGIN]\n{}\n[DONE]",
        "{}",
    ],
)
def test_a_fence_within_a_program_does_not_end_it(program, form):
    assert strict(form.format(program)) == program


@pytest.mark.parametrize(
    "reply",
    [
        f"````markdown\nHere:\n```python\n{FUNCTION}\n```\n````",
        f"```markdown\nHere:\n```python\n{FUNCTION}\n```\n```",
        f"~~~markdown\n```python\n{FUNCTION}\n```\n~~~",
        f"```\nnot code, and never closed\n\n```python\n{FUNCTION}\n```",
        f"```python\n{FUNCTION}\n```\n```text\nA ``` is a fence\n```",
        "> ```python\n> def twice(x):\n>     return x + x\n> ```",
        "\t```python\n\tdef twice(x):\n\t    return x + x\n\t```",
        f"```{{.python .numbered}}\n{FUNCTION}\n```",
        f"```Python3.11\n{FUNCTION}\n```",
        f"```\npython\n{FUNCTION}\n```",
        "```python def twice(x):\n    return x + x\n```",
        f"[BEGIN]\n{FUNCTION}\n[DONE]",
        f"{FUNCTION}\n[DONE]",
        f"{FUNCTION} [DONE]",
        f"Here: [BEGIN] {FUNCTION}\n[DONE] and more",
        f"```python\n[BEGIN]\n{FUNCTION}\n[DONE]\n```",
        f"[BEGIN]\n```python\n{FUNCTION}\n```\n[DONE]",
        f"[BEGIN]\n{FUNCTION}\n[DONE]\n\nAnother task.\n[BEGIN]\ndef twice(x):\n    return 3\n[DONE]",
        f"{FUNCTION}<|endoftext|>def twice(x):\n    return 3",
    ],
)
def test_what_stands_around_a_program_is_no_part_of_it(reply):
    assert strict(reply) == FUNCTION


@pytest.mark.parametrize("form", ["{}", "```python\n{}\n```", "```pycon\n{}\n```"])
def test_of_a_session_of_the_interpreter_what_it_defines_is_taken(form):
    assert strict(form.format(">>> def twice(x):\n...     return x + x\n...\n>>> twice(2)\n4")) == FUNCTION


@pytest.mark.parametrize(
    "program", ["def twice(x):\n    return [DONE]", "def twice(x):\n    return [\n[DONE],\n[BEGIN]]"]
)
def test_names_that_look_like_markers_stay(program):
    assert strict(program) == strict(f"```python\n{program}\n```") == program


@pytest.mark.parametrize(
    "body",
    [
        "    return x + x",
        "return x + x",
        "```python\n    return x + x\n```",
        "```\nreturn x + x\n```",
        "    return x + x\n\nThis adds x to itself.",
    ],
)
def test_a_bare_body_is_attached_to_the_header(body):
    assert strict(body) == f"{HEADER}\n    return x + x"


def test_blocks_that_only_import_and_define_are_kept_in_front():
    helper = "import math\n\n\ndef add(a, b):\n    return a + b"
    main = "def twice(x):\n    return add(x, x)"
    assert (
        strict(f"```python\n{helper}\n```\n```python\nprint(1)\n```\n```python\n{main}\n```") == f"{helper}\n\n{main}"
    )


@pytest.mark.parametrize(
    "definition",
    [
        "twice = lambda x: x + x",
        "class twice(int):\n    pass",
        "async def twice(x):\n    return x",
        "from m import twice",
    ],
)
def test_a_definition_need_not_be_a_function(definition):
    assert strict(f"```\n{definition}\n```") == definition


def test_code_that_is_no_program_is_still_shown():
    found = STRICT.extract(QUESTION, "```python\ndef twice(x)\n    return x\n```")
    assert (found.parsed, found.rule) == ("def twice(x)\n    return x", "broken_fence")


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "   ",
        "I'm sorry, I can't write code.",
        "<think>def twice(x): return 2 * x",
        "Use `twice(x)` from the library.",
    ],
)
def test_a_reply_without_code_is_unparsed(reply):
    assert strict(reply) is None


def test_without_a_known_entry_point_any_function_counts():
    assert (
        extract_code("```\nx = 1\n```\n```\ndef f():\n    return 1\n```", Target(None)).parsed
        == "def f():\n    return 1"
    )


def test_programs_that_differ_in_layout_vote_together():
    one, other = "def f(x):\n    return x+1  # up", "def f(x):\n\n    return (x + 1)"
    assert STRICT.normal_form(QUESTION, one) == STRICT.normal_form(QUESTION, other)
    assert STRICT.normal_form(QUESTION, one) != STRICT.normal_form(QUESTION, "def f(x):\n    return x + 2")
    assert STRICT.normal_form(QUESTION, " not code ( ") == "not code ("


@pytest.mark.parametrize(
    ("test", "broken"),
    [
        ("def check(candidate):\n    assert candidate(2) == 4\n", False),
        ("assert twice(2) == 4\n", False),
        ("def check(candidate):\n    assert candidate(Pair(1, 2)) == 4\n", False),
        ("def check(candidate):\n    assert half(candidate(2)) == 2\n", False),
        ("def check(candidate):\n    import copy\n    x = [1]\n    assert candidate(copy.copy(x)) == x\n", False),
        ("", True),
        ("def check(candidate):\n    candidate(2)\n", True),
        ("def check(candidate):\n    assert candidate(root) == 4\n", True),
        ("def check(candidate):\n    assert candidate(twice(2)) == 4\n", True),
        ("def check(candidate)\n", True),
    ],
)
def test_items_that_no_solution_can_pass_are_recognised(test, broken):
    assert is_broken(test, target_of(PROMPT)) is broken


@pytest.mark.parametrize("scorer", [PAPER, STRICT])
def test_nothing_runs_without_permission(scorer):
    case = coding_case(FUNCTION, prompt=PROMPT, test="def check(candidate):\n    assert candidate(2) == 4\n")
    with pytest.raises(RequestError, match="without permission"):
        scorer.score(case.question, case.reference, case.text)


@given(st.text(alphabet="`~ \n\tpydeftwic(x):=1#'\"\\[{", max_size=300))
def test_any_text_can_be_read(reply):
    for scorer in (PAPER, STRICT):
        found = scorer.extract(QUESTION, reply)
        assert found.parsed is None or isinstance(found.parsed, str)


@pytest.mark.parametrize(
    "reply",
    [
        "```" + "\n" * 200_000,
        "```x```" + " \n" * 100_000,
        "`" * 200_000,
        "def twice(x):\n" * 20_000,
        "(" * 100_000,
        "def twice(x):\n    return " + "-" * 100_000 + "x",
        "def twice(x):\n    return " + "+".join(["x"] * 60_000),
        "```python\n" * 20_000,
        "~~~\nimport a\n~~~\n" * 20_000,
    ],
)
def test_long_replies_are_read_in_bounded_time(reply):
    start = time.monotonic()
    PAPER.extract(QUESTION, reply)
    STRICT.extract(QUESTION, reply)
    assert time.monotonic() - start < 5
