"""A wheel runs the files of the repository, in any folder."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tracked(*names):
    listed = subprocess.run(["git", "ls-files", *names], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in listed.stdout.split() if not name.startswith("config/test/")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel as docs/running.md does, from a copy: setuptools leaves a folder `build` behind."""
    folder = tmp_path_factory.mktemp("wheel")
    names = tracked()
    for name in names:
        if not name.startswith(("tests/", "docs/", "benchmarks/")):
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "source" / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
    subprocess.run([*pip, "--wheel-dir", folder / "dist", folder / "source"], check=True, cwd=folder)
    (path,) = (folder / "dist").glob("moco_bench-*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_the_wheel_holds_the_workflow_studies_and_profiles_as_they_are(wheel):
    inside = wheel / "moco/project"
    names = tracked("Snakefile", "workflow", "config", "profiles")
    assert {"Snakefile", "config/config.yaml", "config/init/study.yaml", "profiles/local/profile.yaml"} <= names
    assert {path.relative_to(inside).as_posix() for path in inside.rglob("*") if path.is_file()} == names
    assert all((inside / name).read_bytes() == (ROOT / name).read_bytes() for name in names)
    assert (wheel / "snakemake_logger_plugin_moco/__init__.py").is_file()


@pytest.mark.slow
def test_the_wheel_plans_the_demo_in_an_empty_folder(wheel, tmp_path):
    command = [sys.executable, "-m", "moco", "plan"]
    environment = {"PYTHONPATH": str(wheel), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(wheel / "moco/project/profiles/default") in done.stderr
    assert done.stdout.splitlines()[0].startswith("kind ")
    assert re.match(r"\d\d jobs would run", done.stdout.splitlines()[-1])
