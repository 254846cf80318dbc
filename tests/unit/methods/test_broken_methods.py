"""A method file that cannot be imported takes only its own methods away."""

import os
import subprocess
import sys

import pytest

from moco.errors import RequestError
from moco.methods.base import Method, method
from moco.registry import did_you_mean

GOOD = """
from moco.methods.base import Answer, Method, Needs, method

@method("text_{name}", level="text", papers=("2203.11171",))
class Mine(Method):
    '''Does something.'''

    def needs(self, models):
        {needs}

    def answer(self, ctx, state):
        yield Answer("", "")
"""
BROKEN = {
    "syntax": ("def f(:\n", "line 1: invalid syntax"),
    "import": ("import no_such_module_at_all\n", "line 1: ModuleNotFoundError: No module named"),
    "exit": ("import sys\n\nsys.exit(3)\n", "line 3: SystemExit: 3"),
    "decorator": (
        GOOD.format(name="x", needs="return Needs()").replace("'''Does something.'''", "pass"),
        "has no docstring",
    ),
    "after": (GOOD.format(name="x", needs="return Needs()") + "1 / 0\n", "ZeroDivisionError: division by zero"),
}
STUDY = """
study: s
models: {{add: {{kind: zoo}}}}
pools: {{p: [add]}}
tasks: {{t: {{source: {{kind: synthetic, skills: [add]}}}}}}
methods: {{{method}: {{}}}}
"""


@pytest.fixture
def plug_in(tmp_path):
    """Return a way to run `moco` where an installed package offers a module with this content."""
    about = tmp_path / "lab-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text("[moco.methods]\nlab = lab_module\n")

    def run(content, *arguments):
        (tmp_path / "lab_module.py").write_text(content, encoding="utf-8")
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
        command = [sys.executable, "-B", "-m", "moco", *map(str, arguments)]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)

    return run


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_module_is_named_and_others_go_on(name, plug_in, tmp_path):
    content, fault = BROKEN[name]
    listed = plug_in(content, "methods")
    assert listed.returncode == 0
    assert "text_majority_vote  (text)" in listed.stdout
    assert "text_x" not in listed.stdout
    (line,) = listed.stderr.splitlines()
    assert line.startswith("lab_module: cannot be used (")
    assert fault in line
    path = tmp_path / "s.yaml"
    path.write_text(STUDY.format(method="control_random"))
    checked = plug_in(content, "check", path)
    assert (checked.returncode, checked.stderr) == (0, "")
    path.write_text(STUDY.format(method="text_x"))
    refused = plug_in(content, "check", path)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "unknown method 'text_x'" in line
    assert "or correct lab_module (" in line
    assert fault in line


def test_a_method_that_cannot_say_what_it_needs_is_one_line(plug_in, tmp_path):
    content = GOOD.format(name="x", needs="return 1 / 0")
    listed = plug_in(content, "methods")
    assert "text_majority_vote  (text)" in listed.stdout
    (line,) = listed.stderr.splitlines()
    assert line.startswith("text_x: cannot be used (method text_x fails (line")
    path = tmp_path / "s.yaml"
    path.write_text(STUDY.format(method="text_x"))
    (line,) = plug_in(content, "check", path).stderr.splitlines()
    assert "methods.text_x: method text_x fails" in line


def test_two_methods_of_one_id_are_refused_where_they_are_used(plug_in, tmp_path):
    content = GOOD.format(name="majority_vote", needs="return Needs()")
    path = tmp_path / "s.yaml"
    path.write_text(STUDY.format(method="control_random"))
    assert plug_in(content, "check", path).returncode == 0
    path.write_text(STUDY.format(method="text_majority_vote"))
    (line,) = plug_in(content, "check", path).stderr.splitlines()
    assert "'text_majority_vote' is registered twice" in line


@pytest.mark.parametrize(
    ("name", "known", "remedy"),
    [
        ("answr", ["answer", "question"], "did you mean answer?"),
        ("answer", ["answer ", "question"], "did you mean 'answer '?"),
        ("answer", ["\ufeffanswer"], r"did you mean '\ufeffanswer'?"),
        ("café", ["cafe\u0301"], r"did you mean 'cafe\u0301'?"),
        ("answer", ["answer", "answers"], "did you mean answers?"),
        ("answer", ["answer"], "known: none"),
        ("x", ["abc"], "known: abc"),
    ],
)
def test_what_is_suggested_is_never_the_same_word(name, known, remedy):
    assert did_you_mean(name, known) == remedy


@pytest.mark.parametrize(
    ("level", "papers", "fault"),
    [
        ("text", "2203.11171", "no arXiv ids"),
        ("text", ("a paper of 2022",), "no arXiv ids"),
        ("text", (), "names no paper"),
    ],
)
def test_papers_are_arxiv_ids_and_only_controls_have_none(level, papers, fault):
    with pytest.raises(RequestError, match=fault):
        method(f"{level}_unpublished", level=level, papers=papers)(
            type("Unpublished", (Method,), {"__doc__": "Nothing."})
        )
