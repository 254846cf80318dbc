"""Plain responses as files: one per batch, split, seed and block of samples."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from moco import paths
from moco.config.decoding import Decoding
from moco.config.runtime import engine_settings, records_items
from moco.home import home, store_root
from moco.jobs.inference import Inference, Reply
from moco.jobs.performance import load_rows, reply_row, write_failed_perf
from moco.methods.base import Request
from moco.models.info import ModelInfo
from moco.records import GENERATIONS, PERF, Provenance, write_rows
from moco.store.generations import GenerationStore
from moco.tasks.item import Question
from moco.tasks.prepare import read_questions

_FIELDS = (
    *("key", "text", "thought", "finish", "prompt_flag", "prompt_cut_tokens"),
    *("prompt_tokens", "completion_tokens", "mean_logprob"),
)


@dataclass
class PlainJob:
    """A model's replies to the unmodified prompts of a batch.

    Attributes:
        results: The results folder.
        spec: The job's slice of the study: `tasks` and `decoding`.
        model: The model.
        batch: The batch.
        split: The split.
        seed: Run seed.
        block: Block of samples.
    """

    results: Path
    spec: Mapping[str, Any]
    model: str
    batch: str
    split: str
    seed: int
    block: str

    def run(self) -> None:
        """Write the file.

        Raises:
            FailedInput: The model is a recorded failure.
        """
        info = ModelInfo.read(self.results / paths.model_json(self.model))
        settings = engine_settings(self.model, info.engine)
        store = GenerationStore(store_root(self.results))
        inference = Inference({self.model: info}, {self.model: settings}, store, home(self.results))
        decoding = Decoding.model_validate(self.spec["decoding"])
        requests = [
            Request(self.model, question.uid, question.prompt, "plain", sample, decoding)
            for _, question, sample in self._requests
        ]
        replies = inference.run(requests, self.seed, "plain responses", record=records_items())
        provenance = Provenance("generate", self.spec, {"model": info.fingerprint})
        rows = (
            {"task": task, "uid": question.uid, "sample": sample, **_row(reply)}
            for (task, question, sample), reply in zip(self._requests, replies, strict=True)
        )
        write_rows(self.path, GENERATIONS, rows, provenance)
        perf = {
            reply.response.key: reply_row(self.model, reply.response.key, cached=reply.cached, seconds=reply.seconds)
            for reply in replies
            if reply.failed is None
        }
        write_rows(Path(paths.perf(str(self.path))), PERF, [*perf.values(), *load_rows(inference.resident)], provenance)
        inference.accounts.close(self.path, self._about, provenance)

    @property
    def path(self) -> Path:
        """The file of the replies."""
        return self.results / paths.generation(self.model, self.batch, self.split, self.seed, self.block)

    @property
    def _about(self) -> dict[str, Any]:
        tasks = list(self.spec["tasks"])
        return {"system": self.model, "tasks": tasks, "splits": [self.split], "seed": self.seed}

    @cached_property
    def _requests(self) -> list[tuple[str, Question, int]]:
        """Task, question and sample index of every reply, in the order of the file."""
        return [
            (task, question, sample)
            for task, sample in product(self.spec["tasks"], paths.block_samples(self.block))
            for question in self._questions[task]
        ]

    @cached_property
    def _questions(self) -> dict[str, list[Question]]:
        return {task: read_questions(self.results / paths.task_folder(task), self.split) for task in self.spec["tasks"]}

    def write_failed(self, reason: str) -> None:
        """Write a file in which every reply failed."""
        failed = {"status": "failed", "reason": reason, **dict.fromkeys(_FIELDS)}
        rows = (
            {"task": task, "uid": question.uid, "sample": sample, **failed} for task, question, sample in self._requests
        )
        write_rows(self.path, GENERATIONS, rows, Provenance("generate", self.spec))
        write_failed_perf(self.path, Provenance("generate", self.spec))


def _row(reply: Reply) -> dict[str, Any]:
    if reply.failed is not None:
        return {"status": "failed", "reason": reply.failed, **dict.fromkeys(_FIELDS)}
    return {"status": "ok", "reason": None, **{name: getattr(reply.response, name) for name in _FIELDS}}
