"""docs/add-a-method.md, followed to the letter in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/add-a-method.md").read_text(encoding="utf-8")
COPIED = (
    *("moco", "snakemake_logger_plugin_moco", "tests", "config", "docs", "workflow", "profiles"),
    *("Snakefile", "pyproject.toml"),
)
FILES = {
    "python": "moco/methods/control/likeliest.py",
    "yaml": "my_study.yaml",
    "toml": "my_methods/pyproject.toml",
}
"""File that the page names before its only block of a language."""


@pytest.fixture
def checkout(tmp_path):
    """A copy of the project with an environment of its own, which sees the libraries of this one and not its MoCo."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    venv.create(folder / ".venv", with_pip=False, symlinks=True)
    (site,) = (folder / ".venv/lib").glob("python*/site-packages")
    (site / "here.pth").write_text(f"{folder}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    for name, module in (("moco", "moco"), ("snakemake", "snakemake")):
        script = folder / ".venv/bin" / name
        script.write_text(f'#!/bin/sh\nexec {folder}/.venv/bin/python -m {module} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    return folder


def run(command, folder):
    # Without network: what the package is built with is in this environment.
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env |= {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(command, shell=True, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.slow
def test_the_page_works_as_it_is_written(checkout):
    seen = []
    for language, block in re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL):
        seen.append(language)
        if language != "console":
            assert f"`{FILES[language]}`" in PAGE.partition(block)[0]
            (checkout / FILES[language]).write_text(block, encoding="utf-8")
            continue
        for command in re.findall(r"^\$ (.*)$", block, flags=re.MULTILINE):
            said = run(command, checkout)
            if "pytest" in command:
                passed = re.search(r"(\d+) passed", said)
                assert passed
                assert int(passed[1]) > 20
            if "moco new" in command:
                printed = re.search(r"test it, in the folder of MoCo: (.*)$", said, flags=re.MULTILINE)
                assert printed
                assert f"$ {printed[1]}\n" in PAGE
    assert {name: seen.count(name) for name in FILES} == dict.fromkeys(FILES, 1)
    assert seen.count("console") == 5
    listed = run(".venv/bin/moco methods", checkout)
    assert "control_likeliest  (control)" in listed
    assert "text_my_idea  (text)" in listed
    assert sys.prefix not in run(".venv/bin/python -c 'import moco; print(moco.__file__)'", checkout)
