"""Project folders of their own: the package, the workflow, a configuration, and commands run in them."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from snakemake.utils import update_config

from moco.config.load import load_study
from moco.config.runtime import write_study_file
from moco.workflow.matrix import Matrix
from support.warm import Warm

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@dataclass
class Project:
    """A copy of the repository's code with results of its own.

    Attributes:
        folder: The project folder.
        cache: Where models of the zoo lie.
        study: The name of its study.
        warm: Forks the jobs of this project; None: every job is a process that starts as anywhere else.
    """

    folder: Path
    cache: Path
    study: str = "small"
    warm: Warm | None = None

    @property
    def results(self) -> Path:
        return self.folder / "results" / self.study

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MOCO_", "SNAKEMAKE"))}
        shared = {"MOCO_SHARED": os.environ["MOCO_SHARED"]} if "MOCO_SHARED" in os.environ else {}
        return {
            **kept,
            **shared,
            "MOCO_CACHE": str(self.cache),
            "PYTHONPATH": str(self.folder),
            "HOME": str(self.folder),
            "MOCO_FORK_SERVER": "off",  # jobs are processes that tests find, or forks of the fixture's
            **(self.warm.environment if self.warm else {}),
        }

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        start = self.warm.command if self.warm and command[0] == "moco" else (str(BIN / command[0]),)
        done = subprocess.run(
            [*start, *command[1:]],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
        )
        if check and done.returncode:
            raise AssertionError(
                f"{command} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
            )
        return done

    def snakemake(
        self, *arguments: str, cores: int = 2, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return self.run("snakemake", "--cores", str(cores), *arguments, check=check, **environment)

    def planned(self, *arguments: str) -> "Planned":
        done = self.snakemake("--dry-run", "--printshellcmds", *arguments)  # in Snakemake's own words
        return Planned(done.stdout + done.stderr)

    def edit_config(self, change, name: str = "config/config.yaml") -> None:
        path = self.folder / name
        content = yaml.safe_load(path.read_text())
        change(content)
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new, 1))

    def logged_commands(self, verb: str, needle: str) -> list[str]:
        """Return the commands at the heads of logs, without the study's variable."""
        heads = [path.read_text().partition("\n")[0] for path in sorted((self.results / "logs").rglob("*.log"))]
        found = [head.partition(" ")[2] for head in heads if f" moco {verb} " in head and needle in head]
        assert found, f"no `moco {verb}` with {needle} at the head of a log"
        return found

    @property
    def study_file(self) -> str:
        """The newest study file of the project."""
        return str(max((self.folder / ".moco/studies").glob("*.json"), key=lambda path: path.stat().st_mtime_ns))

    def study_with(self, **changes: Any) -> str:
        """Write a study file with other settings, mappings merged, and return its path."""
        content = json.loads(Path(self.study_file).read_text())
        update_config(content, changes)
        return str(write_study_file(content, self.folder))

    def batch(self, *tasks: str) -> str:
        """Return the name of the batch of exactly these tasks."""
        batches = Matrix(load_study(self.folder / "config/config.yaml")).batches.values()
        [name] = [batch.name for batch in batches if batch.tasks == tuple(sorted(tasks))]
        return name

    def copy(self, folder: Path, warm: Warm | None = None) -> "Project":
        subprocess.run(["cp", "-a", str(self.folder), str(folder)], check=True)
        return Project(folder, self.cache, self.study, warm or self.warm)


class Planned:
    """The jobs of a dry run."""

    def __init__(self, output: str) -> None:
        self.output = output
        table = output.partition("Job stats:")[2].partition("\n\n")[0]
        found = re.findall(r"^(\w+)\s+(\d+)$", table, flags=re.MULTILINE)
        self.counts = {rule: int(count) for rule, count in found if rule not in ("total", "job")}
        self.messages = sorted(set(re.findall(r"^Job \d+: (.+)$", output, flags=re.MULTILINE)))

    def stages(self) -> dict[str, int]:
        """Jobs by stage, without those that every change plans: collected files, tables, figures, report."""
        usual = ("all", "collect", "tabulate", "plot", "report")
        found: Counter[str] = Counter()
        for rule, count in self.counts.items():
            found[rule.removesuffix("_answers")] += 0 if rule in usual else count
        return dict(+found)


def new_project(folder: Path, cache: Path, config: str = "config/test/small.yaml", warm: Warm | None = None) -> Project:
    folder.mkdir(parents=True)
    for name in ("moco", "snakemake_logger_plugin_moco", "workflow", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc.*", "weights"))
    (folder / "moco/zoo/weights").symlink_to(ROOT / "moco/zoo/weights")
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "config").mkdir()
    shutil.copy(ROOT / config, folder / "config/config.yaml")
    study = yaml.safe_load((ROOT / config).read_text())["study"]
    return Project(folder, cache, study, warm)
