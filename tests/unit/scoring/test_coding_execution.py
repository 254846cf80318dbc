"""Programs on tests: verdicts of both rule sets, presentations, recorded cases, kinds of values, settings."""

import json
import os
import time
from pathlib import Path

import pytest
from support.programs import coding_case, need_sandbox, verdicts

from moco.errors import RequestError
from moco.scoring.sandbox import isolation, runs
from moco.tasks.sources.files import opened

pytestmark = pytest.mark.slow

CASES, SHARED, SOLUTIONS = "MOCO_SCORER_CASES", "MOCO_SHARED", "MOCO_SOLUTIONS"

HELPED = '''Complete the following code
import math
from typing import List


def area(sides: List[float]) -> float:
    """Return the product of the sides."""
    return math.prod(sides)


def twice_area(sides: List[float]) -> float:
    """Return two times the area.
    >>> twice_area([1.0, 2.0])
    4.0
    """
'''
HELPED_TEST = """

METADATA = {}


def check(candidate):
    import random
    rng = random.Random(1)
    for _ in range(20):
        sides = [rng.random(), rng.random()]
        assert abs(candidate(sides) - 2 * area(sides)) < 1e-9
    assert candidate([]) == 2
"""
FUNCTION = "def twice_area(sides: List[float]) -> float:\n    return 2 * area(sides)"
FULL = HELPED.removeprefix("Complete the following code\n") + "    return 2 * area(sides)"
WRONG = "def twice_area(sides):\n    return None"
PRESENTATIONS = {
    "full": (f"```python\n{FULL}\n```", 0, 1),
    "function only": (f"```python\n{FUNCTION}\n```", 0, 1),
    "function that needs nothing": (
        "```python\nimport math\ndef twice_area(s):\n    return 2 * math.prod(s)\n```",
        0,
        1,
    ),
    "py": (f"```py\n{FULL}\n```", 0, 1),
    "python3": (f"```python3\n{FULL}\n```", 0, 1),
    "tildes": (f"~~~\n{FULL}\n~~~", 0, 1),
    "not closed": (f"```python\n{FULL}", 0, 1),
    "usage": (f"```python\n{FULL}\n```\n```python\nprint(twice_area([1.0]))\n```", 0, 1),
    "output": (f"```python\n{FULL}\n```\n```\n4.0\n```", 0, 1),
    "body": ("    return 2 * area(sides)", 0, 1),
    "os._exit": (f"```python\n{WRONG}\n\nimport os\nos._exit(0)\n```", 1, 0),
    "sys.exit": (f"```python\n{WRONG}\n\nimport sys\nsys.exit(0)\n```", 1, 0),
    "wrong": (f"```python\n{WRONG}\n```", 0, 0),
    "no code": ("I cannot do that.", 0, 0),
}


@pytest.mark.parametrize("rules", ["paper", "strict"])
def test_presentations(rules):
    need_sandbox()
    found = verdicts(
        [coding_case(reply, prompt=HELPED, test=HELPED_TEST) for reply, _, _ in PRESENTATIONS.values()], rules
    )
    place = 1 if rules == "paper" else 2
    expected = {name: float(entry[place]) for name, entry in PRESENTATIONS.items()}
    assert dict(zip(PRESENTATIONS, (verdict.score for verdict in found), strict=True)) == expected


CHECK = "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(3) == 9\n"
SQUARE = "Complete the following code\ndef square(x):\n    pass\n"


def square(source, rules="strict", **code):
    (verdict,) = verdicts([coding_case(f"```python\n{source}\n```", prompt=SQUARE, test=CHECK)], rules, **code)
    return verdict.score, verdict.rule.rpartition("/")[2]


@pytest.mark.parametrize(
    ("source", "strict", "paper"),
    [
        ("def square(x):\n    return x * x", (1, "passed"), (1, "passed")),
        ("def square(x):\n    return x + x", (0, "wrong"), (0, "wrong")),
        ("def square(x):\n    return 1 / 0", (0, "error"), (0, "error")),
        ("def square(x)\n    return x", (0, "error"), (0, "error")),
        ("square = lambda x: x * x", (1, "passed"), (0, "error")),
        ("def helper(x):\n    return x\n\n\ndef square(x):\n    return x * x", (1, "passed"), (0, "wrong")),
        ("# def other(\ndef square(x):\n    return x * x", (1, "passed"), (0, "error")),
        ("def square(x):\n    return x * x * len(sys.path[:1])", (0, "error"), (1, "passed")),
        (
            "import sys\ndef square(x):\n    print('AssertionError', file=sys.stderr)\n    return x * x",
            (1, "passed"),
            (0, "wrong"),
        ),
        ("def square(x):\n    return x * x\nif __name__ == '__main__':\n    input()", (1, "passed"), (0, "error")),
        ("def square(x):\n    return x * x\nexit()", (0, "error"), (1, "passed")),
        ("def square(x):\n    return x * x\nopen('/etc/hostname')", (0, "error"), (0, "error")),
        ("import socket\nsocket.socket()\ndef square(x):\n    return x * x", (0, "error"), (0, "error")),
        ("def square(x):\n    return x * x\nopen('note.txt', 'w').write('x')", (1, "passed"), (1, "passed")),
    ],
)
def test_verdicts(source, strict, paper):
    need_sandbox()
    assert square(source) == strict
    assert square(source, "paper") == paper


