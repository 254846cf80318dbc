"""The job that fits: a method on one pool and the dev splits of one batch of tasks."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moco import paths
from moco.config.runtime import engine_settings
from moco.digest import digest
from moco.errors import FailedInput, RequestError, WorkError
from moco.home import home, store_root, work_root
from moco.jobs.judging import job_tools, judge_infos
from moco.jobs.method_job import MethodJob, perf_path
from moco.jobs.performance import write_failed_perf
from moco.jobs.resources import Ask, JobResources
from moco.jobs.rounds import Rounds
from moco.methods import state as states
from moco.methods.context import FitContext
from moco.methods.resources import DevScores, FitGuard, Model, Run
from moco.models.recipes import Recipe, Trained
from moco.records import (
    CALLS,
    COSTS,
    PERF,
    SCORES,
    Provenance,
    read_json,
    read_rows,
    write_json,
    write_rows,
)
from moco.records.costs import CANDIDATES
from moco.scoring import Tools
from moco.store.artifacts import ArtifactStore
from moco.store.checksums import copy_tree
from moco.tasks.item import Reference
from moco.tasks.prepare import read_questions, read_references


class FitJob(MethodJob):
    """Fits a method on every task of a batch."""

    def run(self) -> None:
        """Write the fit folder of every task; finished fits come from the store."""
        if self.needs.fit is None:
            raise RequestError("has nothing to fit", where=self.variant, remedy="run `moco answer`")
        self._write_paid(Rounds(self.executor.run).run([self._worker(task) for task in self.tasks]))

    def _worker(self, task: str) -> Callable[[Ask], bool]:
        """Return what fits a task and says whether the fit was in the store."""

        def work(ask: Ask) -> bool:
            root = store_root(self.results)
            artifacts = ArtifactStore(root, work_root(self.results))
            folder, in_store = artifacts.make(
                "fits", self._key(task), lambda output, scratch: self._fit(task, output, scratch, ask)
            )
            self._publish(task, folder)
            return in_store

        return work

    def _folder(self, task: str) -> Path:
        return self.results / paths.fit_folder(self.pool, self.batch, self.variant, self.seed) / task

    @property
    def _path(self) -> Path:
        """What the performance files lie beside."""
        return self.results / f"{paths.fit_folder(self.pool, self.batch, self.variant, self.seed)}.parquet"

    def _write_paid(self, in_store: Sequence[bool]) -> None:
        """Write what this job did; a fit from the store costs nothing."""
        rows = [
            {**row, "cached": row["cached"] or stored}
            for task, stored in zip(self.tasks, in_store, strict=True)
            for row in read_rows(perf_path(self._folder(task) / states.CALLS), PERF)
        ]
        path = self._path
        assert self.needs.fit is not None
        write_rows(perf_path(path), PERF, [*rows, *self.load_rows()], Provenance("fit", self.spec))
        self.close_accounts(path, "fit", self.needs.fit.splits)

    def _publish(self, task: str, folder: Path) -> None:
        target = self._folder(task)
        shutil.rmtree(target, ignore_errors=True)
        copy_tree(folder, target)

    def _key(self, task: str) -> str:
        assert self.needs.fit is not None
        folder = self.results / paths.task_folder(task)
        inputs: dict[str, Any] = {}
        for split in self.needs.fit.splits:
            inputs[split] = [vars(question) for question in read_questions(folder, split)]
            if self.needs.fit.references or self.needs.fit.dev_scores:
                inputs[f"{split}_references"] = [vars(item) for item in read_references(folder, split).values()]
        spec = {name: value for name, value in self.spec.items() if name not in ("tasks", "groups")}
        if task in self.spec.get("groups", {}):
            spec["groups"] = self.spec["groups"][task]
        models = [[info.fingerprint, dict(info.engine)] for info in (self.infos[name] for name in self.spec["pool"])]
        helpers = [[info.fingerprint, dict(info.engine)] for info in self.helpers.values()]
        # The folder holds files of these layouts.
        layouts = [[schema.name, schema.version] for schema in (CALLS, COSTS, PERF)]
        judges = [[info.fingerprint, dict(info.engine)] for info in judge_infos(self.results, self._scoring)]
        return digest("fit", spec, self.seed, [*models, *helpers, *judges], inputs, layouts)

    def _fit(self, task: str, output: Path, scratch: Path, ask: Ask) -> None:
        needs = self.needs.fit
        assert needs is not None
        folder = self.results / paths.task_folder(task)
        questions = [question for split in needs.splits for question in read_questions(folder, split)]
        failed = self.failed_inputs(task, needs.splits, self.member_samples(needs.plain), needs.logits)
        if failed:
            reason = f"{len(failed)} inputs of the fit failed, for instance {next(iter(failed.values()))}"
            raise FailedInput(reason)
        resources = JobFitResources(self, task, needs.splits, ask, Candidates(self, scratch))
        guard = FitGuard(resources, self.needs, needs, self.members, Run())
        settings = self.settings(group_score=task in self.spec.get("groups", {}), workdir=scratch)
        ctx = FitContext(self.members, questions, guard, settings)
        learned = self.method.fit(ctx)
        if sorted(learned.models) != sorted(self.needs.models):
            raise WorkError(
                f"fit made models {sorted(learned.models)}, needs declares {sorted(self.needs.models)}",
                where=self.variant,
            )
        provenance = Provenance("fit", self.spec, {"questions": digest([vars(question) for question in questions])})
        calls = [{**call, "task": task} for call in ctx.calls]
        write_rows(output / states.CALLS, CALLS, calls, provenance)
        write_rows(perf_path(output / states.CALLS), PERF, self.executor.perf_rows(ctx.calls), provenance)
        costs = self.cost_rows(task, ctx.calls, "fit", self.needs.fit_scope)
        write_rows(output / states.COSTS, COSTS, [{**row, "task": task} for row in costs], provenance)
        used = sorted(ctx.references_used | ({"dev"} if needs.dev_scores else set()))
        about = {"method": self.spec["method"], "params": self.spec["params"], "references_used": used, "status": "ok"}
        states.write_state(output, learned, about)

    @property
    def _scoring(self) -> Mapping[str, Any] | None:
        """The scorers' slice of the configuration; None where they ask no model."""
        return self.spec.get("scoring")

    def write_failed(self, reason: str) -> None:
        """Write fit folders that say why there is no fit."""
        for task in self.tasks:
            shutil.rmtree(self._folder(task), ignore_errors=True)
            write_json(self._folder(task) / states.FAILED, {"reason": reason})
        path = self._path
        write_failed_perf(path, Provenance("fit", self.spec))


