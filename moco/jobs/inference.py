"""Requests to replies, through the store: only what is missing loads a model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from math import fsum
from pathlib import Path
from typing import TypeVar

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.engines.base import LiveEngine, MeasureRequest, Pooling, ServedRequest, TextRequest, TokenRequest
from moco.engines.render import Renderer
from moco.engines.responses import Response
from moco.engines.served.turn import one_at_a_time
from moco.engines.thoughts import visible_text
from moco.errors import RequestError
from moco.jobs.fetch import fetch
from moco.jobs.performance import Accounts
from moco.jobs.resident import ResidentEngines
from moco.models.info import ModelInfo
from moco.registry import did_you_mean
from moco.scoring.base import Rating
from moco.store.generations import GenerationStore, Measured, Partition, Row, Stored, StoredReply
from moco.store.keys import measure_key, messages_digest, prompt_digest, request_key, text_key

R = TypeVar("R")

ENCODER_POSITIONS = 512
"""Positions that an encoder reads, and that the original pads every text to."""

_MEASURES = {"reward": "rate replies", "embed": "map texts to vectors"}

SERVED = {"kind": "server"}
"""Identity of the engine of every served model: what a server computes with is not known."""


@dataclass(frozen=True)
class Job:
    """One request: a model, a user turn, settings, and which sample of how many."""

    model: str
    prompt: str
    decoding: Decoding
    seed: int
    sample: int = 0


@dataclass(frozen=True)
class TextJob:
    """A given text whose log-probability after a user turn is wanted."""

    model: str
    prompt: str
    text: str


@dataclass(frozen=True)
class ScoredText:
    """A text with its log-probabilities.

    Attributes:
        stored: Token ids and log-probabilities.
        prompt_flag: `ok`, or `truncated` when the prompt's beginning was cut to fit the context.
        cached: It was in the store.
    """

    stored: StoredReply
    prompt_flag: str
    cached: bool


@dataclass(frozen=True)
class Reply:
    """A response with its cost.

    Attributes:
        response: What methods see.
        cached: It was in the store.
        seconds: Share of its batch when first generated.
        failed: Why there is none; the response then is empty.
    """

    response: Response
    cached: bool
    seconds: float
    failed: str | None = None


@dataclass(frozen=True)
class _Prepared:
    job: Job
    key: str
    seed: int | None
    flag: str = "ok"
    thinking: bool = False
    tokens: tuple[int, ...] = ()


class Inference:
    """Answers requests to any of several models.

    Args:
        models: Resolved models by name.
        settings: Engine settings by model name.
        store: Where replies are kept.
        root: Folder that holds `results`.

    Attributes:
        parameters: Number of parameters of every model that was known at any time; None where it is not known.
        accounts: What every model did so far.
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
        self.store = store
        self._root = root
        self._renderers: dict[str, Renderer] = {}
        self.parameters = {name: info.parameters for name, info in models.items()}
        self.room = ResidentEngines(root, lambda: self._models.values())
        self.accounts = Accounts(self.room)

    def add(self, info: ModelInfo, settings: EngineSettings) -> None:
        """Make a further model known, for instance a candidate of a search."""
        self._models[info.name] = info
        self.parameters[info.name] = info.parameters
        self._settings[info.name] = settings

    def remove(self, name: str) -> None:
        """Forget a model and unload it."""
        info = self._models.pop(name)
        self._renderers.pop(name, None)
        self.room.drop(info.fingerprint)

    def knows(self, name: str) -> bool:
        """Return whether a model is known."""
        return name in self._models

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

    def renderer(self, name: str) -> Renderer:
        """Return what turns prompts of a known model into tokens."""
        if name not in self._renderers:
            self._renderers[name] = Renderer(self.info(name), self._root)
        return self._renderers[name]

    def live(self, names: Sequence[str]) -> list[LiveEngine]:
        """Return the loaded engines of several models, all in memory at once."""
        return self.room.together([(self.info(name), self._settings[name]) for name in names])

    def run(self, jobs: Sequence[Job], label: str = "requests", *, record: bool = False) -> list[Reply]:
        """Return replies in the order of `jobs`, working model by model.

        Args:
            jobs: What is asked.
            label: What it is, in the plural.
            record: Give a failed reply where a server gave none, instead of raising.

        Raises:
            WorkError: A reply is still missing after generation.
        """
        replies: dict[int, Reply] = {}
        by_model: dict[str, list[int]] = {}
        for index, job in enumerate(jobs):
            by_model.setdefault(job.model, []).append(index)
        for model, indices in by_model.items():
            prepared = [self._prepare(jobs[index]) for index in indices]
            failed: dict[str, str] = {}
            stored, fresh = self._fetch(model, prepared, label, failed if record else None)
            for index, item in zip(indices, prepared, strict=True):
                if item.key in failed:
                    replies[index] = Reply(Response("", item.key), False, 0.0, failed[item.key])
                    continue
                replies[index] = make_reply(stored[item.key], item.flag, item.thinking, cached=item.key not in fresh)
        return [replies[index] for index in range(len(jobs))]

    def _prepare(self, job: Job) -> _Prepared:
        info = self.info(job.model)
        if info.server is not None:
            prompt = messages_digest(job.prompt)
            key, seed = request_key(info.fingerprint, prompt, job.decoding, SERVED, job.seed, job.sample)
            return _Prepared(job, key, seed)
        rendered = self.renderer(job.model).render(job.prompt, job.decoding.max_new_tokens)
        engine = self._settings[job.model].key()
        key, seed = request_key(
            info.fingerprint, prompt_digest(rendered.tokens), job.decoding, engine, job.seed, job.sample
        )
        return _Prepared(job, key, seed, rendered.flag, rendered.thinking, rendered.tokens)

    def _fetch(
        self, model: str, prepared: Sequence[_Prepared], label: str, failed: dict[str, str] | None
    ) -> tuple[dict[str, StoredReply], set[str]]:
        if self.info(model).server is not None:
            asked = {
                item.key: ServedRequest(item.key, item.job.prompt, item.job.decoding, item.seed) for item in prepared
            }
            turn = one_at_a_time(self._replies(model).folder, model)
            return self._through_store(
                model, self._replies(model), asked, partial(self._ask, model), label, turn, failed
            )
        requests = {item.key: TokenRequest(item.key, item.tokens, item.job.decoding, item.seed) for item in prepared}
        return self._through_store(model, self._replies(model), requests, partial(self._generate, model), label)

    def _replies(self, model: str) -> Partition[StoredReply]:
        return self.store.partition(self.info(model).fingerprint)

    def _ask(self, model: str, missing: Sequence[ServedRequest]) -> Iterator[Stored]:
        return self.room.served(self.info(model), self._settings[model]).generate(missing)

    def _generate(self, model: str, missing: Sequence[TokenRequest]) -> Iterator[Stored]:
        return self.room.engine(self.info(model), self._settings[model]).generate(missing)

    def _through_store(
        self,
        model: str,
        partition: Partition[Row],
        requests: Mapping[str, R],
        make: Callable[[Sequence[R]], Iterator[Row]],
        label: str,
        turn: AbstractContextManager[object] | None = None,
        failed: dict[str, str] | None = None,
    ) -> tuple[dict[str, Row], set[str]]:
        with self.accounts.of(model) as account:
            stored, fresh = fetch(
                partition,
                requests,
                make,
                who=model,
                label=label,
                flush_seconds=self._settings[model].flush_seconds,
                turn=turn,
                failed=failed,
            )
            account.add(stored.values(), fresh)
        return stored, fresh

    def score_texts(self, jobs: Sequence[TextJob], label: str = "texts") -> list[ScoredText]:
        """Return the log-probabilities of texts in the order of `jobs`, working model by model.

        Texts of one model after one prompt are read after the same tokens, however long each of them is.
        """
        scored: dict[int, ScoredText] = {}
        by_model: dict[str, dict[str, list[int]]] = {}
        for index, job in enumerate(jobs):
            by_model.setdefault(job.model, {}).setdefault(job.prompt, []).append(index)
        for model, by_prompt in by_model.items():
            requests: dict[int, TextRequest] = {}
            flags: dict[int, str] = {}
            for prompt, indices in by_prompt.items():
                texts = {index: self.renderer(model).continuation(jobs[index].text) for index in indices}
                rendered = self.renderer(model).render(prompt, max(1, *map(len, texts.values())))
                for index, text in texts.items():
                    requests[index] = self._text_request(model, rendered.tokens, text)
                    flags[index] = rendered.flag
            by_key = {request.key: request for request in requests.values()}
            stored, fresh = self._through_store(
                model, self._replies(model), by_key, partial(self._score_texts, model), label
            )
            for index, request in requests.items():
                scored[index] = ScoredText(stored[request.key], flags[index], request.key not in fresh)
        return [scored[index] for index in range(len(jobs))]

    def _score_texts(self, model: str, missing: Sequence[TextRequest]) -> Iterator[Stored]:
        return self.room.engine(self.info(model), self._settings[model]).score_text(missing)

    def _text_request(self, model: str, prompt: tuple[int, ...], text: tuple[int, ...]) -> TextRequest:
        engine = self._settings[model].key()
        key = text_key(self.info(model).fingerprint, prompt_digest(prompt), prompt_digest(text), engine)
        return TextRequest(key, prompt, text)

    def reward(self, model: str, pairs: Sequence[tuple[str, str]], limit: int | None = None) -> list[Rating]:
        """Rate replies.

        Args:
            model: A reward model.
            pairs: Prompts with replies.
            limit: Most tokens read of both together; None: as many as the model can read.

        Raises:
            RequestError: The model rates no replies.
        """
        info, renderer = self._offering(model, "reward"), self.renderer(model)
        most = info.context if limit is None else min(limit, info.context)
        requests = [
            self._measure_request("reward", model, renderer.conversation(prompt, reply, most))
            for prompt, reply in pairs
        ]
        measured = self._measured(
            model,
            requests,
            lambda missing: self.room.reward_model(info, self._settings[model]).reward(missing),
            "rewards",
        )
        lengths = [len(renderer.continuation(reply)) for _, reply in pairs]
        return [Rating(one.values[0], length) for one, length in zip(measured, lengths, strict=True)]

    def embed(self, model: str, texts: Sequence[str], pooling: Pooling = "mask") -> list[Sequence[float]]:
        """Return the vector of each text, of the encoder's hidden size.

        Args:
            model: An encoder.
            texts: At most 512 tokens of each are read.
            pooling: Mean over the text (`mask`), or over all positions of a text padded to full length (`padded`).

        Raises:
            RequestError: The model makes no vectors.
        """
        info, renderer = self._offering(model, "embed"), self.renderer(model)
        most = min(ENCODER_POSITIONS, info.context)
        positions = most if pooling == "padded" else 0
        requests = [
            self._measure_request("embed", model, renderer.text(text, most), pooling, positions) for text in texts
        ]
        measured = self._measured(
            model,
            requests,
            lambda missing: self.room.encoder(info, self._settings[model]).embed(missing),
            "vectors",
        )
        return [one.values for one in measured]

    def _offering(self, model: str, what: str) -> ModelInfo:
        info = self.info(model)
        if what not in info.capabilities:
            raise RequestError(
                f"does not {_MEASURES[what]}", where=f"models.{model}", remedy=f"name a model of purpose: {what}"
            )
        return info

    def _measure_request(
        self, what: str, model: str, tokens: tuple[int, ...], pooling: Pooling | None = None, positions: int = 0
    ) -> MeasureRequest:
        settings = {"pooling": pooling, "positions": positions} if pooling else {}
        engine = self._settings[model].key()
        key = measure_key(what, self.info(model).fingerprint, prompt_digest(tokens), settings, engine)
        return MeasureRequest(key, tokens, pooling, positions)

    def _measured(
        self,
        model: str,
        requests: Sequence[MeasureRequest],
        make: Callable[[Sequence[MeasureRequest]], Iterator[Measured]],
        label: str,
    ) -> list[Measured]:
        by_key = {request.key: request for request in requests}
        partition = self.store.measures(self.info(model).fingerprint)
        stored, _ = self._through_store(model, partition, by_key, make, label)
        return [stored[request.key] for request in requests]


def make_reply(row: StoredReply, flag: str, thinking: bool, *, cached: bool) -> Reply:
    """Return a stored reply as methods see it."""
    text, thought = visible_text(row.text, thinking=thinking)
    response = Response(
        text=text,
        key=row.key,
        finish=row.finish,
        thought=thought,
        prompt_flag=flag,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        mean_logprob=round(fsum(row.logprobs) / len(row.logprobs), 6) if row.logprobs else None,
    )
    return Reply(response, cached, row.seconds)
