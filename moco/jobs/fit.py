"""The job that fits: a method on one pool and the dev splits of one batch of tasks."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from moco import paths
from moco.config.corpora import CorpusEntry
from moco.config.expand import expand
from moco.config.runtime import engine_settings
from moco.digest import digest, file_digest
from moco.engines.responses import Response
from moco.errors import FailedInput, RequestError, WorkError
from moco.home import home, store_root, work_root
from moco.jobs.judging import job_tools, judge_infos
from moco.jobs.method_job import MethodJob, perf_path
from moco.jobs.performance import write_failed_perf
from moco.jobs.resources import Ask, JobResources
from moco.jobs.rounds import Rounds
from moco.jobs.training import Training
from moco.methods import state as states
from moco.methods.context import FitContext
from moco.methods.logits import Logits, LogitsKind
from moco.methods.resources import DevScores, FitGuard, Model
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
from moco.tasks.corpora import read_corpus
from moco.tasks.item import Question, Reference
from moco.tasks.prepare import read_questions, read_references
from moco.training.examples import Example, Reward

_OF_BATCHES = ("tasks", "groups", "batches", "decoding", "scorer_source", "scoring", "answers", "code")
"""Parts of a job's slice that belong to a batch or a task; what else there is belongs to the method."""


class FitJob(MethodJob):
    """Fits a method on every task of a batch, or once on all tasks of its batches."""

    @property
    def places(self) -> list[str]:
        """Names of the folders of its fits: its tasks, or the one that stands for all of them."""
        return [paths.ALL] if self.needs.fit_scope == "pool" else self.tasks

    def tasks_of(self, place: str) -> list[str]:
        """Return the tasks that a fit learns from."""
        return self.tasks if place == paths.ALL else [place]

    def run(self) -> None:
        """Write every fit's folder; finished fits come from the store."""
        if self.needs.fit is None:
            raise RequestError("has nothing to fit", where=self.variant, remedy="run `moco answer`")
        self._write_paid(Rounds(self.executor.run).run([self._worker(place) for place in self.places]))

    def _worker(self, place: str) -> Callable[[Ask], bool]:
        """Return what makes a fit and says whether it was in the store."""

        def work(ask: Ask) -> bool:
            root = store_root(self.results)
            artifacts = ArtifactStore(root, work_root(self.results))
            folder, in_store = artifacts.make(
                "fits", self._key(place), lambda output, scratch: self._fit(place, output, scratch, ask)
            )
            self._publish(place, folder)
            return in_store

        return work

    def _folder(self, place: str) -> Path:
        return self.results / paths.fit_folder(self.pool, self.batch, self.variant, self.seed) / place

    @property
    def _path(self) -> Path:
        """What the performance files lie beside."""
        return self.results / f"{paths.fit_folder(self.pool, self.batch, self.variant, self.seed)}.parquet"

    def _write_paid(self, in_store: Sequence[bool]) -> None:
        """Write what this job did; a fit from the store costs nothing."""
        rows = [
            {**row, "cached": row["cached"] or stored}
            for place, stored in zip(self.places, in_store, strict=True)
            for row in read_rows(perf_path(self._folder(place) / states.CALLS), PERF)
        ]
        path = self._path
        assert self.needs.fit is not None
        write_rows(perf_path(path), PERF, [*rows, *self.load_rows()], Provenance("fit", self.spec))
        self.close_accounts(path, "fit", self.needs.fit.splits)

    def _publish(self, place: str, folder: Path) -> None:
        target = self._folder(place)
        shutil.rmtree(target, ignore_errors=True)
        copy_tree(folder, target)

    def _key(self, place: str) -> str:
        spec = {name: value for name, value in self.spec.items() if name not in _OF_BATCHES}
        parts = [self._task_key(task) for task in self.tasks_of(place)]
        corpora = {name: file_digest(expand(entry["path"])) for name, entry in spec.get("corpora", {}).items()}
        models = [[info.fingerprint, dict(info.engine)] for info in (self.infos[name] for name in self.spec["pool"])]
        helpers = [[info.fingerprint, dict(info.engine)] for info in self.helpers.values()]
        # The folder holds files of these layouts.
        layouts = [[schema.name, schema.version] for schema in (CALLS, COSTS, PERF)]
        judges = [[info.fingerprint, dict(info.engine)] for info in judge_infos(self.results, self._scoring)]
        return digest("fit", spec, self.seed, [*models, *helpers, *judges], parts, corpora, layouts)

    def _task_key(self, task: str) -> list[Any]:
        assert self.needs.fit is not None
        folder, about = self.results / paths.task_folder(task), self.about(task)
        inputs: dict[str, Any] = {}
        for split in self.needs.fit.splits:
            inputs[split] = [vars(question) for question in read_questions(folder, split)]
            if self.needs.fit.references or self.needs.fit.dev_scores:
                inputs[f"{split}_references"] = [vars(item) for item in read_references(folder, split).values()]
        spec = {
            name: about[name] for name in _OF_BATCHES if name in about and name not in ("tasks", "groups", "batches")
        }
        if task in about.get("groups", {}):
            spec["groups"] = about["groups"][task]
        return [spec, inputs]

    def _questions(self, task: str) -> list[Question]:
        assert self.needs.fit is not None
        folder = self.results / paths.task_folder(task)
        return [question for split in self.needs.fit.splits for question in read_questions(folder, split)]

    def _fit(self, place: str, output: Path, scratch: Path, ask: Ask) -> None:
        needs = self.needs.fit
        assert needs is not None
        tasks = self.tasks_of(place)
        questions = [question for task in tasks for question in self._questions(task)]
        failed: dict[str, str] = {}
        for task in tasks:
            failed |= self.failed_inputs(task, needs.splits, self.member_samples(range(needs.plain)), needs.logits)
        if failed:
            reason = f"{len(failed)} inputs of the fit failed, for instance {next(iter(failed.values()))}"
            raise FailedInput(reason)
        training = Training(self, scratch)
        made = Made(Candidates(self, scratch), training)
        parts = [JobFitResources(self, task, needs.splits, ask, made) for task in tasks]
        resources = parts[0] if place != paths.ALL else AllTasks(parts)
        guard = FitGuard(resources, self.needs, needs, self.members)
        grouped = any(task in self.about(task).get("groups", {}) for task in tasks)
        settings = self.settings(*tasks, group_score=grouped, workdir=scratch)
        ctx = FitContext(self.members, questions, guard, settings)
        learned = self.method.fit(ctx)
        if sorted(learned.models) != sorted(self.needs.models):
            raise WorkError(
                f"fit made models {sorted(learned.models)}, needs declares {sorted(self.needs.models)}",
                where=self.variant,
            )
        provenance = Provenance("fit", self.spec, {"questions": digest([vars(question) for question in questions])})
        task_of = {question.uid: question.task for question in questions}
        calls = [{**call, "task": task_of.get(call["uid"], place)} for call in ctx.calls]
        write_rows(output / states.CALLS, CALLS, calls, provenance)
        write_rows(perf_path(output / states.CALLS), PERF, self.executor.perf_rows(ctx.calls), provenance)
        costs = self.cost_rows(place, ctx.calls, "fit", self.needs.fit_scope, training.parameters())
        costs = [{**row, "task": place} for row in (*costs, *training.costs)]
        write_rows(output / states.COSTS, COSTS, costs, provenance)
        used = sorted(ctx.references_used | ({"dev"} if needs.dev_scores else set()))
        about = {"method": self.spec["method"], "params": self.spec["params"], "references_used": used, "status": "ok"}
        states.write_state(output, learned, about)
        training.close()

    @property
    def _scoring(self) -> Mapping[str, Any] | None:
        """The scorers' slice of the configuration, of all tasks; None where they ask no model."""
        found = [about["scoring"] for about in map(self.about, self.tasks) if "scoring" in about]
        return {name: value for scoring in found for name, value in scoring.items()} or None

    @property
    def scorers(self) -> dict[str, Any]:
        """What the scorers of all tasks may use."""
        found = [self.about(task)["code"] for task in self.tasks if "code" in self.about(task)]
        return {"scoring": self._scoring, **({"code": found[0]} if found else {})}

    def write_failed(self, reason: str) -> None:
        """Write fit folders that say why there is no fit."""
        for place in self.places:
            shutil.rmtree(self._folder(place), ignore_errors=True)
            write_json(self._folder(place) / states.FAILED, {"reason": reason})
        path = self._path
        write_failed_perf(path, Provenance("fit", self.spec))


