"""The embedded engine: a transformers model, length-sorted batches with a KV cache, rows leaving as they finish."""

import time
from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from moco.config.engine import EngineSettings
from moco.decoding.loop import DECIMALS, Row, Steps, decode_batch
from moco.decoding.stepper import Tally, not_finite
from moco.engines.agreement import WAYS, first_line, way_of_stepping
from moco.engines.base import TextRequest, TokenRequest
from moco.engines.memory import work_in_batches
from moco.engines.stopping import stop_ids
from moco.engines.thoughts import ReplyText
from moco.errors import RequestError
from moco.models.info import ModelInfo
from moco.models.tokenizer import load_tokenizer
from moco.store.generations import Stored


def device_of(settings: EngineSettings) -> torch.device:
    """Return where a model runs; on the CPU with one thread, so that results do not depend on the machine's cores."""
    kind = settings.device
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cpu":
        torch.set_num_threads(1)
    return torch.device(kind)


def place(info: ModelInfo, settings: EngineSettings) -> str:
    """Return how errors name a model and what it computes with."""
    return f"models.{info.name} ({info.family}, dtype {settings.dtype}, attention {settings.attention})"


def loading(info: ModelInfo, settings: EngineSettings) -> dict[str, Any]:
    """Return the settings with which transformers loads a model."""
    chosen: dict[str, Any] = {"dtype": getattr(torch, settings.dtype), "trust_remote_code": info.trust_remote_code}
    if settings.attention != "auto":
        chosen["attn_implementation"] = settings.attention
    if settings.dtype == "float64":
        # Grouped kernels for experts have no float64; architectures without experts take no notice.
        chosen["experts_implementation"] = "eager"
    return chosen