def test_time_and_memory_are_limited_and_the_limits_are_settings():
    need_sandbox()
    slow = "import time\ndef square(x):\n    time.sleep(2)\n    return x * x"
    assert square(slow, seconds=1) == (0, "timeout")
    assert square("def square(x):\n    while True: pass", seconds=1) == (0, "timeout")
    large = "def square(x):\n    return len(bytearray(300_000_000)) * 0 + x * x"
    assert square(large, memory_mb=1024) == (1, "passed")
    assert square(large, memory_mb=256) == (0, "error")


@pytest.mark.parametrize(
    ("body", "assertion"),
    [
        ("return {1: [(2.5, None), {3}], 'a': b'x'}", "candidate(0) == {1: [(2.5, None), {3}], 'a': b'x'}"),
        ("return float('nan')", "candidate(0) != candidate(0)"),
        ("return -0.0, float('inf'), 1e-310", "candidate(0) == (-0.0, float('inf'), 1e-310)"),
        ("return 10 ** 5000", "candidate(0) == 10 ** 5000"),
        ("return '\\ud800\\n\\x00é'", "candidate(0) == '\\ud800\\n\\x00é'"),
        ("return complex(1, -2)", "candidate(0) == 1 - 2j"),
        ("return range(3)", "candidate(0) == range(3)"),
        ("return x is True", "candidate(True) is True and candidate(1) is False"),
        ("from collections import Counter; return Counter('aab')", "candidate(0) == {'a': 2, 'b': 1}"),
        ("from collections import namedtuple; return namedtuple('P', 'a b')(1, 2)", "candidate(0) == (1, 2)"),
        ("return (i * i for i in range(3))", "list(candidate(0)) == [0, 1, 4]"),
        ("return iter('ab')", "next(candidate(0)) == 'a'"),
        ("return isinstance('a', x)", "candidate(str) and not candidate(int)"),
        ("return lambda y: x + y", "candidate(2)(3) == 5"),
        ("return [x, ...]", "candidate(frozenset([1])) == [{1}, ...]"),
    ],
)
def test_values_arrive_as_they_are(body, assertion):
    need_sandbox()
    test = f"def check(candidate):\n    assert {assertion}\n"
    (verdict,) = verdicts([coding_case(f"```\ndef square(x):\n    {body}\n```", prompt=SQUARE, test=test)])
    assert (verdict.score, verdict.rule) == (1, "fence/passed")


def test_tests_may_expect_exceptions_use_classes_of_the_solution_and_stand_without_a_function():
    need_sandbox()
    raising = "def check(candidate):\n    try:\n        candidate(-1)\n    except ValueError:\n        return\n    assert False\n"
    pairs = "def check(candidate):\n    assert candidate([Pair(1, 5), Pair(2, 7)]) == 12\n"
    chain = "Write it.\nYour code should pass this test case: assert total([Pair(1, 5)]) == 5"
    with_class = "class Pair:\n    def __init__(self, a, b):\n        self.b = b\n\n\ndef total(pairs):\n    return sum(p.b for p in pairs)"
    cases = [
        coding_case("```\ndef square(x):\n    raise ValueError\n```", prompt=SQUARE, test=raising),
        coding_case("```\ndef square(x):\n    return x\n```", prompt=SQUARE, test=raising),
        coding_case(f"```\n{with_class}\n```", prompt=chain, test=pairs),
        coding_case("```\ndef f(x):\n    return x\n```", prompt="Write a function f.", test="assert f(1) == 1\n"),
        coding_case("```\ndef g(x):\n    return 5\n```", prompt="?", test=CHECK, entry_point="g"),
    ]
    assert [verdict.score for verdict in verdicts(cases)] == [1, 0, 1, 1, 0]


