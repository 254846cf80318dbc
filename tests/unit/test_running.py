"""docs/running.md: its commands are typed, its table is what comes; the wheel's commands are in test_wheel."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.study_files import use_study

from moco.config.load import read_yaml
from moco.terminal.table import dry_run_table

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/running.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_commands_before_a_run_say_what_the_page_shows(tmp_path):
    consoles = re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL)
    typed = " && ".join(line.removeprefix("$ ") for line in consoles[0].splitlines())
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MOCO_", "SNAKEMAKE"))}
    environment["PYTHONPATH"] = str(ROOT)
    moco = re.sub(r"\bmoco ", lambda _: f"{sys.executable} -m moco ", typed)
    done = subprocess.run(moco, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = re.search(r"```text\n(kind .*?)```", PAGE, flags=re.DOTALL)[1]
    assert done.stdout.endswith(table)
    assert max(map(len, done.stdout.splitlines())) <= 200
    assert not (tmp_path / "mine/results").exists()


def test_files_that_lie_there_are_counted_as_stored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    use_study(monkeypatch, tmp_path, **read_yaml(ROOT / "config/init/study.yaml"))
    for name in ("models/add/model.json", "models/stranger/model.json", "tables/moco_main.md"):
        path = tmp_path / "results/my_study" / name
        path.parent.mkdir(parents=True)
        path.touch()
    rows = {line.split()[0]: line.split()[1:4] for line in dry_run_table({"resolve": 2, "tabulate": 6}, {})}
    assert rows["resolve"] == ["3", "1", "2"]
    assert rows["tabulate"] == ["6", "1", "6"]
    assert rows["generate"] == ["6", "0", "0"]


def test_a_bundle_is_counted_by_what_it_makes_alone():
    lines = dry_run_table({"bundle": 1, "plot": 2, "all": 1}, {"plot": "new"})
    assert [line.split()[:4] for line in lines[1:-1]] == [["bundle", "1", "0", "1"], ["plot", "2", "0", "2"]]
