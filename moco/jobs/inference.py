"""Requests to replies, through the store: only what is missing loads a model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import fsum
from pathlib import Path
from typing import Any, TypeVar

from moco.config.engine import EngineSettings
from moco.engines.base import Engine, LiveEngine, MeasureRequest, Pooling, ServedRequest, TextRequest, TokenRequest
from moco.engines.render import Rendered, Renderer, for_server
from moco.engines.responses import Response
from moco.engines.served.turn import one_at_a_time
from moco.engines.thoughts import visible_text
from moco.errors import RequestError
from moco.jobs.fetch import fetch
from moco.jobs.performance import Accounts
from moco.jobs.resident import ResidentEngines
from moco.methods.base import Choice, Request
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
class ScoredText:
    """A text with its log-probabilities.

    Attributes:
        stored: Token ids and log-probabilities.
        prompt_flag: As of a `Response`.
        cached: It was in the store.
        prompt_cut_tokens: Likewise.
        sent: Likewise.
    """

    stored: StoredReply
    prompt_flag: str
    cached: bool
    prompt_cut_tokens: int = 0
    sent: str | None = None


@dataclass(frozen=True)
class Reply:
    """A response with its cost.

    Attributes:
        response: What methods see.
        cached: It was in the store.
        seconds: Share of its batch when first generated.
        failed: Why there is none; the response then is empty.
        read: Of a reply that models wrote together, the prompt tokens of each model that was read, by name.
    """

    response: Response
    cached: bool
    seconds: float
    failed: str | None = None
    read: Mapping[str, int] = field(default_factory=dict)


class _Counted:
    """A model that is loaded when it is first asked, and what it has read since.

    Args:
        load: Loads it.
    """

    def __init__(self, load: Callable[[], Engine]) -> None:
        self._load, self._before = load, 0

    @cached_property
    def engine(self) -> Engine:
        engine = self._load()
        self._before = engine.read_tokens
        return engine

    def read(self) -> int:
        """Return the tokens of prompts and given texts that were read."""
        return self.engine.read_tokens - self._before if "engine" in self.__dict__ else 0


def _generate(loaded: _Counted, missing: Sequence[Any]) -> Iterator[Stored]:
    return loaded.engine.generate(missing)


def _score_text(loaded: _Counted, missing: Sequence[TextRequest]) -> Iterator[Stored]:
    return loaded.engine.score_text(missing)


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
        self.resident = ResidentEngines(root, lambda: self._models.values())
        self.accounts = Accounts(self.resident)

    def add(self, info: ModelInfo, settings: EngineSettings) -> None:
        """Make a further model known, for instance a candidate of a search."""
        self._models[info.name] = info
        self.parameters[info.name] = info.parameters
        self._settings[info.name] = settings

    def remove(self, name: str) -> None:
        """Forget a model and unload it."""
        info = self._models.pop(name)
        self._renderers.pop(name, None)
        self.resident.drop(info.fingerprint)

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
        return self.resident.together([(self.info(name), self._settings[name]) for name in names])

    def run(
        self, requests: Sequence[Request], seed: int, label: str = "requests", *, record: bool = False
    ) -> list[Reply]:
        """Return replies in the order of the requests, working model by model.

        Args:
            requests: What is asked; members are names of models, and each request brings its decoding settings.
            seed: Of the run.
            label: What they are, in the plural.
            record: Give a failed reply where a server gave none, instead of raising.

        Raises:
            WorkError: A reply is still missing after generation.
        """
        replies: dict[int, Reply] = {}
        for model, places in _by_model(requests).items():
            rendered = [self._render(model, requests[place], seed) for place in places]
            failed: dict[str, str] = {}
            asked = [request for request, _ in rendered]
            stored, fresh = self._fetch(model, asked, label, failed if record else None)
            for place, (request, prompt) in zip(places, rendered, strict=True):
                key = request.key
                replies[place] = (
                    Reply(Response("", key), False, 0.0, failed[key])
                    if key in failed
                    else make_reply(stored[key], prompt, cached=key not in fresh)
                )
        return [replies[place] for place in range(len(requests))]

    def _render(self, model: str, request: Request, seed: int) -> tuple[TokenRequest | ServedRequest, Rendered]:
        info, decoding, prompt = self.info(model), request.decoding, request.prompt
        assert decoding is not None
        if info.server is not None:
            sent = for_server(prompt, info.context, decoding.max_new_tokens)
            messages = messages_digest(sent.text)
            key, own = request_key(info.fingerprint, messages, decoding, SERVED, seed, request.sample)
            flag = "shortened" if sent.left_out else "ok"
            return ServedRequest(key, sent.text, decoding, own), Rendered((), flag, False, sent.text, sent.left_out)
        rendered = self.renderer(model).render(prompt, decoding.max_new_tokens)
        tokens, engine = prompt_digest(rendered.tokens), self._settings[model].key()
        key, own = request_key(info.fingerprint, tokens, decoding, engine, seed, request.sample)
        return TokenRequest(key, rendered.tokens, decoding, own), rendered

    def _fetch(
        self,
        model: str,
        requests: Sequence[TokenRequest | ServedRequest],
        label: str,
        failed: dict[str, str] | None,
    ) -> tuple[dict[str, StoredReply], set[str]]:
        by_key, replies = {request.key: request for request in requests}, self._replies(model)
        if self.info(model).server is not None:
            turn = one_at_a_time(replies.folder, model)
            return self._through_store(model, replies, by_key, partial(self._ask, model), label, turn, failed)
        loaded = self._counted(model)
        return self._through_store(model, replies, by_key, partial(_generate, loaded), label, read=loaded.read)

    def _replies(self, model: str) -> Partition[StoredReply]:
        return self.store.partition(self.info(model).fingerprint)

    def _ask(self, model: str, missing: Sequence[Any]) -> Iterator[Stored]:
        return self.resident.served(self.info(model), self._settings[model]).generate(missing)

    def _counted(self, model: str) -> _Counted:
        return _Counted(lambda: self.resident.engine(self.info(model), self._settings[model]))

    def _through_store(
        self,
        model: str,
        partition: Partition[Row],
        requests: Mapping[str, R],
        make: Callable[[Sequence[R]], Iterator[Row]],
        label: str,
        turn: AbstractContextManager[object] | None = None,
        failed: dict[str, str] | None = None,
        read: Callable[[], int] | None = None,
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
                read=read,
            )
            account.add(stored.values(), fresh, None if read is None else read())
        return stored, fresh

    def score_texts(self, choices: Sequence[Choice], label: str = "texts") -> list[list[ScoredText]]:
        """Return the log-probabilities of the options of each choice, working model by model.

        Texts of one model after one prompt are read after the same tokens, however long each of them is.

        Args:
            choices: Prompts with the texts that may follow; members are names of models.
            label: What the texts are, in the plural.
        """
        scored: dict[int, list[ScoredText]] = {}
        for model, places in _by_model(choices).items():
            renderer = self.renderer(model)
            by_prompt: dict[str, list[int]] = {}
            for place in places:
                by_prompt.setdefault(choices[place].prompt, []).append(place)
            asked: dict[int, tuple[list[TextRequest], Rendered]] = {}
            for prompt, same in by_prompt.items():
                texts = {place: [renderer.continuation(text) for text in choices[place].options] for place in same}
                longest = max((len(text) for each in texts.values() for text in each), default=0)
                rendered = renderer.render(prompt, max(1, longest))
                for place, each in texts.items():
                    requests = [self._text_request(model, rendered.tokens, text) for text in each]
                    asked[place] = requests, rendered
            by_key = {request.key: request for requests, _ in asked.values() for request in requests}
            loaded = self._counted(model)
            ask = partial(_score_text, loaded)
            stored, fresh = self._through_store(model, self._replies(model), by_key, ask, label, read=loaded.read)
            for place, (requests, read) in asked.items():
                sent = read.text if read.left_out else None
                scored[place] = [
                    ScoredText(stored[request.key], read.flag, request.key not in fresh, read.left_out, sent)
                    for request in requests
                ]
        return [scored[place] for place in range(len(choices))]

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
            lambda missing: self.resident.reward_model(info, self._settings[model]).reward(missing),
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
            lambda missing: self.resident.encoder(info, self._settings[model]).embed(missing),
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


def _by_model(requests: Sequence[Request | Choice]) -> dict[str, list[int]]:
    """Return the places of requests by the name of the model that they ask."""
    places: dict[str, list[int]] = {}
    for place, request in enumerate(requests):
        places.setdefault(str(request.member), []).append(place)
    return places


def make_reply(row: StoredReply, prompt: Rendered, *, cached: bool) -> Reply:
    """Return a stored reply to a rendered prompt as methods see it."""
    text, thought = visible_text(row.text, thinking=prompt.thinking)
    response = Response(
        text=text,
        key=row.key,
        finish=row.finish,
        thought=thought,
        prompt_flag=prompt.flag,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        mean_logprob=round(fsum(row.logprobs) / len(row.logprobs), 6) if row.logprobs else None,
        prompt_cut_tokens=prompt.left_out,
        sent=prompt.text if prompt.left_out else None,
    )
    return Reply(response, cached, row.seconds)
