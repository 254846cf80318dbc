"""What the two jobs of a method share: reading what its needs declare, and running its requests."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moco import paths
from moco.config.decoding import Decoding
from moco.config.runtime import engine_settings
from moco.decoding.combine import Combination
from moco.engines.responses import Response
from moco.errors import RequestError, WorkError
from moco.home import home, store_root
from moco.jobs.inference import Inference, Reply
from moco.jobs.inference import Job as InferenceJob
from moco.jobs.logits_files import LOGITS_SCHEMAS, logits_by_item
from moco.jobs.performance import load_rows, reply_row
from moco.methods.base import JointRequest, JointResponse, JointWork, Method, Needs, Request, pool_members
from moco.methods.catalogue import make_method
from moco.methods.context import LogitsSource, PlainSource
from moco.methods.logits import Logits, LogitsKind
from moco.models.info import ModelInfo
from moco.records import GENERATIONS, SCORES, Provenance, Schema, read_by_task
from moco.records.costs import attributed
from moco.store.generations import GenerationStore
from moco.tasks.item import Question

if TYPE_CHECKING:
    from moco.jobs.joint import JointReply


@dataclass(frozen=True)
class Failure:
    """What a request gave that got no reply: its item, and why."""

    uid: str
    reason: str


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
    _replies: dict[str, Reply] = field(default_factory=dict)

    @cached_property
    def method(self) -> Method:
        """The method with its settings."""
        return make_method(self.spec["method"], self.spec["params"])

    @cached_property
    def decoding(self) -> Decoding:
        """The batch's decoding settings."""
        return Decoding.model_validate(self.spec["decoding"])

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
        """Requests to the pool's models, through the store."""
        settings = {name: engine_settings(name, info.engine) for name, info in self.infos.items()}
        store = GenerationStore(store_root(self.results))
        return Inference(self.infos, settings, store, home(self.results))

    @property
    def tasks(self) -> list[str]:
        """Tasks of the batch."""
        return list(self.spec["tasks"])

    def common(self, questions: Sequence[Question], generate: Callable[..., Any] | None) -> dict[str, Any]:
        """Return what both contexts get."""
        texts = self.spec.get("descriptions")
        members = pool_members(
            self.spec["pool"],
            lambda place, name: {
                "description": texts[place] if texts else "",
                "parameters": self.infos[name].parameters,
            },
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

    def member_samples(self, samples: int, first: int = 0) -> dict[tuple[str, int], None]:
        """Return model and stored sample index of `samples` plain responses of every member, from the first on."""
        members = pool_members(self.spec["pool"])
        wanted = range(first, first + samples)
        return {(member.model, member.sample(sample)): None for member in members for sample in wanted}

    def rows(self, path: Path, schema: Schema, task: str) -> list[dict[str, Any]]:
        """Return a task's rows of a file of the batch, which is read once."""
        if path not in self._files:
            self._files[path] = read_by_task(path, schema)
        return self._files[path].get(task, [])

    def plain_rows(self, model: str, task: str, split: str, sample: int) -> list[dict[str, Any]]:
        """Return the rows of a model's plain responses with a stored sample index to a task."""
        batch = self.batch_of(model)
        path = paths.generation(model, batch, split, self.seed, paths.block_of(sample))
        return [row for row in self.rows(self.results / path, GENERATIONS, task) if row["sample"] == sample]

    def batch_of(self, model: str) -> str:
        """Return the batch in which a model answered: that of the job, or of one task for a model that the fit made."""
        return str(self.spec.get("made_batches", {}).get(model, self.batch))

    def plain_reader(self, task: str, splits: Sequence[str], declared: Collection[tuple[str, int]]) -> PlainSource:
        """Return the reader of a task's plain responses; it refuses what the method's needs do not declare."""

        def read(model: str, sample: int, _items: Sequence[str]) -> Mapping[str, Response]:
            self.require_plain(model, sample, declared)
            rows = (row for split in splits for row in self.plain_rows(model, task, split, sample))
            return {row["uid"]: _response(row) for row in rows if row["status"] == "ok"}

        return read

    def require_plain(self, model: str, sample: int, declared: Collection[tuple[str, int]]) -> None:
        """Refuse plain responses that the method's needs do not declare.

        Raises:
            RequestError: They are not among `declared`.
        """
        if (model, sample) not in declared:
            raise RequestError(
                f"the method reads plain sample {sample} of {model} that its `needs` does not declare",
                where=self.variant,
                remedy="declare it in `needs`",
            )

    def logits_reader(
        self, task: str, splits: Sequence[str], kinds: Collection[str], samples: Collection[tuple[str, int]]
    ) -> LogitsSource:
        """Return the reader of a task's cached logits; it refuses what the method's needs do not declare.

        Args:
            task: The task.
            splits: Splits to read.
            kinds: Declared kinds.
            samples: Declared plain samples, whose logits may be read.
        """

        def read(model: str, kind: LogitsKind, sample: int, _items: Sequence[str]) -> Mapping[str, Logits]:
            self.require_logits(model, kind, sample, kinds, samples)
            rows = [row for split in splits for row in self.logits_rows(kind, model, task, split, sample)]
            return logits_by_item(rows, kind)

        return read

    def require_logits(
        self,
        model: str,
        kind: LogitsKind,
        sample: int,
        kinds: Collection[str],
        samples: Collection[tuple[str, int]],
    ) -> None:
        """Refuse cached logits that the method's needs do not declare; arguments as for `logits_reader`.

        Raises:
            RequestError: Their kind is not declared, or the plain response that they belong to.
        """
        if kind not in kinds or (kind == "response" and (model, sample) not in samples):
            raise RequestError(
                f"the method reads {kind} logits of {model} that its `needs` does not declare",
                where=self.variant,
                remedy="declare them in `needs`",
            )

    def logits_rows(self, kind: LogitsKind, model: str, task: str, split: str, sample: int) -> list[dict[str, Any]]:
        """Return the rows of a model's cached logits of a task; those of responses with one stored sample index."""
        if kind == "response":
            path = paths.response_logits(model, self.batch, split, self.seed, paths.block_of(sample))
        else:
            path = paths.logits(kind, model, self.batch, split)
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

    def dev_scores(self, task: str) -> Callable[[str, int], Mapping[str, float]]:
        """Return the reader of plain dev scores."""

        def read(model: str, sample: int) -> Mapping[str, float]:
            plain = paths.generation(model, self.batch, "dev", self.seed, paths.block_of(sample))
            path = self.results / paths.scores(self.spec["scorer"], plain)
            rows = [row for row in self.rows(path, SCORES, task) if row["sample"] == sample]
            failed = [row for row in rows if row["status"] == "failed"]
            if failed:
                raise WorkError(f"{len(failed)} plain dev responses failed", where=str(path), remedy="make them first")
            return {row["uid"]: row["score"] for row in rows if row["score"] is not None}

        return read

    @property
    def records_items(self) -> bool:
        """Whether items whose requests get no reply are recorded as failed, instead of ending the job."""
        return False

    def execute(self, requests: Sequence[Request | JointWork]) -> list[Response | JointResponse | Failure]:
        """Run requests of all tasks of the batch, model by model, then those that several models decode together."""
        answered: dict[int, Response | JointResponse | Failure] = {}
        own = [(index, request) for index, request in enumerate(requests) if isinstance(request, Request)]
        replies = self.inference.run([self._job(request) for _, request in own], record=self.records_items)
        for (index, request), reply in zip(own, replies, strict=True):
            if reply.failed is not None:
                answered[index] = Failure(request.uid, f"{self._job(request).model}: {reply.failed}")
                continue
            answered[index] = reply.response
            # What is asked again later comes from the store; the first time says what it took.
            self._replies.setdefault(reply.response.key, reply)
        joint: dict[tuple[tuple[str, ...], Combination], list[tuple[int, JointRequest]]] = {}
        for index, work in enumerate(requests):
            if isinstance(work, JointWork):
                joint.setdefault((work.models, work.combination), []).append((index, work.request))
        for (models, combination), placed in joint.items():
            together = self._decode_jointly(models, [request for _, request in placed], combination)
            answered.update((index, response) for (index, _), response in zip(placed, together, strict=True))
        return [answered[index] for index in range(len(requests))]

    def _job(self, request: Request) -> InferenceJob:
        return InferenceJob(
            model=self.spec["pool"][request.member] if isinstance(request.member, int) else request.member,
            prompt=request.prompt,
            decoding=request.decoding or self.decoding,
            seed=self.seed,
            sample=request.sample,
        )

    def _decode_jointly(
        self, models: Sequence[str], requests: Sequence[JointRequest], combination: Combination
    ) -> list[JointResponse]:
        from moco.jobs.joint import JointInference, JointJob

        jobs = [
            JointJob(request.prompt, request.decoding or self.decoding, self.seed, request.sample)
            for request in requests
        ]
        replies = JointInference(self.inference, models).run(jobs, combination)
        for together in {each.reply.response.key: each for each in replies}.values():
            self._account_jointly(together)
        self._replies.update({each.reply.response.key: each.reply for each in replies})
        return [JointResponse(each.reply.response, each.prompt_tokens) for each in replies]

    def _account_jointly(self, together: "JointReply") -> None:
        account, reply = self.inference.accounts.account(" + ".join(together.prompt_tokens)), together.reply
        account.items += 1
        account.cached += reply.cached
        if not reply.cached:
            account.read_tokens += sum(together.prompt_tokens.values())
            account.made_tokens += reply.response.completion_tokens
            account.seconds += reply.seconds

    def perf_rows(self, calls: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return times and cache hits of the requests that this job made for a task."""
        rows: dict[str, dict[str, Any]] = {}
        for call in calls:
            reply = self._replies.get(call["key"])
            if reply is not None:
                rows[call["key"]] = reply_row(call["model"], call["key"], cached=reply.cached, seconds=reply.seconds)
        return list(rows.values())

    def load_rows(self) -> list[dict[str, Any]]:
        """Return the loads of the whole job."""
        return load_rows(self.inference.room)

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
        self, task: str, calls: Iterable[Mapping[str, Any]], stage: str, scope: str = "task"
    ) -> list[dict[str, Any]]:
        """Return the attributed cost of a task's calls, by model."""

        def parameters(model: str) -> int | None:
            if model in self.inference.parameters:
                return self.inference.parameters[model]
            return self._info(paths.fitted_model(self.pool, task, self.variant, self.seed, model)).parameters

        served = [name for name, info in self.infos.items() if info.server is not None]
        return attributed(calls, stage=stage, scope=scope, role=self._role, parameters=parameters, served=served)

    def _role(self, call: Mapping[str, Any]) -> str:
        if call["member"] >= 0:
            return "member"
        return "fitted" if call["model"] in self.needs.models else "candidate"


def _response(row: Mapping[str, Any]) -> Response:
    names = ("text", "key", "finish", "thought", "prompt_flag", "prompt_tokens", "completion_tokens", "mean_logprob")
    return Response(**{name: row[name] for name in names})


def perf_path(path: Path) -> Path:
    """Return the performance file beside a record file."""
    return Path(paths.perf(str(path)))
