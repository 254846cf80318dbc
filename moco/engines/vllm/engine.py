"""vLLM: one worker process per base model, which serves the base and adapters on it."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from moco.config.engine import EngineSettings
from moco.engines.base import TextRequest, TokenRequest
from moco.engines.stopping import stop_ids
from moco.engines.thoughts import ReplyText
from moco.engines.vllm.environment import VllmEnvironment
from moco.engines.vllm.process import WORKER, Process
from moco.errors import RequestError
from moco.models.info import ModelInfo
from moco.models.weights import output_layer, parameters_of, tensor_headers, weight_files
from moco.records import read_json
from moco.store.generations import Stored

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks of adapters that vLLM reserves memory for."""

_BEYOND_VLLM = (
    "use_dora",
    "lora_bias",
    "modules_to_save",
    "trainable_token_indices",
    "rank_pattern",
    "alpha_pattern",
    "target_parameters",
    "layer_replication",
    "alora_invocation_tokens",
)
"""Settings of adapters that only PEFT honours."""

_ON_A_CHANGED_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")

_MAY_BE_TIED = re.compile(r"\.(lm_head|embed_out|embed_tokens|wte|embed_in|word_embeddings)\.lora_")

_AT_ONCE = 2048
"""Requests that a worker gets at once: enough to keep it busy, and few enough for a message."""

_NEXT_AT_ONCE = 64
"""Tokens whose log-probabilities after one prompt are asked for at once; vLLM takes no more than 128."""

_SEED_BITS = 63
"""Of a request's 64: vLLM's seeds are signed."""

_R = TypeVar("_R", "TokenRequest", "_Step")

_DROPPED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_PRELOAD")


def base_fingerprint(info: ModelInfo) -> str:
    """Return the fingerprint of the weights that a worker loads for a model: its own, or its base's."""
    return info.fingerprint if info.base is None else str(info.base["fingerprint"])


@dataclass(frozen=True)
class Extent:
    """How much a worker can serve, which is fixed when it starts.

    Attributes:
        context: Longest prompt and reply together.
        rank: Highest rank of an adapter; 0: no adapters.
        adapters: How many of them are kept in memory.
    """

    context: int
    rank: int
    adapters: int

    @classmethod
    def of(cls, models: Iterable[ModelInfo], root: Path) -> "Extent":
        """Return what models on one base need together.

        Raises:
            RequestError: An adapter's rank is too high.
        """
        models = list(models)
        adapters = [info for info in models if info.base is not None]
        ranks = [_rank(info, root) for info in adapters]
        return cls(max(info.context for info in models), max(ranks, default=0), len(adapters))

    def covers(self, other: "Extent") -> bool:
        """Return whether a worker of this extent serves what needs another; adapters take turns in memory."""
        return self.context >= other.context and self.rank >= other.rank


def _rank(info: ModelInfo, root: Path) -> int:
    config = read_json(info.folder(root) / "adapter_config.json")
    unknown = _beyond_vllm(config, info, root)
    if unknown is not None:
        raise _not_served(f"adapter with {unknown}, which vllm does not take into account", info)
    rank = int(config["r"])
    for known in _RANKS:
        if rank <= known:
            return known
    raise _not_served(f"adapter of rank {rank}, vllm takes at most {_RANKS[-1]}", info)


def _not_served(what: str, info: ModelInfo) -> RequestError:
    remedy = "give this model engine: {kind: transformers}"
    return RequestError(what, where=f"models.{info.name}", remedy=remedy)


def _beyond_vllm(config: Mapping[str, Any], info: ModelInfo, root: Path) -> str | None:
    """Return what an adapter has that vLLM would refuse or silently compute without."""
    how = config.get("init_lora_weights")
    if isinstance(how, str) and how.lower().startswith(_ON_A_CHANGED_BASE):
        return f"init_lora_weights: {how}"
    if config.get("bias", "none") != "none":
        return f"bias: {config['bias']}"
    for name in _BEYOND_VLLM:
        if config.get(name):
            return str(name)
    names = tensor_headers(info.folder(root)) if weight_files(info.folder(root)) else {}
    whole = next((name for name in names if ".lora_" not in name), None)
    if whole is not None:
        return f"the whole layer {whole}"
    shared = next((name for name in names if _MAY_BE_TIED.search(name)), None)
    if shared is not None and output_layer(parameters_of(info.base_folder(root))) is None:
        return f"a change of tied embeddings ({shared})"
    return None