def test_broken_items_given_programs_and_replies_without_code():
    need_sandbox()
    right = "def square(x):\n    return x * x"
    cases = [
        coding_case(right, prompt=SQUARE, test=""),
        coding_case(right, prompt=SQUARE, test=CHECK, valid=False),
        coding_case("", prompt=SQUARE, test=CHECK, extracted=right, given=True),
        coding_case("", prompt=SQUARE, test=CHECK, extracted=None, given=True),
        coding_case("No.", prompt=SQUARE, test=CHECK),
    ]
    found = [(verdict.score, verdict.status, verdict.rule) for verdict in verdicts(cases)]
    assert found == [
        (None, "invalid", "reply"),
        (None, "invalid", "reply"),
        (1, "ok", "given/passed"),
        (0, "unparsed", "given/no_code"),
        (0, "unparsed", "none/no_code"),
    ]


def test_verdicts_depend_on_nothing_but_the_case():
    need_sandbox()
    chance = "import random\ndef square(x):\n    return x * x if random.random() < 0.5 else 0"
    order = "def square(x):\n    return x * x if list({'a', 'b', 'c', 'd'})[0] == 'a' else 0"
    cases = [coding_case(f"```\n{source}\n```", prompt=SQUARE, test=CHECK) for source in (chance, order) * 5]
    for rules in ("paper", "strict"):
        one = verdicts(cases, rules, workers=1)
        assert one == verdicts(cases, rules, workers=3)
        assert len({verdict.score for verdict in one[::2]}) == len({verdict.score for verdict in one[1::2]}) == 1


def test_the_weaker_isolation_gives_the_same_verdicts():
    assert square("def square(x):\n    return x * x", isolation="limits") == (1, "passed")
    assert square("def square(x):\n    return x", isolation="limits") == (0, "wrong")
    assert square("import os\ndef square(x):\n    os._exit(0)", isolation="limits") == (0, "error")
    assert square("def square(x):\n    while True: pass", isolation="limits", seconds=1) == (0, "timeout")
    assert square("def square(x):\n    return x * x", "paper", isolation="limits") == (1, "passed")


def test_without_bubblewrap_the_remedy_is_said(monkeypatch):
    monkeypatch.setattr(isolation.shutil, "which", lambda _name: None)
    runs.runner.cache_clear()
    with pytest.raises(RequestError, match="install bubblewrap, or allow the weaker isolation"):
        square("def square(x):\n    return x * x")


def test_a_bubblewrap_that_cannot_make_namespaces_is_an_error_and_no_score(monkeypatch, tmp_path):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(isolation.shutil, "which", lambda _name: str(fake))
    runs.runner.cache_clear()
    with pytest.raises(RequestError, match="No permissions to create new namespace"):
        square("def square(x):\n    return x * x")
    runs.runner.cache_clear()


@pytest.mark.parametrize(("rules", "file", "count"), [("paper", None, 61), ("paper-1.1", "scorer_cases_1_1.jsonl", 71)])
def test_recorded_programs_agree(rules, file, count):
    need_sandbox()
    name = os.environ.get(CASES)
    if not name:
        pytest.skip(f"{CASES} does not name a file of recorded cases")
    source = Path(name).with_name(file) if file else Path(name)
    if not source.is_file():
        pytest.skip(f"{source} does not exist")
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["task_type"] == "coding"]
    cases = [
        coding_case(row["response"], prompt="", test=row["item"]["test"], meta={"language": row["item"]["language"]})
        for row in rows
    ]
    found = verdicts(cases, rules)
    again = verdicts(
        [
            coding_case(
                "",
                prompt="",
                test=case.reference.gold["test"],
                meta=case.reference.meta,
                extracted=v.parsed,
                given=True,
            )
            for case, v in zip(cases, found, strict=True)
        ],
        rules,
    )
    expected = [(row[rules]["parsed"], row[rules]["score"]) for row in rows]
    assert len(rows) == count
    assert [(verdict.parsed, verdict.score) for verdict in found] == expected
    assert [verdict.score for verdict in again] == [score for _, score in expected]


@pytest.mark.parametrize("name", ["humaneval", "mbpp"])
def test_solutions_of_real_items_pass(name):
    need_sandbox()
    for variable in (SHARED, SOLUTIONS):
        if variable not in os.environ:
            pytest.skip(f"{variable} is not set")
    with opened(Path(os.environ[SHARED], f"{name}.json.gz"), name) as stream:
        data = json.load(stream)
    items = {str(item["id"]): item for split in ("dev", "test") for item in data[split]}
    lines = Path(os.environ[SOLUTIONS], f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) >= 40
    cases = [
        coding_case(
            f"```python\n{row['solution']}```", prompt=items[row["src_id"]]["input"], test=items[row["src_id"]]["test"]
        )
        for row in rows
    ]
    start = time.monotonic()
    failed = [row["src_id"] for row, verdict in zip(rows, verdicts(cases), strict=True) if verdict.score != 1]
    assert failed == []
    assert time.monotonic() - start < 60 * len(rows) / 164
