"""The trained models that the package brings."""

import json
import os
import re
import subprocess
import sys
import tomllib
from itertools import takewhile
from pathlib import Path

import pytest

from moco.config.runtime import write_study_file
from moco.digest import digest, file_digest
from moco.zoo.build import build, location
from moco.zoo.packaged import WEIGHTS, packaged
from moco.zoo.roster import CURRICULUM_VERSION, ROSTER, recipe

ROOT = Path(__file__).parents[3]
FILES = {"README.md", "chat_template.jinja", "tokenizer.json", "tokenizer_config.json", "zoo.json"}


def numbers(header_of):
    """Return the number types of a safetensors file, read from its header alone."""
    data = header_of.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return {entry["dtype"] for name, entry in header.items() if name != "__metadata__"}


@pytest.mark.parametrize("name", ROSTER)
def test_every_model_comes_trained(name):
    """Where this fails, a recipe was changed: `make zoo-weights`."""
    folder = packaged(name)
    assert folder == WEIGHTS / name
    made = json.loads((folder / "zoo.json").read_text())
    assert made["recipe"] == recipe(name)
    assert made["digest"] == digest(recipe(name))
    assert len(made["loss"]) == ROSTER[name].steps // 10
    (weights,) = folder.glob("*.safetensors")
    assert numbers(weights) == {"F16"}
    assert {path.name for path in folder.iterdir()} >= FILES


def test_the_package_has_no_other_models_and_stays_small():
    assert {path.name for path in WEIGHTS.iterdir()} == {*ROSTER, "README.md"}
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*")) <= 32_000_000


def test_a_wheel_has_every_file():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["moco"]
    packed = {path for pattern in patterns for path in (ROOT / "moco").glob(pattern)}
    assert {path for path in WEIGHTS.rglob("*") if path.is_file()} <= packed


def test_the_provenance_names_recipe_and_weights_of_every_model():
    text = (WEIGHTS / "README.md").read_text()
    assert f"Curriculum version {CURRICULUM_VERSION}," in text
    for name, model in ROSTER.items():
        (weights,) = (WEIGHTS / name).glob("*.safetensors")
        assert f"| `{name}` | {model.steps} | {digest(recipe(name))[:16]} | {file_digest(weights)} |" in text


def cells(path, columns):
    """Return the named columns of the tables of a page, by what stands in the first one."""
    found, places = {}, []
    for line in path.read_text().splitlines():
        row = [cell.strip(" `") for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if set(columns) <= set(row):
            places = [row.index(column) for column in columns]
        elif row and places and row[0] in ROSTER:
            found[row[0]] = [row[place] for place in places]
        elif not row:
            places = []
    return found


def test_the_page_on_the_zoo_shows_what_was_measured_on_these_models():
    skills = ["add", "reverse", "capital", "sort", "mixed"]
    shown = cells(ROOT / "docs/zoo.md", [*skills, "routing"])
    assert len(shown) == 14
    assert shown == cells(WEIGHTS / "README.md", [*skills, "route"])


@pytest.mark.parametrize("changed", [{"steps": 5}, {"seed": 1}])
def test_another_recipe_is_not_in_the_package(changed):
    assert packaged("base", **changed) is None


def test_a_packaged_model_is_put_in_place_without_torch_and_without_its_parent(tmp_path):
    code = (
        "import sys\nfrom moco.cli import main\n"
        f"assert main(['zoo', '--results', {str(tmp_path / 'results')!r}, '--model', 'a']) == 0\n"
        "print(*(name for name in ('torch', 'transformers', 'tokenizers') if name in sys.modules))"
    )
    study = {"study": "s", "models": {"a": {"kind": "zoo", "recipe": "add"}}, "pools": {"p": ["a"]}}
    study["tasks"] = {"t": {"source": {"kind": "synthetic", "skills": ["add"]}}}
    named = {"MOCO_CACHE": str(tmp_path), "MOCO_STUDY": str(write_study_file(study, tmp_path))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **named}
    )
    assert done.stdout.strip() == ""
    placed, source = tmp_path / "results/checkpoints/a", WEIGHTS / "add"
    assert {path.name: path.read_bytes() for path in placed.iterdir()} == {
        path.name: path.read_bytes() for path in source.iterdir()
    }
    assert not location("base", tmp_path).exists()


def test_a_damaged_copy_is_replaced(tmp_path, caplog):
    folder = build("small", tmp_path)
    weights = folder / "model.safetensors"
    about = weights.stat()
    weights.chmod(0o644)
    with weights.open("r+b") as stream:
        stream.seek(about.st_size - 1)
        stream.write(b"\xff")
    os.utime(weights, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert build("small", tmp_path) == folder
    assert weights.read_bytes() == (WEIGHTS / "small/model.safetensors").read_bytes()
    assert folder.with_name(f"{folder.name}.damaged").is_dir()
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned == [
        f"{folder} is damaged (the content of model.safetensors has changed): set aside, it is made again"
    ]


def shares(path):
    """Return the table of what models can do in a page, by model and column."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if re.match(r"\| [Mm]odel \| add \|", line))
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in takewhile(lambda line: line.startswith("|"), lines[start:])
    ]
    return {row[0].strip("`"): dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def test_the_page_shows_what_was_measured_of_these_models():
    measured, shown = shares(WEIGHTS / "README.md"), shares(ROOT / "docs/zoo.md")
    assert shown.keys() == measured.keys()
    for name, row in shown.items():
        assert row.pop("routing") == measured[name]["route"]
        assert row.items() <= measured[name].items()