class VllmWorker:
    """The process that runs one base model.

    Args:
        info: A model on that base.
        root: Folder that holds `results`.
        settings: Engine settings.
        environment: Where vLLM is.
        extent: What it must be able to serve.

    Attributes:
        memory_bytes: What weights and cache occupy.
        gpu_share: Share of a GPU's memory; 0 on the CPU.
        version: Of vLLM.
    """

    def __init__(
        self, info: ModelInfo, root: Path, settings: EngineSettings, environment: VllmEnvironment, extent: Extent
    ) -> None:
        self._root, self.settings, self._extent = root, settings, extent
        self._adapters: dict[str, int] = {}
        self._models: dict[str, VllmModel] = {}
        start = {
            "model": str(info.base_folder(root).absolute()),
            "trust_remote_code": info.trust_remote_code,
            "dtype": settings.dtype,
            "context": extent.context,
            "rows": settings.batch_rows,
            "top_logprobs": settings.top_logprobs,
            "tensor_parallel": settings.tensor_parallel,
            "compile": settings.compile,
            "cache_gb": settings.cache_gb,
            "gpu_share": settings.gpu_share,
            "lora_rank": extent.rank,
            "loras": max(1, extent.adapters),
        }
        command = [str(environment.python), "-I", "-u", str(WORKER)]
        self.process = Process(command, _variables(settings), f"models.{info.name}", start)
        self.version: str = self.process.ready["version"]
        self.gpu_share = settings.gpu_share if self.process.ready["device"] == "gpu" else 0.0
        taken = self.process.ready["memory_bytes"]
        self.memory_bytes = needed_bytes(info, settings) if taken is None else int(taken * settings.gpu_share)

    def serves(self, extent: Extent) -> bool:
        """Return whether it runs and can serve an extent."""
        return self.process.alive and self._extent.covers(extent)

    def model(self, info: ModelInfo) -> "VllmModel":
        """Return the base, or an adapter on it."""
        if info.fingerprint not in self._models:
            self._models[info.fingerprint] = VllmModel(self, info, self._root)
        return self._models[info.fingerprint]

    def adapter(self, info: ModelInfo) -> dict[str, Any] | None:
        """Return an adapter as messages name it; None for the base."""
        if info.base is None:
            return None
        number = self._adapters.setdefault(info.fingerprint, len(self._adapters) + 1)
        return {"id": number, "name": info.fingerprint, "path": str(info.folder(self._root).absolute())}

    def close(self) -> None:
        """End the process."""
        self.process.close()


def needed_bytes(info: ModelInfo, settings: EngineSettings) -> int:
    """Return what weights and cache of a worker occupy on the CPU."""
    return (info.parameters or 0) * settings.bytes_per_number + int(settings.cache_gb * 1e9)


