"""The two jobs of a method: reading what its needs declare, running it on a batch of tasks, writing records."""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from moco import paths
from moco.config.decoding import Decoding
from moco.config.runtime import engine_settings
from moco.digest import digest
from moco.engines.inference import Inference, Reply
from moco.engines.inference import Job as InferenceJob
from moco.errors import RequestError, WorkError
from moco.methods import state as states
from moco.methods.base import Answer, Method, Needs, Recipe, Request, Response, State, pool_members
from moco.methods.catalogue import make_method
from moco.methods.context import AnswerContext, FitContext
from moco.methods.lockstep import Lockstep
from moco.models.info import ModelInfo
from moco.records import (
    ANSWERS,
    CALLS,
    GENERATIONS,
    PERF,
    SCORES,
    Provenance,
    read_frame,
    read_rows,
    write_json,
    write_rows,
)
from moco.store.artifacts import ArtifactStore, link_tree
from moco.store.generations import GenerationStore, store_root, work_root
from moco.tasks.item import Question, Reference
from moco.tasks.prepare import read_questions, read_references

_FAILED_ANSWER = {
    "answer": 0,
    "status": "failed",
    "text": None,
    "extracted": None,
    "has_extracted": False,
    "models": [],
    "fallback": None,
    "record_json": "{}",
}


