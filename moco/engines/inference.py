"""Requests to replies, through the store: only what is missing loads a model."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.engines.base import TokenRequest
from moco.engines.render import Renderer, visible_text
from moco.engines.room import EngineRoom
from moco.errors import RequestError, WorkError
from moco.methods.base import Response
from moco.models.info import ModelInfo
from moco.progress import Progress
from moco.registry import did_you_mean
from moco.store.generations import GenerationStore, Stored
from moco.store.keys import prompt_digest, request_key

log = logging.getLogger("moco")


@dataclass(frozen=True)
class Job:
    """One request: a model, a user turn, settings, and which sample of how many."""

    model: str
    prompt: str
    decoding: Decoding
    seed: int
    sample: int = 0


@dataclass(frozen=True)
class Reply:
    """A response with its cost.

    Attributes:
        response: What methods see.
        cached: It was in the store.
        seconds: Share of its batch when first generated.
    """

    response: Response
    cached: bool
    seconds: float


@dataclass(frozen=True)
class _Prepared:
    job: Job
    key: str
    seed: int | None
    tokens: tuple[int, ...]
    flag: str
    thinking: bool


class Inference:
    """Answers requests to any of several models.

    Args:
        models: Resolved models by name.
        settings: Engine settings by model name.
        store: Where replies are kept.
        root: Folder that holds `results`.
    """

    def __init__(
        self,
        models: Mapping[str, ModelInfo],
        settings: Mapping[str, EngineSettings],
        store: GenerationStore,
        root: Path,
    ) -> None:
        self._models = dict(models)
        self._settings = dict(settings)
        self._store = store
        self._root = root
        self._renderers: dict[str, Renderer] = {}
        self.room = EngineRoom(root)

    def add(self, info: ModelInfo, settings: EngineSettings) -> None:
        """Make a further model known, for instance a candidate of a search."""
        self._models[info.name] = info
        self._settings[info.name] = settings

    def remove(self, name: str) -> None:
        """Forget a model and unload it."""
        info = self._models.pop(name)
        self._renderers.pop(name, None)
        self.room.drop(info.fingerprint)

    def info(self, name: str) -> ModelInfo:
        """Return a known model.

        Raises:
            RequestError: It is not known to this job.
        """
        if name not in self._models:
            raise RequestError(f"model {name!r} is not part of this job", remedy=did_you_mean(name, self._models))
        return self._models[name]

    def settings(self, name: str) -> EngineSettings:
        """Return the engine settings of a known model."""
        self.info(name)
        return self._settings[name]

    def run(self, jobs: Sequence[Job], label: str = "requests") -> list[Reply]:
        """Return replies in the order of `jobs`, working model by model.

        Raises:
            WorkError: A reply is still missing after generation.
        """
        replies: dict[int, Reply] = {}
        by_model: dict[str, list[int]] = {}
        for index, job in enumerate(jobs):
            by_model.setdefault(job.model, []).append(index)
        for model, indices in by_model.items():
            prepared = [self._prepare(jobs[index]) for index in indices]
            stored, fresh = self._fetch(model, prepared, label)
            for index, item in zip(indices, prepared, strict=True):
                replies[index] = _reply(item, stored[item.key], item.key not in fresh)
        return [replies[index] for index in range(len(jobs))]

    def _prepare(self, job: Job) -> _Prepared:
        info = self.info(job.model)
        if job.model not in self._renderers:
            self._renderers[job.model] = Renderer(info, self._root)
        rendered = self._renderers[job.model].render(job.prompt, job.decoding.max_new_tokens)
        engine = self._settings[job.model].key()
        key, seed = request_key(
            info.fingerprint, prompt_digest(rendered.tokens), job.decoding, engine, job.seed, job.sample
        )
        return _Prepared(job, key, seed, rendered.tokens, rendered.flag, rendered.thinking)

    def _fetch(self, model: str, prepared: Sequence[_Prepared], label: str) -> tuple[dict[str, Stored], set[str]]:
        info, settings = self._models[model], self._settings[model]
        partition = self._store.partition(info.fingerprint)
        stored = partition.find(item.key for item in prepared)
        missing = {item.key: item for item in prepared if item.key not in stored}
        log.info("%s: %d %s, %d in the store", model, len(prepared), label, len(prepared) - len(missing))
        if not missing:
            return stored, set()
        requests = [TokenRequest(key, item.tokens, item.job.decoding, item.seed) for key, item in missing.items()]
        progress = Progress(f"{model}: generated", len(requests))
        engine = self.room.engine(info, settings)
        with partition.writer(settings.flush_seconds) as writer:
            for row in engine.generate(requests):
                writer.add(row)
                stored[row.key] = row
                progress.advance()
        log.info("%s", progress.summary())
        lost = [key for key in missing if key not in stored]
        if lost:
            raise WorkError(f"{len(lost)} replies are missing after generation", where=model, remedy="run again")
        return stored, set(missing)


def _reply(item: _Prepared, row: Stored, cached: bool) -> Reply:
    text, thought = visible_text(row.text, thinking=item.thinking)
    response = Response(
        text=text,
        key=row.key,
        finish=row.finish,
        thought=thought,
        prompt_flag=item.flag,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=len(row.tokens),
        mean_logprob=round(sum(row.logprobs) / len(row.logprobs), 6) if row.logprobs else None,
    )
    return Reply(response, cached, row.seconds)