class JobFitResources(JobResources):
    """What a fit may use, as `moco.methods.resources.FitResources` says.

    Args:
        job: The job.
        task: Its task.
        splits: Splits that it reads.
        ask: Runs rounds, together with those of the job's other tasks.
        made: Makes models.
    """

    _job: FitJob

    def __init__(self, job: FitJob, task: str, splits: Sequence[str], ask: Ask, made: "Made") -> None:
        super().__init__(job, task, splits, ask)
        self._candidates, self._training = made

    def model(self, member: Model) -> str:
        """Return the name under which inference knows a model."""
        trained = self._training.model(member) if isinstance(member, str) else None
        return trained or super().model(member)

    @property
    def task(self) -> str:
        """The task."""
        return self._task

    @property
    def grouped(self) -> bool:
        """Whether the task's items are scored in groups."""
        return self._task in self._job.about(self._task).get("groups", {})

    def references(self, split: str) -> Mapping[str, Reference]:
        """Return the task's references."""
        return read_references(self._job.results / paths.task_folder(self._task), split)

    def tools(self) -> Tools:
        """Return the tools of the study; scorers' models are run by the job."""
        return job_tools(self._job.results, self._job.scorers, self._job.inference)

    def dev_scores(self, member: int) -> DevScores:
        """Return what is in the score file of the member's first sample."""
        model, sample = self.model(member), self._job.members[member].sample(0)
        about = self._job.about(self._task)
        plain = paths.generation(model, about["batch"], "dev", self._job.seed, paths.block_of(sample))
        path = self._job.results / paths.scores(self._job.spec["scorer"], plain)
        rows = [row for row in self._job.rows(path, SCORES, self._task) if row["sample"] == sample]
        failed = [row for row in rows if row["status"] == "failed"]
        if failed:
            raise WorkError(f"{len(failed)} plain dev responses failed", where=str(path), remedy="make them first")
        together = int(about.get("answers", 1))  # replies to an item that are scored together
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
        """Return the rows of a corpus of the study."""
        return read_corpus(name, CorpusEntry.model_validate(self._job.spec["corpora"][name]))

    def train(
        self,
        kind: str,
        parent: Model,
        examples: Sequence[Example],
        name: str,
        settings: Mapping[str, Any],
        reward: Reward | None = None,
    ) -> Trained:
        """Train a member, a helper, or a model that this fit trained."""
        if isinstance(parent, str) and self._training.model(parent) is None and parent not in self._job.helpers:
            remedy = "train members, helpers, or what the fit trained"
            raise RequestError(f"cannot train {parent!r}, which is a merge", where=self._job.variant, remedy=remedy)
        if isinstance(parent, int):
            return self._training.train(kind, self._job.infos[self.model(parent)], examples, name, settings, reward)
        return self._training.train(kind, self._job.helpers.get(parent, parent), examples, name, settings, reward)


