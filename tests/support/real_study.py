"""A small study on real models, made in this process: each job when something needs what it writes."""

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from moco import paths
from moco.cli import main
from moco.config.load import study_from
from moco.jobs.answer import AnswerJob
from moco.jobs.fit import FitJob
from moco.jobs.generate import PlainJob
from moco.jobs.logits import LogitsJob
from moco.jobs.score import ScoreJob
from moco.jobs.tune import TuneJob
from moco.models.info import ModelInfo
from moco.models.resolve import describe_student, resolve
from moco.tasks.prepare import prepare
from moco.workflow.plan import Plan
from moco.workflow.scores import replies_of
from support.study_files import use_study

BELOW = "<results>/"


class RealStudy:
    """A study with prepared tasks and resolved models.

    Args:
        folder: The project folder; it will hold `results`.
        content: The configuration.
    """

    def __init__(self, folder: Path, content: Mapping[str, Any]) -> None:
        self.folder, self.content, self.results = folder, content, folder / "results"
        self.plan = Plan(study_from(dict(content), "test"))
        self.plan.build()
        for name, task in self.plan.matrix.tasks.items():
            prepare(name, task.entry, self.results / paths.task_folder(name), None)
        for name in self.plan.matrix.models:
            base = self.plan.matrix.nodes.tuned_from(name)
            if base is not None:
                TuneJob(self.results, self.plan.tune.slice(SimpleNamespace(model=name)), name).run()
                parent = ModelInfo.read(self.results / paths.model_json(base))
                made = describe_student(name, parent, self.results / paths.tuned(name), folder)
                made.write(self.results / paths.model_json(name))
                continue
            info = resolve(name, self.plan.study.models[name], self.plan.study.engine_of(name), folder)
            info.write(self.results / paths.model_json(name))

    def use(self, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        """Let jobs take what is no part of their slices from this study, or from one with other settings."""
        use_study(monkeypatch, self.folder, **{**self.content, **changes})

    def batch(self, pool: str, method: str, task: str) -> str:
        """Return the batch in which a method works on a task."""
        (name,) = {job.batch for job in self.jobs(pool, method) if task in self.plan.matrix.batch(job.batch).tasks}
        return str(name)

    def jobs(self, pool: str, method: str) -> Iterator[SimpleNamespace]:
        """Yield the wildcards of a method's jobs on test."""
        for cell in self.plan.matrix.cells:
            if (cell.pool, cell.variant) == (pool, method):
                for seed in self.plan.study.seeds:
                    yield SimpleNamespace(pool=pool, batch=cell.batch, method=method, seed=seed, split="test")

    def fit(self, pool: str, method: str) -> FitJob:
        """Fit a method on every batch that it applies to, and return the last job."""
        job, batches = None, (self.plan.matrix.fit_batch(pool, method, each.batch) for each in self.jobs(pool, method))
        for batch, seed in product(dict.fromkeys(batches), self.plan.study.seeds):
            stage, wildcards = self.plan.fit, SimpleNamespace(pool=pool, batch=batch, method=method, seed=seed)
            self.make(*stage.plain(wildcards), *stage.scores(wildcards), *stage.logits(wildcards))
            job = FitJob(self.results, stage.slice(wildcards), stage.needs(wildcards), *_names(wildcards))
            job.run()
        assert job is not None, f"{method} applies to nothing"
        return job

    def answer(self, pool: str, method: str) -> AnswerJob:
        """Answer the test split of every batch that a fitted method applies to, and return the last job."""
        job = None
        for wildcards in self.jobs(pool, method):
            self.make_inputs(wildcards)
            job = self.answer_job(wildcards)
            job.run("test")
        assert job is not None, f"{method} applies to nothing"
        return job

    def make_inputs(self, wildcards: SimpleNamespace) -> None:
        """Make the responses and logits that an answer job is given."""
        self.make(*self.plan.answer.plain(wildcards), *self.plan.answer.logits(wildcards))

    def answer_job(self, wildcards: SimpleNamespace) -> AnswerJob:
        """Return an answer job."""
        return AnswerJob(
            self.results, self.plan.answer.slice(wildcards), self.plan.answer.needs(wildcards), *_names(wildcards)
        )

    def make_model(self, made: str) -> None:
        """Make and resolve a model that a fit described, by the commands of their rules; the study must be in use."""
        for verb in ("merge", "resolve"):
            assert main([verb, "--results", str(self.results), "--model", made]) == 0

    def run(self, pool: str, method: str) -> AnswerJob:
        """Fit a method, if it learns, and answer."""
        if self.plan.matrix.needs(pool, method).fit is not None:
            self.fit(pool, method)
        return self.answer(pool, method)

    def planned(self, part: str) -> list[str]:
        """Return the files that jobs of one part of the work write, such as `logits`."""
        work = self.plan.collect.slice(SimpleNamespace(part=paths.BENCHMARK))["work"]
        found = (job["path"] for job in work if job["part"] == part)
        return [path.replace("_job_perf", "") for path in found]

    def make(self, *files: str) -> None:
        """Make responses, logits and scores that do not exist, and what they rest on."""
        for path in dict.fromkeys(file.removeprefix(BELOW) for file in files):
            if not (self.results / path).is_file():
                self.make(*self._inputs(path))
                self.job(path).run()

    def job(self, path: str) -> Any:
        """Return the job that writes a file of responses, logits or scores."""
        stage, wildcards = self._stage(path)
        spec = stage.slice(wildcards)
        if path.startswith("scores/"):
            return ScoreJob(self.results, spec, wildcards.replies, replies_of(wildcards.replies).split)
        where = (wildcards.model, wildcards.batch, wildcards.split, wildcards.seed, wildcards.block)
        if path.startswith("logits/"):
            return LogitsJob(self.results, spec, wildcards.kind, *where)
        return PlainJob(self.results, spec, *where)

    def _inputs(self, path: str) -> list[str]:
        stage, wildcards = self._stage(path)
        if path.startswith("scores/"):
            return list(stage.replies(wildcards))
        return [stage.responses(wildcards)] if stage is self.plan.response_logits else []

    def _stage(self, path: str) -> tuple[Any, SimpleNamespace]:
        kind, *parts = path.removesuffix(".parquet").split("/")
        if kind == "scores":
            return self.plan.score, SimpleNamespace(scorer=parts[0], replies="/".join(parts[1:]))
        model, batch, split, *rest = parts
        about = {"model": model, "batch": batch, "split": split, "seed": None, "block": None, "kind": "response"}
        if kind == "logits" and len(rest) == 1:
            return self.plan.logits, SimpleNamespace(**{**about, "kind": rest[0]})
        seed, block = rest[-2:]
        about |= {"seed": int(seed.removeprefix("seed")), "block": block}
        return self.plan.response_logits if kind == "logits" else self.plan.generate, SimpleNamespace(**about)


def _names(wildcards: SimpleNamespace) -> tuple[str, str, str, int]:
    return wildcards.pool, wildcards.batch, wildcards.method, wildcards.seed
