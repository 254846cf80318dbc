"""A wheel runs the files of the repository, in any folder, and its demo gives what the README shows."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OTHER_INSTRUCTIONS = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"}

pytestmark = pytest.mark.slow


def tracked(*names):
    listed = subprocess.run(["git", "ls-files", *names], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in listed.stdout.split() if not name.startswith("config/test/")}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build the wheel and install it as docs/running.md does, where the libraries of this environment are seen.

    It is built from a copy, since setuptools leaves a folder `build` behind.
    """
    folder = tmp_path_factory.mktemp("wheel")
    names = tracked()
    for name in names:
        if not name.startswith(("tests/", "docs/", "benchmarks/")):
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "source" / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    alone = ["--no-deps", "--no-index"]
    build = [*pip, "wheel", *alone, "--no-build-isolation", "--wheel-dir", folder / "dist", folder / "source"]
    subprocess.run(build, check=True, cwd=folder)
    (wheel,) = (folder / "dist").glob("moco_bench-*.whl")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv/bin/python"
    subprocess.run([*pip, "--python", python, "install", *alone, wheel], check=True, cwd=folder)
    (site,) = (folder / "venv/lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return site


def moco(site, folder, *words, **further):
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "MOCO_CACHE": str(folder / "cache"), **further}
    command = [site.parents[2] / "bin/moco", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_the_wheel_holds_the_workflow_studies_and_profiles_as_they_are(installed):
    inside = installed / "moco/project"
    names = tracked("Snakefile", "workflow", "config", "profiles")
    assert {"Snakefile", "config/config.yaml", "config/init/study.yaml", "profiles/local/profile.yaml"} <= names
    assert {path.relative_to(inside).as_posix() for path in inside.rglob("*") if path.is_file()} == names
    assert all((inside / name).read_bytes() == (ROOT / name).read_bytes() for name in names)
    assert (installed / "snakemake_logger_plugin_moco/__init__.py").is_file()


def table(path):
    """Return the rows of the table of results on a page."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| pool | system |"))
    return [line for line in lines[start : lines.index("", start)] if line]


def test_its_demo_gives_in_an_empty_folder_what_the_readme_shows_whatever_the_vector_instructions(installed, tmp_path):
    planned = moco(installed, tmp_path, "plan")
    assert "moco/project/profiles/default" in planned.stderr
    assert max(map(len, planned.stderr.splitlines())) <= 200
    assert planned.stdout.splitlines()[0].startswith("kind ")
    assert re.match(r"\d\d jobs would run", planned.stdout.splitlines()[-1])
    ran = moco(installed, tmp_path, "run", "--", "--cores", str(os.cpu_count()), **OTHER_INSTRUCTIONS)
    shown = table(ROOT / "README.md")
    assert len(shown) > 10
    assert shown == table(tmp_path / "results/demo/tables/moco_main.md")
    said = (ran.stdout + ran.stderr).splitlines()
    assert len(said) <= 120
    assert "open results/demo/report.html, or read the tables in results/demo/tables" in said
