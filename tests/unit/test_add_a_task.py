"""docs/add-a-task.md, followed to the letter."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.projects import BIN, new_project

from moco.config.load import read_yaml
from moco.config.tasks import TaskEntry

PAGE = (Path(__file__).parents[2] / "docs/add-a-task.md").read_text(encoding="utf-8")


def write_files(folder):
    """Write every file that the page shows under its name."""
    shown = re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)```", PAGE, flags=re.DOTALL | re.MULTILINE)
    assert [name for name, _ in shown] == [
        "dev.jsonl",
        "test.jsonl",
        "sums.yaml",
        "study.yaml",
        "quiz.yaml",
        "quiz.csv",
    ]
    for name, content in shown:
        (folder / name).write_text(content, encoding="utf-8")


def commands():
    """Return (command, what it says) for every command of the page."""
    blocks = "".join(re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL))
    parts = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", blocks, flags=re.MULTILINE)
    return [(command, said.splitlines()) for command, said in parts]


def run(command, folder):
    command = command.replace(".venv/bin/moco", f"{sys.executable} -m moco")
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)
    return done.returncode, [*done.stderr.splitlines(), *done.stdout.splitlines()]


def test_every_check_says_what_the_page_shows(tmp_path):
    write_files(tmp_path)
    checks = [(command, said) for command, said in commands() if "snakemake" not in command]
    assert len(checks) == 5
    for command, said in checks:
        code, lines = run(command, tmp_path)
        assert code == (2 if said and said[-1].endswith("mistake") else 0), lines
        if said or "prepare" in command:
            assert lines == said
    assert run(".venv/bin/moco prepare --check study.yaml --task sums", tmp_path)[0] == 0
    assert run(".venv/bin/moco prepare --check quiz.yaml", tmp_path)[0] == 0


def test_the_entry_of_the_study_is_the_file(tmp_path):
    write_files(tmp_path)
    entry = read_yaml(tmp_path / "sums.yaml")
    assert read_yaml(tmp_path / "study.yaml")["tasks"] == {"sums": entry}
    assert TaskEntry.model_validate(entry).splits == "clean"


@pytest.mark.slow
def test_the_page_ends_in_tables(tmp_path, zoo_cache):
    project = new_project(tmp_path / "project", zoo_cache)
    write_files(project.folder)
    project.edit_config(lambda study: [model.update(steps=10) for model in study["models"].values()], "study.yaml")
    for command, _ in commands():
        if command.startswith("sed"):
            subprocess.run(command, shell=True, cwd=project.folder, check=True)
        else:
            name, *arguments = command.removeprefix(".venv/bin/").split()
            assert (BIN / name).exists()
            project.run(name, *arguments, check="sums.yaml" not in arguments)
    results = project.folder / "results/my_sums"
    for table in ("moco_main", "data_quality"):
        assert "sums" in (results / f"tables/{table}.md").read_text(encoding="utf-8")
    quality = (results / "tables/data_quality.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[:7] for line in quality[1:]] == [
        ["sums", "dev", "4", "4", "-", "0", "-"],
        ["sums", "test", "2", "2", "-", "0", "seen 1"],
    ]
    assert (results / "tasks/sums/dropped.parquet").is_file()