class AllTasks:
    """What a fit that serves all tasks may use: files of all of them, with references in groups of each task's own.

    Args:
        parts: Of each task.
    """

    def __init__(self, parts: Sequence[JobFitResources]) -> None:
        self._parts, self._first = parts, parts[0]

    def __getattr__(self, name: str) -> Any:
        """Return what is the same for all tasks."""
        return getattr(self._first, name)

    def plain(self, member: Model, sample: int, items: Sequence[str]) -> Mapping[str, Response]:
        """Return the responses in the files of a model."""
        return {uid: reply for part in self._parts for uid, reply in part.plain(member, sample, items).items()}

    def logits(self, member: int, kind: LogitsKind, sample: int, items: Sequence[str]) -> Mapping[str, Logits]:
        """Return the logits in the files of a member."""
        return {uid: one for part in self._parts for uid, one in part.logits(member, kind, sample, items).items()}

    def references(self, split: str) -> Mapping[str, Reference]:
        """Return the references of all tasks; only items that are scored in groups have one."""
        return {uid: _grouped(item, part) for part in self._parts for uid, item in part.references(split).items()}

    def dev_scores(self, member: int) -> DevScores:
        """Return the scores of all tasks, and the responses behind them."""
        scores: dict[str, float] = {}
        replies: dict[int, dict[str, Response]] = {}
        for part in self._parts:
            found = part.dev_scores(member)
            scores |= found.scores
            for sample, behind in found.replies.items():
                replies.setdefault(sample, {}).update(behind)
        return DevScores(scores, replies)


def _grouped(reference: Reference, part: JobFitResources) -> Reference:
    group = f"{part.task}/{reference.group}" if part.grouped and reference.group is not None else None
    return replace(reference, group=group)


class Made(NamedTuple):
    """What makes models in a fit."""

    candidates: "Candidates"
    training: Training


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