class JobFitResources(JobResources):
    """What a fit may use, as `moco.methods.resources.FitResources` says.

    Args:
        job: The job.
        task: Its task.
        splits: Splits that it reads.
        ask: Runs rounds, together with those of the job's other tasks.
        candidates: Makes models.
    """

    def __init__(self, job: FitJob, task: str, splits: Sequence[str], ask: Ask, candidates: "Candidates") -> None:
        super().__init__(job, task, splits, ask)
        self._candidates = candidates

    def references(self, split: str) -> Mapping[str, Reference]:
        """Return the task's references."""
        return read_references(self._job.results / paths.task_folder(self._task), split)

    def tools(self) -> Tools:
        """Return the tools of the study; scorers' models are run by the job."""
        return job_tools(self._job.results, self._job.spec, self._job.inference)

    def dev_scores(self, member: int) -> DevScores:
        """Return what is in the score file of the member's first sample."""
        model, sample = self.model(member), self._job.members[member].sample(0)
        plain = paths.generation(model, self._job.batch, "dev", self._job.seed, paths.block_of(sample))
        path = self._job.results / paths.scores(self._job.spec["scorer"], plain)
        rows = [row for row in self._job.rows(path, SCORES, self._task) if row["sample"] == sample]
        failed = [row for row in rows if row["status"] == "failed"]
        if failed:
            raise WorkError(f"{len(failed)} plain dev responses failed", where=str(path), remedy="make them first")
        together = int(self._job.spec.get("answers", 1))  # replies to an item that are scored together
        behind = range(sample * together, (sample + 1) * together)
        return DevScores(
            {row["uid"]: row["score"] for row in rows if row["score"] is not None},
            {index: self._plain(["dev"], member, index) for index in behind},
        )

    def fingerprint(self, member: Model) -> str:
        """Return the fingerprint of a resolved model."""
        job = self._job
        return (job.infos[self.model(member)] if isinstance(member, int) else job.helpers[member]).fingerprint

    def merge(self, recipe: Recipe) -> str:
        """Merge a candidate."""
        return self._candidates.make(recipe)

    def discard(self, name: str) -> None:
        """Delete a candidate."""
        self._candidates.discard(name)

    def corpus(self, name: str) -> Sequence[Mapping[str, Any]]:
        """Return no corpus: no task is one yet."""
        raise RequestError(f"corpus {name!r} cannot be read", where=self._job.variant, remedy="declare none")

    def train(self, kind: str, *_about: Any) -> Trained:
        """Train nothing: fits have no trainer yet."""
        raise RequestError(f"cannot train ({kind})", where=self._job.variant, remedy="declare no training")


class Candidates:
    """Models that a search makes and deletes again.

    Args:
        job: The fit they belong to.
        scratch: Its work folder.
    """

    def __init__(self, job: MethodJob, scratch: Path) -> None:
        self._job, self._scratch = job, scratch
        # Calls that an interrupted fit remembers cost what their models' sizes say.
        self._sizes_json = scratch / "candidate_parameters.json"
        self._sizes: dict[str, int | None] = read_json(self._sizes_json) if self._sizes_json.exists() else {}
        job.inference.parameters.update(self._sizes)

    def make(self, recipe: Recipe) -> str:
        """Merge a candidate and return its name."""
        from moco.merging.build import build_merge

        name = f"candidate-{digest(recipe.as_json(), self._scratch.parent.name)[:16]}"
        folder = self._scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        infos = [*self._job.infos.values(), *self._job.helpers.values()]
        root = home(self._job.results)
        info = build_merge(name, recipe, infos, folder, root)
        self._job.inference.add(info, engine_settings(name, info.engine))
        self._job.inference.accounts.group(name, CANDIDATES)
        self._sizes[name] = info.parameters
        write_json(self._sizes_json, self._sizes)
        return name

    def discard(self, name: str) -> None:
        """Delete a candidate."""
        self._job.inference.remove(name)
        shutil.rmtree(self._scratch / name, ignore_errors=True)