def _variables(settings: EngineSettings) -> dict[str, str]:
    """Return the environment variables of a worker."""
    given = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    defaults = {"OMP_NUM_THREADS": "1", "VLLM_LOGGING_LEVEL": "WARNING", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    fixed = {
        # The scheduler works in the worker's own process: its order then depends on nothing but the requests.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_BATCH_INVARIANT": str(int(settings.reproducible == "batch")),
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if not settings.compile:
        fixed["TORCHDYNAMO_DISABLE"] = "1"
    return {**defaults, **given, **fixed}


class VllmModel:
    """A model that a worker serves.

    Args:
        worker: Runs its base.
        info: The model.
        root: Folder that holds `results`.

    Attributes:
        read_tokens: Tokens of prompts and given texts that were read so far; what vLLM had in its cache counts once.
    """

    def __init__(self, worker: VllmWorker, info: ModelInfo, root: Path) -> None:
        from transformers import AutoConfig, AutoTokenizer, GenerationConfig

        self._worker, self._info = worker, info
        self.read_tokens = 0
        self.memory_bytes = worker.memory_bytes
        self._settings = worker.settings
        trust = info.trust_remote_code
        self._tokenizer: Any = AutoTokenizer.from_pretrained(info.tokenizer_folder(root), trust_remote_code=trust)
        self._text = ReplyText(self._tokenizer)
        folder = info.base_folder(root)
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust)
        generation = (folder / "generation_config.json").is_file()
        self.stop_ids = stop_ids(
            self._tokenizer, config, GenerationConfig.from_pretrained(folder) if generation else None
        )

    def close(self) -> None:
        """Leave the worker to others: it ends with the engines that stay loaded."""

    def generate(self, requests: Sequence[TokenRequest]) -> Iterator[Stored]:
        """Yield replies as they finish."""
        stop = sorted(self.stop_ids)
        for request, reply in self._run(requests, lambda request: _generation(request, stop)):
            yield self._stored(request, reply)

    def score_text(self, requests: Sequence[TextRequest]) -> Iterator[Stored]:
        """Yield texts with the log-probability of each token; what several of them begin with is asked once."""
        for request in requests:
            if not request.continuation:
                yield self._scored(request, [], 0.0)
        found: dict[str, dict[int, tuple[float, float]]] = {}
        for step, reply in self._run(_steps(requests), _Step.message):
            logprobs = dict(zip(step.next_tokens, reply["logprobs"], strict=True))
            seconds = reply["seconds"] / len(step.texts)
            for text in step.texts:
                mine = found.setdefault(text.key, {})
                mine[step.place(text)] = (logprobs[text.continuation[step.place(text)]], seconds)
                if len(mine) == len(text.continuation):
                    own = [mine[place] for place in range(len(mine))]
                    yield self._scored(text, [value for value, _ in own], sum(share for _, share in own))
                    del found[text.key]

    def _run(self, requests: Sequence[_R], message: Callable[[_R], dict[str, Any]]) -> Iterator[tuple[_R, Any]]:
        """Yield requests with their replies; neighbours share as much of their prompts as possible."""
        ordered = sorted(requests, key=lambda request: (request.prompt, request.key))
        adapter = self._worker.adapter(self._info)
        for first in range(0, len(ordered), _AT_ONCE):
            asked = {str(place): request for place, request in enumerate(ordered[first : first + _AT_ONCE], first)}
            messages = [{"id": name, **message(request)} for name, request in asked.items()]
            for reply in self._worker.process.run(messages, self._settings.top_logprobs, adapter):
                self.read_tokens += reply["read"]
                yield asked[reply["id"]], reply

    def _scored(self, request: TextRequest, logprobs: Sequence[float], seconds: float) -> Stored:
        text = self._tokenizer.decode(request.continuation, skip_special_tokens=True)
        return request.scored(text, logprobs, seconds)

    def _stored(self, request: TokenRequest, reply: Mapping[str, Any]) -> Stored:
        return Stored(
            key=request.key,
            text=self._text.of(reply["tokens"]),
            finish=reply["finish"],
            prompt_tokens=len(request.prompt),
            tokens=reply["tokens"],
            logprobs=reply["logprobs"],
            top_k=len(reply["top_ids"]) // len(reply["tokens"]),
            top_ids=reply["top_ids"],
            top_logprobs=reply["top_logprobs"],
            tail=reply["tail"],
            seconds=reply["seconds"],
        )


@dataclass(frozen=True)
class _Step:
    """What is asked after some tokens: the log-probability of the next token of every text that begins with them.

    The prefix of a later step is cached, so each costs about one step of decoding.

    Attributes:
        prompt: Token ids of the prompt, and of the texts as far as they are equal.
        texts: That go on from here.
    """

    prompt: tuple[int, ...]
    texts: tuple[TextRequest, ...]

    @property
    def key(self) -> str:
        return self.texts[0].key

    def place(self, text: TextRequest) -> int:
        """Return which token of a text is next."""
        return len(self.prompt) - len(text.prompt)

    @property
    def next_tokens(self) -> list[int]:
        """Every next token once."""
        return list(dict.fromkeys(text.continuation[self.place(text)] for text in self.texts))

    def message(self) -> dict[str, Any]:
        return {"prompt": list(self.prompt), "next": self.next_tokens}


def _steps(texts: Sequence[TextRequest]) -> list[_Step]:
    """Return what has to be asked to score texts, each of their beginnings once."""
    following: dict[tuple[int, ...], list[TextRequest]] = {}
    for text in texts:
        for place in range(len(text.continuation)):
            following.setdefault((*text.prompt, *text.continuation[:place]), []).append(text)
    return [
        _Step(prompt, tuple(each[first : first + _NEXT_AT_ONCE]))
        for prompt, each in following.items()
        for first in range(0, len(each), _NEXT_AT_ONCE)
    ]


def _generation(request: TokenRequest, stop: Sequence[int]) -> dict[str, Any]:
    decoding = request.decoding
    return {
        "prompt": list(request.prompt),
        "max_tokens": decoding.max_new_tokens,
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "top_k": decoding.top_k,
        "repetition_penalty": decoding.repetition_penalty,
        "seed": None if request.seed is None else request.seed % 2**_SEED_BITS,
        "stop": list(stop),
    }
