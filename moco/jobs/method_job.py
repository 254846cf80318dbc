"""What the two jobs of a method share: files of other stages, models, and what they cost."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from moco import paths
from moco.config.decoding import Decoding
from moco.config.runtime import engine_settings
from moco.home import home, store_root
from moco.jobs.executor import Executor
from moco.jobs.inference import Inference
from moco.jobs.logits_files import LOGITS_SCHEMAS
from moco.jobs.performance import load_rows
from moco.methods.base import Member, Method, Needs, pool_members
from moco.methods.catalogue import make_method
from moco.methods.context import Settings
from moco.methods.logits import LogitsKind
from moco.models.info import ModelInfo
from moco.records import GENERATIONS, Provenance, Schema, read_by_task
from moco.records.costs import attributed
from moco.store.generations import GenerationStore


@dataclass
class MethodJob:
    """One method on one pool and one batch of tasks.

    Attributes:
        results: The results folder.
        spec: The job's slice of the study, as the plan makes it.
        needs: What the method declares for the pool.
        pool: Slug of the pool.
        batch: Name of the batch.
        variant: Slug of the method variant.
        seed: Run seed.
    """

    results: Path
    spec: Mapping[str, Any]
    needs: Needs
    pool: str
    batch: str
    variant: str
    seed: int
    _files: dict[Path, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)

    @cached_property
    def method(self) -> Method:
        """The method with its settings."""
        return make_method(self.spec["method"], self.spec["params"])

    def about(self, task: str) -> Mapping[str, Any]:
        """Return the job's slice as it is for a task: where the job has several batches, that of the task's batch."""
        parts = self.spec.get("batches", {}).items()
        found = next(({**self.spec, **part, "batch": name} for name, part in parts if task in part["tasks"]), None)
        return found or {**self.spec, "batch": self.batch}

    def decoding(self, task: str) -> Decoding:
        """Return a task's decoding settings."""
        return Decoding.model_validate(self.about(task)["decoding"])

    @cached_property
    def infos(self) -> dict[str, ModelInfo]:
        """Resolved models of the pool, by name."""
        return {name: self._info(name) for name in dict.fromkeys(self.spec["pool"])}

    @cached_property
    def helpers(self) -> dict[str, ModelInfo]:
        """Resolved models that help, by role."""
        return {role: self._info(model) for role, model in self.spec.get("helpers", {}).items()}

    def _info(self, name: str) -> ModelInfo:
        return ModelInfo.read(self.results / paths.model_json(name))

    @cached_property
    def inference(self) -> Inference:
        """Work of the pool's models, and of others once they are asked, through the store."""
        settings = {name: engine_settings(name, info.engine) for name, info in self.infos.items()}
        store = GenerationStore(store_root(self.results))
        return Inference(self.infos, settings, store, home(self.results))

    @property
    def tasks(self) -> list[str]:
        """Tasks of the batch."""
        return list(self.spec["tasks"])

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Members of the pool as contexts see them."""
        texts = self.spec.get("descriptions")
        return pool_members(
            self.spec["pool"],
            lambda place, name: {
                "description": texts[place] if texts else "",
                "parameters": self.infos[name].parameters,
            },
        )

    def settings(self, *tasks: str, **more: Any) -> Settings:
        """Return the settings of a context for these tasks."""
        decoding = {task: self.decoding(task) for task in tasks}
        return Settings(self.spec["method"], self.seed, decoding[tasks[0]], decoding, **more)

    def member_samples(self, samples: Iterable[int]) -> dict[tuple[str, int], None]:
        """Return model and stored sample index of these plain samples of every member."""
        return {(member.model, member.sample(sample)): None for sample in samples for member in self.members}

    def rows(self, path: Path, schema: Schema, task: str) -> list[dict[str, Any]]:
        """Return a task's rows of a file of the batch, which is read once."""
        if path not in self._files:
            self._files[path] = read_by_task(path, schema)
        return self._files[path].get(task, [])

    def plain_rows(self, model: str, task: str, split: str, sample: int) -> list[dict[str, Any]]:
        """Return the rows of a model's plain responses with a stored sample index to a task."""
        batch = self.batch_of(model, task)
        path = paths.generation(model, batch, split, self.seed, paths.block_of(sample))
        return [row for row in self.rows(self.results / path, GENERATIONS, task) if row["sample"] == sample]

    def batch_of(self, model: str, task: str) -> str:
        """Return the batch in which a model answered a task; a model that a fit made for one task answers it alone."""
        return str(self.spec.get("made_batches", {}).get(model, self.about(task)["batch"]))

    def logits_rows(self, kind: LogitsKind, model: str, task: str, split: str, sample: int) -> list[dict[str, Any]]:
        """Return the rows of a model's cached logits of a task; those of responses with one stored sample index."""
        batch = self.about(task)["batch"]
        if kind == "response":
            path = paths.response_logits(model, batch, split, self.seed, paths.block_of(sample))
        else:
            path = paths.logits(kind, model, batch, split)
        rows = self.rows(self.results / path, LOGITS_SCHEMAS[kind], task)
        return [row for row in rows if row["sample"] == sample] if kind == "response" else rows

    def failed_inputs(
        self, task: str, splits: Sequence[str], plain: Collection[tuple[str, int]], logits: Collection[LogitsKind]
    ) -> dict[str, str]:
        """Return the items for which a plain response or cached logits failed, with the reason.

        Args:
            task: The task.
            splits: Splits that are read.
            plain: Model and stored sample index of the plain responses that are read.
            logits: Kinds of logits that are read.
        """
        failed: dict[str, str] = {}

        def note(model: str, rows: Iterable[Mapping[str, Any]]) -> None:
            for row in rows:
                if row["status"] == "failed":
                    failed.setdefault(row["uid"], f"{model}: {row['reason']}")

        for split, (model, sample) in product(splits, plain):
            note(model, self.plain_rows(model, task, split, sample))
        for kind, split, model in product(logits, splits, self.infos):
            samples = [index for name, index in plain if name == model] if kind == "response" else [0]
            for sample in samples:
                note(model, self.logits_rows(kind, model, task, split, sample))
        return failed

    @property
    def records_items(self) -> bool:
        """Whether items whose requests get no reply are recorded as failed, instead of ending the job."""
        return False

    @cached_property
    def executor(self) -> Executor:
        """What runs rounds of work of all tasks of the batch."""
        return Executor(self.inference, self._info, self.seed, self.decoding(self.tasks[0]), record=self.records_items)

    def load_rows(self) -> list[dict[str, Any]]:
        """Return the loads of the whole job."""
        return load_rows(self.inference.resident)

    def close_accounts(self, path: Path, verb: str, splits: Sequence[str]) -> None:
        """Say and write what every model did in this job, beside its file."""
        about = {
            "pool": self.pool,
            "system": self.variant,
            "tasks": self.tasks,
            "splits": list(splits),
            "seed": self.seed,
        }
        self.inference.accounts.close(path, about, Provenance(verb, self.spec))

    def cost_rows(
        self,
        task: str,
        calls: Iterable[Mapping[str, Any]],
        stage: str,
        scope: str = "task",
        trained: Mapping[str, int | None] | None = None,
    ) -> list[dict[str, Any]]:
        """Return the attributed cost of a task's calls, by model; sizes of models that the job trained are given."""
        calls = list(calls)
        helpers = {call["model"] for call in calls} & set(self.spec.get("helpers", {}).values())
        infos = {**self.infos, **{name: self._info(name) for name in helpers}}

        def parameters(model: str) -> int | None:
            if model in infos:
                return infos[model].parameters
            if model in self.inference.parameters:
                return self.inference.parameters[model]
            if trained is not None and model in trained:
                return trained[model]
            return self._info(self.spec["made"][task][model]).parameters

        served = [name for name, info in infos.items() if info.server is not None]
        return attributed(calls, stage=stage, scope=scope, role=self._role, parameters=parameters, served=served)

    def _role(self, call: Mapping[str, Any]) -> str:
        if call["member"] >= 0:
            return "member"
        if call["model"] in self.spec.get("helpers", {}).values():
            return "helper"
        return "fitted" if call["model"] in self.needs.models else "candidate"


def perf_path(path: Path) -> Path:
    """Return the performance file beside a record file."""
    return Path(paths.perf(str(path)))
