"""The distribution is `moco-bench`; `moco` on the package index is somebody else's, and nothing installs it."""

import ast
import re
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import yaml

from moco import __version__
from moco.machine import findings
from moco.records.files import versions

ROOT = Path(__file__).parents[2]
STRANGER = re.compile(r"pip install (?:\S+ )*['\"]?moco(?![\w./-])|^\s*- moco\b(?!-)|['\"]moco\[", re.MULTILINE)


def test_the_project_is_called_so():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "moco-bench"
    assert project["scripts"] == {"moco": "moco.cli:main"}


def test_nothing_installs_a_package_called_moco():
    assert STRANGER.search("pip install moco[run]")
    assert STRANGER.search("pip install --upgrade moco")
    assert STRANGER.search("      - moco[run]")
    assert not STRANGER.search("pip install moco-bench")
    files = [
        *ROOT.glob("*.*"),
        ROOT / "Makefile",
        *(path for name in ("docs", "workflow", "config", "moco", "profiles") for path in (ROOT / name).rglob("*")),
    ]
    texts = {
        path: path.read_text(encoding="utf-8")
        for path in files
        if path.suffix in (".md", ".yaml", ".yml", ".toml", ".py", ".smk", ".txt", "") and path.is_file()
    }
    assert len(texts) > 100
    assert [path.name for path, text in texts.items() if STRANGER.search(text)] == []


@pytest.mark.parametrize("folder", ["workflow/envs", ".snakemake/conda"])
def test_the_environment_of_jobs_is_the_checkout_from_where_snakemake_reads_it(folder):
    (pip,) = (
        entry["pip"]
        for entry in yaml.safe_load((ROOT / "workflow/envs/moco.yaml").read_text())["dependencies"]
        if isinstance(entry, dict)
    )
    constraints, package = pip
    place, extra = re.fullmatch(r"(.*)(\[run\])", package).groups()
    assert extra
    assert Path("/a/checkout", folder, place).resolve() == Path("/a/checkout")
    assert Path("/a/checkout", folder, constraints.removeprefix("--constraint ")).resolve() == Path(
        "/a/checkout/constraints.txt"
    )


def test_asking_a_served_model_needs_nothing_of_the_extra():
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["run"]
    imported = set()
    for path in (ROOT / "moco/engines/served").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            imported |= {name.partition(".")[0] for name in names}
    assert "httpx2" in imported
    assert not imported & {re.match(r"[\w-]+", each)[0].replace("-", "_") for each in extra}


def test_remedies_of_the_doctor_install_the_checkout(tmp_path, monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("moco.machine.version", missing)
    engines = next(finding for finding in findings(tmp_path) if finding.name == "engines")
    assert engines.allows.endswith("pip install --constraint constraints.txt '.[run]' in the folder of MoCo")


def test_files_name_the_version_of_the_code_that_made_them():
    assert versions()["moco"] == __version__