@dataclass
class MethodJob:
    """One method on one pool and one batch of tasks.

    Attributes:
        results: The results folder.
        spec: The job's slice of the configuration, as the plan writes it.
        pool: Slug of the pool.
        variant: Slug of the method variant.
        seed: Run seed.
    """

    results: Path
    spec: Mapping[str, Any]
    pool: str
    variant: str
    seed: int
    _replies: dict[str, Reply] = field(default_factory=dict)

    @cached_property
    def method(self) -> Method:
        """The method with its settings."""
        return make_method(self.spec["method"], self.spec["params"])

    @cached_property
    def needs(self) -> Needs:
        """What it declares."""
        return self.method.needs(len(self.spec["pool"]))

    @cached_property
    def decoding(self) -> Decoding:
        """The batch's decoding settings."""
        return Decoding.model_validate(self.spec["decoding"])

    @cached_property
    def infos(self) -> dict[str, ModelInfo]:
        """Resolved models of the pool, by name."""
        return {name: self._info(name) for name in dict.fromkeys(self.spec["pool"])}

    def _info(self, name: str) -> ModelInfo:
        return ModelInfo.read(self.results / paths.model_json(name))

    @cached_property
    def inference(self) -> Inference:
        """Requests to the pool's models, through the store."""
        settings = {name: engine_settings(name, info.engine) for name, info in self.infos.items()}
        store = GenerationStore(store_root(self.results))
        return Inference(self.infos, settings, store, self.results.resolve().parent)

    @property
    def tasks(self) -> list[str]:
        """Tasks of the batch."""
        return list(self.spec["tasks"])

    def common(self, questions: Sequence[Question], generate: Callable[..., Any] | None) -> dict[str, Any]:
        """Return what both contexts get."""
        members = pool_members(
            self.spec["pool"],
            self.spec.get("descriptions"),
            {name: info.parameters for name, info in self.infos.items()},
        )
        return {
            "pool": members,
            "questions": questions,
            "method": self.spec["method"],
            "seed": self.seed,
            "scorer": self.spec["scorer"],
            "decoding": self.decoding,
            "generate": generate,
        }

    def plain(self, task: str, split: str) -> Callable[[str, int], Mapping[str, Response]]:
        """Return the reader of plain responses of a split."""

        def read(model: str, sample: int) -> Mapping[str, Response]:
            return plain_responses(self.results / self._generation(model, task, split, sample))

        return read

    def _generation(self, model: str, task: str, split: str, sample: int) -> str:
        return paths.generation(model, task, split, self.spec["decoding_name"], self.seed, sample)

    def dev_scores(self, task: str) -> Callable[[str, int], Mapping[str, float]]:
        """Return the reader of plain dev scores."""

        def read(model: str, sample: int) -> Mapping[str, float]:
            path = self.results / paths.scores(self.spec["scorer"], self._generation(model, task, "dev", sample))
            frame = read_frame(path, SCORES, ["uid", "status", "score"])
            failed = frame.loc[frame["status"] == "failed"]
            if len(failed):
                raise WorkError(f"{len(failed)} plain dev responses failed", where=str(path), remedy="make them first")
            return dict(frame.loc[frame["score"].notna(), ["uid", "score"]].itertuples(index=False))

        return read

    def execute(self, requests: Sequence[Request]) -> list[Response]:
        """Run requests of all tasks of the batch, model by model."""
        jobs = [
            InferenceJob(
                model=self.spec["pool"][request.member] if isinstance(request.member, int) else request.member,
                prompt=request.prompt,
                decoding=request.decoding or self.decoding,
                seed=self.seed,
                sample=request.sample,
            )
            for request in requests
        ]
        replies = self.inference.run(jobs)
        self._replies.update({reply.response.key: reply for reply in replies})
        return [reply.response for reply in replies]

    def perf_rows(self, calls: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return times and cache hits of a task's own requests."""
        rows: dict[str, dict[str, Any]] = {}
        for call in calls:
            reply = self._replies.get(call["key"])
            if call["kind"] == "own" and reply is not None:
                rows[call["key"]] = {
                    "key": call["key"],
                    "model": call["model"],
                    "cached": reply.cached,
                    "seconds": reply.seconds,
                }
        return list(rows.values())


def plain_responses(path: Path) -> dict[str, Response]:
    """Return the successful plain responses of a generations file, by item."""
    names = ("text", "key", "finish", "thought", "prompt_flag", "prompt_tokens", "completion_tokens", "mean_logprob")
    rows = read_rows(path, GENERATIONS, ["uid", "status", *names])
    return {row["uid"]: Response(**{name: row[name] for name in names}) for row in rows if row["status"] == "ok"}


class AnswerJob(MethodJob):
    """Answers the questions of one split."""

    def run(self, split: str) -> None:
        """Write answers and calls of every task of the batch."""
        if self.needs.answer_runs_models:
            results = Lockstep(self.execute).run([self._worker(task, split) for task in self.tasks])
        else:
            results = [self._worker(task, split)(None) for task in self.tasks]
        for task, (rows, calls) in zip(self.tasks, results, strict=True):
            self._write(task, split, rows, calls)

    def _worker(self, task: str, split: str) -> Callable[[Any], tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
        def work(generate: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
            questions = read_questions(self.results / paths.task_folder(task), split)
            reason, state = self._state(task)
            if reason is not None:
                return [self._failed(question.uid, reason) for question in questions], []
            missing = self._failed_inputs(task, split, [question.uid for question in questions])
            usable = [question for question in questions if question.uid not in missing]
            plain = (
                self._plain_with_fitted(task, split)
                if self.needs.answer.plain or self.needs.answer.fitted_plain
                else None
            )
            ctx = AnswerContext(plain=plain, **self.common(usable, generate))
            rows = checked_answers(self.method.answer(ctx, state), usable, self.spec["tasks"][task]["answers"])
            rows.extend(self._failed(uid, why) for uid, why in missing.items())
            order = {question.uid: index for index, question in enumerate(questions)}
            return sorted(rows, key=lambda row: (order[row["uid"]], row["answer"])), sorted(
                ctx.calls, key=lambda call: (order[call["uid"]], call["call"])
            )

        return work

    def _state(self, task: str) -> tuple[str | None, State]:
        if self.needs.fit is None:
            return None, State()
        scope = "_all" if self.needs.fit_scope == "pool" else task
        folder = self.results / paths.fit_folder(self.pool, scope, self.variant, self.seed)
        reason = states.failure_of(folder)
        return (f"fit: {reason}", State()) if reason else (None, states.read_state(folder))

    def _fitted(self, task: str, name: str) -> str:
        return paths.fitted_model(self.pool, task, self.variant, self.seed, name)

    def _plain_with_fitted(self, task: str, split: str) -> Callable[[str, int], Mapping[str, Response]]:
        read = self.plain(task, split)

        def named(model: str, sample: int) -> Mapping[str, Response]:
            return read(self._fitted(task, model) if model in self.needs.models else model, sample)

        return named

    def _failed_inputs(self, task: str, split: str, uids: Sequence[str]) -> dict[str, str]:
        """Return the items whose plain responses failed, with the reason."""
        wanted = [
            (member.model, member.sample(sample))
            for member in pool_members(self.spec["pool"])
            for sample in range(self.needs.answer.plain)
        ]
        wanted += [
            (self._fitted(task, name), sample)
            for name in self.needs.models
            for sample in range(self.needs.answer.fitted_plain)
        ]
        failed: dict[str, str] = {}
        for model, sample in dict.fromkeys(wanted):
            frame = read_frame(
                self.results / self._generation(model, task, split, sample), GENERATIONS, ["uid", "status", "reason"]
            )
            for row in frame.loc[frame["status"] == "failed"].itertuples():
                failed.setdefault(str(row.uid), f"{model}: {row.reason}")
        return {uid: failed[uid] for uid in uids if uid in failed}

    def _failed(self, uid: str, reason: str) -> dict[str, Any]:
        return {"uid": uid, "reason": reason, **_FAILED_ANSWER}

    def _write(self, task: str, split: str, rows: list[dict[str, Any]], calls: list[dict[str, Any]]) -> None:
        where = (self.pool, task, self.variant, self.seed, split)
        inputs = {
            "questions": digest(
                [vars(question) for question in read_questions(self.results / paths.task_folder(task), split)]
            ),
            "models": digest([self.infos[name].fingerprint for name in self.spec["pool"]]),
        }
        provenance = Provenance("answer", self.spec, inputs)
        write_rows(self.results / paths.answers(*where), ANSWERS, rows, provenance)
        path = self.results / paths.calls(*where)
        write_rows(path, CALLS, calls, provenance)
        write_rows(perf_path(path), PERF, self.perf_rows(calls), provenance)

    def write_failed(self, split: str, reason: str) -> None:
        """Write valid files in which every item failed."""
        for task in self.tasks:
            questions = read_questions(self.results / paths.task_folder(task), split)
            self._write(task, split, [self._failed(question.uid, reason) for question in questions], [])


def perf_path(path: Path) -> Path:
    """Return the performance file beside a record file."""
    return Path(paths.perf(str(path)))


def checked_answers(answers: Iterable[Answer], questions: Sequence[Question], per_item: int) -> list[dict[str, Any]]:
    """Return answers as rows, after checking that every item has exactly its answers.

    Raises:
        WorkError: An answer is missing, doubled, or belongs to no question.
    """
    from moco.digest import canonical_json

    expected = {(question.uid, number) for question in questions for number in range(per_item)}
    rows = {}
    for answer in answers:
        place = (answer.uid, answer.answer)
        if place not in expected or place in rows:
            raise WorkError(
                f"answer {place} is {'doubled' if place in rows else 'unexpected'}", remedy="correct the method"
            )
        rows[place] = {
            "uid": answer.uid,
            "answer": answer.answer,
            "status": "ok",
            "reason": None,
            "text": answer.text,
            "extracted": answer.extracted,
            "has_extracted": answer.has_extracted,
            "models": list(answer.models),
            "fallback": answer.fallback,
            "record_json": canonical_json(dict(answer.record)),
        }
    if len(rows) < len(expected):
        raise WorkError(f"{len(expected) - len(rows)} answers are missing", remedy="correct the method")
    return list(rows.values())


class FitJob(MethodJob):
    """Fits a method on every task of a batch."""

    def run(self) -> None:
        """Write the fit folder of every task; finished fits come from the store."""
        if self.needs.fit is None:
            raise RequestError("has nothing to fit", where=self.variant, remedy="run `moco answer`")
        if self.needs.fit_runs_models:
            Lockstep(self.execute).run([self._worker(task) for task in self.tasks])
        else:
            for task in self.tasks:
                self._worker(task)(None)

    def _worker(self, task: str) -> Callable[[Any], None]:
        def work(generate: Any) -> None:
            root = store_root(self.results)
            artifacts = ArtifactStore(root, work_root(self.results))
            folder, _ = artifacts.make(
                "fits", self._key(task), lambda output, scratch: self._fit(task, output, scratch, generate)
            )
            self._publish(task, folder)

        return work

    def _publish(self, task: str, folder: Path) -> None:
        target = self.results / paths.fit_folder(self.pool, task, self.variant, self.seed)
        shutil.rmtree(target, ignore_errors=True)
        link_tree(folder, target)
        for name in self.needs.models:
            slug = paths.fitted_model(self.pool, task, self.variant, self.seed, name)
            recipe = self.results / paths.recipe_json(slug)
            recipe.parent.mkdir(parents=True, exist_ok=True)
            recipe.write_bytes((folder / "recipes" / f"{name}.json").read_bytes())

    def _key(self, task: str) -> str:
        assert self.needs.fit is not None
        folder = self.results / paths.task_folder(task)
        inputs: dict[str, Any] = {}
        for split in self.needs.fit.splits:
            inputs[split] = [vars(question) for question in read_questions(folder, split)]
            if self.needs.fit.references or self.needs.fit.dev_scores:
                inputs[f"{split}_references"] = [vars(item) for item in read_references(folder, split).values()]
        spec = {name: value for name, value in self.spec.items() if name not in ("tasks", "decoding_name")}
        models = [[info.fingerprint, dict(info.engine)] for info in (self.infos[name] for name in self.spec["pool"])]
        return digest("fit", spec, self.seed, models, inputs)

    def _fit(self, task: str, output: Path, scratch: Path, generate: Any) -> None:
        needs = self.needs.fit
        assert needs is not None
        folder = self.results / paths.task_folder(task)
        questions = [question for split in needs.splits for question in read_questions(folder, split)]
        references: dict[str, dict[str, Reference]] = {}
        if needs.references:
            references = {split: read_references(folder, split) for split in needs.splits}
        candidates = Candidates(self, scratch)
        ctx = FitContext(
            plain=self._plain_of_splits(task, needs.splits) if needs.plain else None,
            references=references,
            dev_scores=self.dev_scores(task) if needs.dev_scores else None,
            fingerprints={name: info.fingerprint for name, info in self.infos.items()},
            merge=candidates.make if needs.generates else None,
            discard=candidates.discard if needs.generates else None,
            workdir=scratch,
            **self.common(questions, generate),
        )
        learned = self.method.fit(ctx)
        if sorted(learned.models) != sorted(self.needs.models):
            raise WorkError(
                f"fit made models {sorted(learned.models)}, needs declares {sorted(self.needs.models)}",
                where=self.variant,
            )
        provenance = Provenance("fit", self.spec, {"questions": digest([vars(question) for question in questions])})
        write_rows(output / states.CALLS, CALLS, ctx.calls, provenance)
        write_rows(perf_path(output / states.CALLS), PERF, self.perf_rows(ctx.calls), provenance)
        used = sorted(ctx.references_used | ({"dev"} if needs.dev_scores else set()))
        about = {"method": self.spec["method"], "params": self.spec["params"], "references_used": used, "status": "ok"}
        states.write_state(output, learned, about)

    def _plain_of_splits(self, task: str, splits: Sequence[str]) -> Callable[[str, int], Mapping[str, Response]]:
        readers = [self.plain(task, split) for split in splits]

        def read(model: str, sample: int) -> Mapping[str, Response]:
            return {uid: response for reader in readers for uid, response in reader(model, sample).items()}

        return read

    def write_failed(self, reason: str) -> None:
        """Write fit folders that say why there is no fit."""
        for task in self.tasks:
            target = self.results / paths.fit_folder(self.pool, task, self.variant, self.seed)
            shutil.rmtree(target, ignore_errors=True)
            write_json(target / states.FAILED, {"reason": reason})
            for name in self.needs.models:
                slug = paths.fitted_model(self.pool, task, self.variant, self.seed, name)
                write_json(self.results / paths.recipe_json(slug), {"failed": f"fit: {reason}"})


class Candidates:
    """Models that a search makes and deletes again.

    Args:
        job: The fit they belong to.
        scratch: Its work folder.
    """

    def __init__(self, job: MethodJob, scratch: Path) -> None:
        self._job, self._scratch = job, scratch

    def make(self, recipe: Recipe) -> str:
        """Merge a candidate and return its name."""
        from moco.merging.build import build_merge

        name = f"candidate-{digest(recipe.as_json(), self._scratch.parent.name)[:16]}"
        folder = self._scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        infos = list(self._job.infos.values())
        root = self._job.results.resolve().parent
        info = build_merge(name, recipe, infos, folder, root)
        self._job.inference.add(info, engine_settings(name, info.engine))
        return name

    def discard(self, name: str) -> None:
        """Delete a candidate."""
        self._job.inference.remove(name)
        shutil.rmtree(self._scratch / name, ignore_errors=True)
