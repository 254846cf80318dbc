"""A new method: the skeleton that the command writes, and methods of installed packages."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from moco.cli import main
from moco.methods.base import LEVELS

TESTS = Path(__file__).parents[1]
PAPER = ("--paper", "2203.11171")
SMOKE = """
import sys
from moco.methods.catalogue import make_method, method_class, method_ids
from support.contexts import World
id = sys.argv[1]
assert id in method_ids(), method_ids()
method = make_method(id, {})
assert method_class(id).__module__ == sys.argv[2], method_class(id).__module__
for kind in ("exact_match", "multiple_choice"):
    world = World(("a", "a", "b"), kind)
    answers = world.answer(method, world.fit(method))
    assert set(answers) == {item.uid for item in world.test}
    assert all(row["models"] for row in answers.values())
assert "torch" not in sys.modules
"""


def python(*arguments, paths=(), timeout=60):
    path = os.pathsep.join([str(TESTS), *map(str, paths)])
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True, timeout=timeout)


def install(folder, entry_points, name="example-plugin"):
    """Make `folder` look like a site-packages folder with one installed distribution."""
    about = folder / f"{name.replace('-', '_')}-0.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    lines = "\n".join(f"{key} = {value}" for key, value in entry_points.items())
    (about / "entry_points.txt").write_text(f"[moco.methods]\n{lines}\n")


@pytest.mark.slow
def test_every_skeleton_passes_the_contract_tests(tmp_path):
    for level in LEVELS:
        assert main(["new", "method", f"{level}_my_idea", *PAPER, "--into", str(tmp_path)]) == 0
        (tmp_path / "my_idea.py").rename(tmp_path / f"{level}_idea.py")
    install(tmp_path, {level: f"{level}_idea" for level in LEVELS})
    contract = [str(TESTS / "contract" / f"test_method_{name}.py") for name in ("contract", "pages")]
    done = python("-m", "pytest", "-n0", "-q", *contract, "-k", "my_idea", paths=[tmp_path], timeout=600)
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 100


@pytest.mark.slow
def test_a_file_that_cannot_be_imported_fails_a_test_of_its_methods_name(tmp_path):
    assert main(["new", "method", "text_example", *PAPER, "--into", str(tmp_path)]) == 0
    path = tmp_path / "example.py"
    path.write_text(path.read_text().replace("import blocks", "import blokcs"))
    install(tmp_path, {"example": "example"})
    contract = str(TESTS / "contract" / "test_method_contract.py")
    done = python("-m", "pytest", "-n0", "-q", contract, "-k", "text_example", paths=[tmp_path], timeout=300)
    assert done.returncode == 1, done.stdout[-3000:]
    assert "ImportError: cannot import name 'blokcs'" in done.stdout


@pytest.mark.slow
def test_the_skeleton_is_a_method_that_an_installed_package_can_offer(tmp_path):
    done = python("-m", "moco", "new", "method", "text_example", *PAPER, "--into", str(tmp_path / "plugin"))
    assert done.returncode == 0, done.stderr
    assert "plugin/example.py" in done.stdout
    assert [path.name for path in (tmp_path / "plugin").iterdir()] == ["example.py"]
    install(tmp_path / "plugin", {"example": "example"})
    done = python("-c", SMOKE, "text_example", "example", paths=[tmp_path / "plugin"])
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_without_an_entry_point_the_file_is_not_found(tmp_path):
    assert main(["new", "method", "text_example", *PAPER, "--into", str(tmp_path)]) == 0
    done = python("-c", SMOKE, "text_example", "example", paths=[tmp_path])
    assert done.returncode == 1
    assert "AssertionError" in done.stderr


@pytest.mark.slow
def test_a_package_with_modules_and_several_methods_is_found(tmp_path):
    package = tmp_path / "site" / "lab_methods"
    assert main(["new", "method", "api_first", *PAPER, "--into", str(package)]) == 0
    assert main(["new", "method", "logit_second", *PAPER, "--into", str(package)]) == 0
    (package / "__init__.py").write_text("")
    install(tmp_path / "site", {"first": "lab_methods.first", "second": "lab_methods.second:Second"}, "lab-methods")
    for id, module in (("api_first", "lab_methods.first"), ("logit_second", "lab_methods.second")):
        done = python("-c", SMOKE, id, module, paths=[tmp_path / "site"])
        assert done.returncode == 0, done.stderr
    listed = python("-m", "moco", "methods", paths=[tmp_path / "site"])
    assert "api_first  (api)" in listed.stdout
    assert "logit_second  (logit)" in listed.stdout


@pytest.mark.slow
def test_a_plug_in_cannot_take_the_id_of_another_method(tmp_path):
    assert main(["new", "method", "control_other", "--into", str(tmp_path)]) == 0
    path = tmp_path / "other.py"
    path.write_text(path.read_text().replace("control_other", "control_random"))
    install(tmp_path, {"other": "other"})
    done = python("-m", "moco", "methods", paths=[tmp_path])
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "'control_random' is registered twice" in line
    assert "other.Other" in line


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_has_a_skeleton_that_parses_and_names_its_id(level, tmp_path, capsys):
    assert main(["new", "method", f"{level}_my_idea_2", *PAPER, "--into", str(tmp_path)]) == 0
    source = (tmp_path / "my_idea_2.py").read_text()
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert [node.name for node in classes] == ["MyIdea2"]
    assert f'@method("{level}_my_idea_2", level="{level}"' in source
    assert f"-k {level}_my_idea_2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("example", "is no method id"),
        ("text", "is no method id"),
        ("text_", "is no method id"),
        ("text-example", "is no method id"),
        ("text_Example", "is no method id"),
        ("text_my-idea", "is no method id"),
        ("text_2nd", "is no method id"),
        ("text_../up", "is no method id"),
        ("texts_example", "is no method id"),
        ("TEXT_example", "is no method id"),
        ("", "is no method id"),
        ("text_majority_vote", "exists"),
        ("control_random", "exists"),
    ],
)
def test_a_wrong_id_is_refused_in_one_line(id, message, tmp_path, capsys):
    assert main(["new", "method", id, "--into", str(tmp_path / "into")]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    (line,) = error.splitlines()
    assert line.startswith("moco new: name: ")
    assert message in line
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("paper", [(), ("--paper", "0000.00000"), ("--paper", "2213.00001"), ("--paper", "10.1/x")])
def test_a_method_has_a_source_with_an_arxiv_id(paper, tmp_path, capsys):
    assert main(["new", "method", "text_example", *paper, "--into", str(tmp_path / "into")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("moco new: --paper: ")
    assert not (tmp_path / "into").exists()


def test_a_control_needs_no_source(tmp_path):
    assert main(["new", "method", "control_example", "--into", str(tmp_path)]) == 0
    assert "papers=()" in (tmp_path / "example.py").read_text()


def test_a_file_is_never_overwritten(tmp_path, capsys):
    (tmp_path / "example.py").write_text("mine\n")
    assert main(["new", "method", "text_example", *PAPER, "--into", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "example.py: exists" in line
    assert (tmp_path / "example.py").read_text() == "mine\n"
