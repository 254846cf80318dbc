"""A small study run verb by verb in this process, on real tiny checkpoints."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from moco import paths
from moco.config.load import study_from
from moco.engines.logits import LogitsJob
from moco.engines.plain import generate_plain
from moco.methods.answering import AnswerJob
from moco.methods.fitting import FitJob
from moco.models.resolve import resolve
from moco.scoring.files import score_plain
from moco.tasks.prepare import prepare
from moco.workflow.plan import Plan
from moco.workflow.rule import Rule


@dataclass
class SmallStudy:
    """A study with its results folder.

    Attributes:
        folder: Holds `results`.
        content: The configuration.
    """

    folder: Path
    content: Mapping[str, Any]

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @cached_property
    def plan(self) -> Plan:
        plan = Plan(study_from(dict(self.content), "test"))
        plan.build()
        return plan

    def prepare(self) -> None:
        """Prepare all tasks and resolve all models."""
        for name, task in self.plan.matrix.tasks.items():
            prepare(name, task.entry, self.results / paths.task_folder(name), None)
        for name, entry in self.plan.study.models.items():
            info = resolve(name, entry, self.plan.engine(name), self.folder)
            info.write(self.results / paths.model_json(name))

    def generate(self) -> None:
        """Make all plain responses and the dev scores, by the plan's own rules."""
        for rule in self.plan.generate_rules():
            for model in rule.wildcards["model"].split("|"):
                first, _, last = rule.words["samples"].partition("-")
                generate_plain(
                    self.results,
                    [(model, task) for task in rule.words["tasks"].split()],
                    rule.words["splits"].split(),
                    range(int(first), int(last or first) + 1),
                    1,
                    json.loads(rule.spec(SimpleNamespace(model=model, seed="1"))),
                )
        for model in self.plan.study.models:
            for batch in self.plan.matrix.batches.values():
                for task in batch.tasks:
                    for path in sorted((self.results / f"generations/{model}/{task}/dev").rglob("s*[0-9].parquet")):
                        source = str(path.relative_to(self.results))
                        spec = json.loads(self.plan.score_spec(batch, self.plan.study.scorer))
                        score_plain(self.results, task, "dev", source, spec)

    def logits_jobs(self) -> list[LogitsJob]:
        """Return all logits jobs of the plan."""
        return [
            logits_job(self.results, rule, model)
            for rule in self.plan.logits_rules()
            for model in rule.wildcards["model"].split("|")
        ]

    def fit(self, pool: str, method: str) -> FitJob:
        """Fit a method on every batch that it applies to, and return the last job."""
        return self._jobs(FitJob, "fit", pool, method)

    def answer(self, pool: str, method: str) -> AnswerJob:
        """Answer the test split of every batch that the method applies to, and return the last job."""
        return self._jobs(AnswerJob, "answer", pool, method)

    def _jobs(self, kind: Any, stage: str, pool: str, method: str) -> Any:
        job = None
        for cell in self.plan.matrix.cells:
            if (cell.pool, cell.variant) == (pool, method):
                job = kind(self.results, self.plan.method_spec(cell, stage), pool, method, 1)
                job.run(*(["test"] if stage == "answer" else []))
        assert job is not None, f"{method} applies to nothing"
        return job


def logits_job(results: Path, rule: Rule, model: str) -> LogitsJob:
    """Return a rule's job for a model, with the options that the rule gives its verb."""
    which = rule.words["which"]
    samples = [0]
    if callable(which):
        span = which(SimpleNamespace(model=model, seed="1")).split()[1]
        first, _, last = span.partition("-")
        samples = list(range(int(first), int(last or first) + 1))
    return LogitsJob(
        results,
        rule.words["kind"],
        model,
        rule.words["tasks"].split(),
        rule.words["splits"].split(),
        samples,
        1,
        json.loads(rule.spec(SimpleNamespace(model=model, seed="1"))),
    )
