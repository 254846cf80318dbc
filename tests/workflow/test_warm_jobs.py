"""Forked jobs are what a process of their own would be: their code, folder, environment, streams, and end."""

import os
import subprocess
import time

import pytest
from support.projects import Project, new_project

pytestmark = pytest.mark.slow

WAIT = """
import os, pathlib, time
pathlib.Path("pid").write_text(str(os.getpid()))
time.sleep(600)
"""


@pytest.fixture
def project(tmp_path, warm) -> Project:
    return new_project(tmp_path / "project", tmp_path / "cache", warm=warm)


def in_a_rule(project: Project, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", f"set -euo pipefail; {script}"]
    environment = {**project.environment, **environment}
    return subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, check=False)


def test_the_code_is_the_project_s_of_now(project):
    for version in ("1.2.3", "4.5.60"):
        (project.folder / "moco/__init__.py").write_text(f'__version__ = "{version}"\n')
        assert project.run("moco", "--version").stdout == f"moco {version}\n"
        assert in_a_rule(project, "moco --version >said; cat said").stdout == f"moco {version}\n"


def test_folder_environment_and_exit_code_are_the_caller_s(project):
    code = "import os, sys\nprint(os.getcwd(), os.environ['MINE'], 'KEPT' in os.environ, sys.argv[1:])\nsys.exit(7)\n"
    (project.folder / "moco/cli/__init__.py").write_text(code)
    (project.folder / "inner").mkdir()
    done = in_a_rule(project, "cd inner; moco a 'b c'; echo not reached", MINE="x y")
    assert done.stdout == f"{project.folder / 'inner'} x y False ['a', 'b c']\n"
    assert done.returncode == 7
    os.environ["KEPT"] = "1"
    try:
        assert " True [" in in_a_rule(project, "moco || true", MINE="").stdout
    finally:
        del os.environ["KEPT"]


def test_what_nobody_expected_is_a_traceback(project):
    (project.folder / "moco/cli/__init__.py").write_text("def main(words): raise LookupError(words)\n")
    done = project.run("moco", "plot", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "LookupError: ['plot']"


def test_the_child_of_a_job_is_warm_too_and_other_programs_are_not(project):
    code = (
        "import subprocess, sys\n"
        "def main(words):\n"
        "    print(words, 'torch' in sys.modules, flush=True)\n"
        "    if words == ['outer']:\n"
        "        subprocess.run([sys.executable, '-m', 'moco', 'inner', 'x y'])\n"
        "        subprocess.run([sys.executable, '-c', 'import sys; print(sys.argv, \"torch\" in sys.modules)', 'z'])\n"
        "    return 3\n"
    )
    (project.folder / "moco/cli/__init__.py").write_text(code)
    done = project.run("moco", "outer", check=False)
    assert done.stdout.splitlines() == ["['outer'] True", "['inner', 'x y'] True", "['-c', 'z'] False"]
    assert done.returncode == 3


def test_a_job_whose_caller_is_killed_is_killed(project):
    (project.folder / "moco/cli/__init__.py").write_text(WAIT)
    caller = subprocess.Popen([*project.warm.command, "plot"], cwd=project.folder, env=project.environment)
    pid = project.folder / "pid"
    _wait_until(lambda: pid.exists() and pid.read_text())
    job = int(pid.read_text())
    os.kill(job, 0)
    caller.kill()
    caller.wait()
    _wait_until(lambda: not _alive(job))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_until(happened) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)