def load_model(info: ModelInfo, root: Path, settings: EngineSettings, device: torch.device) -> Any:
    """Return a causal language model in inference mode; an adapter is merged into its base in memory."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()

    dtype: torch.dtype = getattr(torch, settings.dtype)

    def load(folder: Path, dtype: torch.dtype) -> Any:
        try:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=info.trust_remote_code)
            if config.is_encoder_decoder:
                raise ValueError("it reads with an encoder")
            return AutoModelForCausalLM.from_pretrained(folder, **{**loading(info, settings), "dtype": dtype})
        except (ValueError, ImportError) as error:
            what = f"cannot be loaded as a causal language model: {first_line(error)}"
            remedy = "use another model, engine.dtype or engine.attention, or an endpoint (kind: server)"
            raise RequestError(what, where=place(info, settings), remedy=remedy) from None

    if info.base is None:
        model = load(info.folder(root), dtype)
    else:
        from moco.models.adapters import load_adapted

        model = load_adapted(info, root, dtype, load)
    return model.to(device=device, dtype=dtype).eval()


class TransformersEngine:
    """One loaded model.

    Args:
        info: The model.
        root: Folder that holds `results`.
        settings: Engine settings; only their identity part can change a result.
    """

    def __init__(self, info: ModelInfo, root: Path, settings: EngineSettings) -> None:
        self._settings, self._name, self._tally = settings, info.name, Tally()
        self.device = device_of(settings)
        self.model = load_model(info, root, settings, self.device)
        folder = info.tokenizer_folder(root)
        self.tokenizer = load_tokenizer(folder, trust_remote_code=info.trust_remote_code)
        self._text = ReplyText(self.tokenizer)
        self.stop_ids = stop_ids(self.tokenizer, self.model.config, getattr(self.model, "generation_config", None))
        self.top_logprobs = settings.top_logprobs
        self.memory_bytes = sum(p.numel() * p.element_size() for p in self.model.parameters())
        self._where = place(info, settings)
        self._steps = way_of_stepping(self.model, self.device, len(self.tokenizer), info.context, self._where, root)

    @property
    def read_tokens(self) -> int:
        """Tokens of prompts and given texts that it has read so far, without padding; what is shared counts once."""
        return self._tally.tokens

    def close(self) -> None:
        """Free the memory."""
        del self.model
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def stepper(self, prompts: Sequence[Sequence[int]]) -> Steps:
        """Return the state of the model over a batch of prompts.

        Raises:
            RequestError: A prompt holds a token that the model has no embedding for.
        """
        rows = self.model.get_input_embeddings().weight.shape[0]
        unknown = next((token for prompt in prompts for token in prompt if token >= rows), None)
        if unknown is not None:
            piece = self.tokenizer.convert_ids_to_tokens(unknown)
            what = f"its tokenizer knows token {unknown} ({piece!r}), the model has embeddings for {rows} tokens only"
            raise RequestError(
                what, where=f"models.{self._name}", remedy="give it the tokenizer that it was saved with"
            )
        return WAYS[self._steps](self.model, self.device, prompts, self._where, self._tally)

    def generate(self, requests: Sequence[TokenRequest]) -> Iterator[Stored]:
        """Yield replies as they finish."""
        rows, tokens = self._settings.batch_rows, self._settings.batch_tokens
        yield from work_in_batches(requests, rows, tokens, self._generate_batch, who=self._name)

    def _generate_batch(self, batch: Sequence[TokenRequest]) -> Iterator[Stored]:
        # Prompts of like length are read together, and equal prompts once.
        ordered = sorted(batch, key=lambda request: (-len(request.prompt), request.prompt))
        rows = [Row(request.key, request.prompt, request.decoding, request.seed) for request in ordered]
        prompts = [row.prompt for row in rows]
        finished = decode_batch(
            lambda: [self.stepper(prompts)], lambda logits: logits[0], rows, self.stop_ids, self.top_logprobs
        )
        yield from (self.stored(row) for row in finished)

    def stored(self, row: Row) -> Stored:
        """Return a finished reply as it is stored."""
        return Stored(
            key=row.key,
            text=self._text.of(row.tokens),
            finish="stop" if row.stopped else "length",
            prompt_tokens=len(row.prompt),
            tokens=row.tokens,
            logprobs=row.logprobs,
            top_k=len(row.top_ids) // len(row.tokens),
            top_ids=row.top_ids,
            top_logprobs=row.top_logprobs,
            tail=row.tail,
            seconds=row.seconds,
        )

    def score_text(self, requests: Sequence[TextRequest]) -> Iterator[Stored]:
        """Yield texts with the log-probability of each token; a prompt that several of them share is read once."""
        rows, tokens = self._settings.batch_rows, self._settings.batch_tokens
        groups = _by_prompt(requests, rows, tokens)
        # Batches count groups; the largest one says how many of them have no more texts than a batch has rows.
        together = max(1, rows // max((len(group.texts) for group in groups), default=1))
        yield from work_in_batches(
            groups, together, tokens, self._score_batch, who=self._name, split=_SharedPrompt.halves
        )

    def _score_batch(self, batch: Sequence["_SharedPrompt"]) -> Iterator[Stored]:
        started = time.perf_counter()
        texts = [text for group in batch for text in group.texts]
        with torch.inference_mode():
            stepper = self.stepper([group.prompt for group in batch])
            follows = [place for place, group in enumerate(batch) for _ in group.texts]
            scored = stepper.score([text.continuation for text in texts], follows)
        seconds = (time.perf_counter() - started) / len(texts)
        for text, logprobs in zip(texts, scored, strict=True):
            if not all(map(isfinite, logprobs)):
                raise not_finite(self._where)
            words = self.tokenizer.decode(text.continuation, skip_special_tokens=True)
            yield text.scored(words, [round(value, DECIMALS) for value in logprobs], seconds)


class _SharedPrompt:
    """Texts that follow one prompt; in a batch they take one row each.

    Attributes:
        key: Of one of them.
        width: Padded tokens that they occupy.
    """

    def __init__(self, prompt: tuple[int, ...], texts: Sequence[TextRequest]) -> None:
        self.prompt, self.texts = prompt, sorted(texts, key=lambda text: (-text.width, text.key))
        self.key = self.texts[0].key
        self.width = len(texts) * self.texts[0].width

    def parts(self, size: int) -> list["_SharedPrompt"]:
        """Return the texts in parts of some texts each; each of them reads the prompt again."""
        firsts = range(0, len(self.texts), size)
        return [_SharedPrompt(self.prompt, self.texts[first : first + size]) for first in firsts]

    def halves(self) -> list["_SharedPrompt"]:
        """Return the texts in two parts, or in one where there is only one."""
        return self.parts((len(self.texts) + 1) // 2)


def _by_prompt(requests: Sequence[TextRequest], rows: int, tokens: int) -> list[_SharedPrompt]:
    """Return texts by the prompt that they follow, in parts where there are more of them than a batch takes.

    Args:
        requests: In any order.
        rows: Most texts of a part.
        tokens: Most padded tokens of a part; a single longer text is a part of its own.
    """
    shared: dict[tuple[int, ...], list[TextRequest]] = {}
    for request in requests:
        shared.setdefault(request.prompt, []).append(request)
    groups = [_SharedPrompt(prompt, texts) for prompt, texts in shared.items()]
    return [part for group in groups for part in group.parts(max(1, min(rows, tokens // group.texts[0].width)))]
