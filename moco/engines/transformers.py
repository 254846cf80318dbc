"""The embedded engine: a transformers model, length-sorted batches with a KV cache, rows leaving as they finish."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from moco.config.engine import EngineSettings
from moco.engines.base import TokenRequest
from moco.engines.batching import batches
from moco.engines.sampling import Sampler, request_uniforms
from moco.models.info import ModelInfo
from moco.store.generations import Stored

_DECIMALS = 6


def _device(settings: EngineSettings) -> torch.device:
    if settings.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(settings.device)


def load_model(info: ModelInfo, root: Path, settings: EngineSettings, device: torch.device) -> Any:
    """Return a causal language model in inference mode; an adapter is merged into its base in memory."""
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()

    def load(folder: Path) -> Any:
        return AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, settings.dtype),
            attn_implementation=settings.attention,
            trust_remote_code=info.trust_remote_code,
        )

    if info.base is None:
        model = load(info.folder(root))
    else:
        from peft import PeftModel

        base = load(info.base_folder(root))
        model = PeftModel.from_pretrained(base, info.folder(root), torch_device="cpu").merge_and_unload()
    return model.to(device=device, dtype=getattr(torch, settings.dtype)).eval()


def stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return every token id that ends a reply: the tokenizer's, the configuration's, the generation configuration's."""
    found: set[int] = set()
    for source in (tokenizer, model.config, getattr(model, "generation_config", None)):
        ids = getattr(source, "eos_token_id", None)
        found.update(ids if isinstance(ids, (list, tuple)) else [] if ids is None else [ids])
    return frozenset(found)


class TransformersEngine:
    """One loaded model.

    Args:
        info: The model.
        root: Folder that holds `results`.
        settings: Engine settings; only their identity part can change a result.
    """

    def __init__(self, info: ModelInfo, root: Path, settings: EngineSettings) -> None:
        from transformers import AutoTokenizer

        self._settings = settings
        self.device = _device(settings)
        if self.device.type == "cpu":
            torch.set_num_threads(1)
        self.model = load_model(info, root, settings, self.device)
        folder = info.tokenizer_folder(root)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=info.trust_remote_code)
        self._stop = stop_ids(self.model, self.tokenizer)
        self._stop_tensor = torch.tensor(sorted(self._stop), dtype=torch.long, device=self.device)
        self.memory_bytes = sum(p.numel() * p.element_size() for p in self.model.parameters())

    def close(self) -> None:
        """Free the memory."""
        del self.model
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def generate(self, requests: Sequence[TokenRequest]) -> Iterator[Stored]:
        """Yield replies as they finish."""
        for batch in batches(requests, self._settings.batch_rows, self._settings.batch_tokens):
            yield from self._generate_batch(batch)

    def _generate_batch(self, batch: Sequence[TokenRequest]) -> Iterator[Stored]:
        with torch.inference_mode():
            yield from self._steps(batch)

    def _steps(self, batch: Sequence[TokenRequest]) -> Iterator[Stored]:
        from transformers import DynamicCache

        rows = [_Row(request) for request in batch]
        ids, mask = self._pad([request.prompt for request in batch])
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        last_position = positions[:, -1]
        sampler = Sampler([request.decoding for request in batch], self.device)
        seen = self._seen(batch) if sampler.penalised else None
        uniforms = self._uniforms(rows)
        limits = torch.tensor([row.request.decoding.max_new_tokens for row in rows], device=self.device)
        cache = DynamicCache(config=self.model.config)
        step = 0
        while rows:
            started = time.perf_counter()
            logits = self._forward(ids, mask, positions, cache)
            top = self._top(logits)
            drawn = sampler.draw(logits if seen is None else sampler.penalise(logits, seen), uniforms[:, step])
            chosen = top.logprobs_of(drawn)
            finished = torch.isin(drawn, self._stop_tensor) | (limits <= step + 1)
            if seen is not None:
                seen.scatter_(1, drawn[:, None], True)
            self._record(rows, drawn, chosen, top)
            share = (time.perf_counter() - started) / len(rows)
            for row in rows:
                row.seconds += share
            step += 1
            done = finished.tolist()
            yield from (self._stored(row) for row, end in zip(rows, done, strict=True) if end)
            ids, positions = drawn[:, None], (last_position + step)[:, None]
            mask = torch.cat([mask, mask.new_ones(mask.shape[0], 1)], dim=-1)
            if any(done):
                rows = [row for row, end in zip(rows, done, strict=True) if not end]
                keep = (~finished).nonzero().squeeze(-1)
                cache.batch_select_indices(keep)
                sampler.keep(keep)
                ids, positions, mask, last_position = ids[keep], positions[keep], mask[keep], last_position[keep]
                uniforms, limits = uniforms[keep], limits[keep]
                seen = None if seen is None else seen[keep]

    def _uniforms(self, rows: Sequence["_Row"]) -> torch.Tensor:
        steps = max(len(row.uniforms) for row in rows)
        padded = np.zeros((len(rows), steps))
        for index, row in enumerate(rows):
            padded[index, : len(row.uniforms)] = row.uniforms
        return torch.from_numpy(padded).to(self.device)

    def _pad(self, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(len(prompt) for prompt in prompts)
        ids = torch.zeros(len(prompts), width, dtype=torch.long)
        mask = torch.zeros(len(prompts), width, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        return ids.to(self.device), mask.to(self.device)

    def _seen(self, batch: Sequence[TokenRequest]) -> torch.Tensor:
        seen = torch.zeros(len(batch), self.model.config.vocab_size, dtype=torch.bool, device=self.device)
        for row, request in enumerate(batch):
            seen[row, list(request.prompt)] = True
        return seen

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any) -> torch.Tensor:
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits if logits.dtype == torch.float64 else logits.float()

    def _top(self, logits: torch.Tensor) -> "_Top":
        return _Top(logits, min(self._settings.top_logprobs, logits.shape[-1]))

    @staticmethod
    def _record(rows: Sequence["_Row"], drawn: torch.Tensor, chosen: torch.Tensor, top: "_Top") -> None:
        ids, logprobs, tail = top.ids.tolist(), top.logprobs.tolist(), top.tail.tolist()
        for index, (row, token, logprob) in enumerate(zip(rows, drawn.tolist(), chosen.tolist(), strict=True)):
            row.tokens.append(token)
            row.logprobs.append(round(logprob, _DECIMALS))
            row.top_ids.extend(ids[index])
            row.top_logprobs.extend(round(value, _DECIMALS) for value in logprobs[index])
            row.tail.append(round(tail[index], _DECIMALS))

    def _stored(self, row: "_Row") -> Stored:
        stopped = row.tokens[-1] in self._stop
        return Stored(
            key=row.request.key,
            text=self.tokenizer.decode(row.tokens, skip_special_tokens=True),
            finish="stop" if stopped else "length",
            prompt_tokens=len(row.request.prompt),
            tokens=row.tokens,
            logprobs=row.logprobs,
            top_k=min(self._settings.top_logprobs, self.model.config.vocab_size),
            top_ids=row.top_ids,
            top_logprobs=row.top_logprobs,
            tail=row.tail,
            seconds=row.seconds,
        )

    def score_text(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[list[float]]:
        """Return the raw log-probability of every continuation token; see the protocol."""
        with torch.inference_mode():
            return [self._continuation(prompt, continuation) for prompt, continuation in pairs]

    def _continuation(self, prompt: Sequence[int], continuation: Sequence[int]) -> list[float]:
        if not continuation:
            return []
        ids, mask = self._pad([[*prompt, *continuation]])
        output = self.model(input_ids=ids, attention_mask=mask, logits_to_keep=len(continuation) + 1)
        logits = output.logits[0, :-1]
        logits = logits if logits.dtype == torch.float64 else logits.float()
        target = torch.tensor(list(continuation), device=self.device)
        picked = torch.log_softmax(logits, dim=-1).gather(-1, target[:, None]).squeeze(-1)
        return [round(value, _DECIMALS) for value in picked.tolist()]


class _Row:
    """One request on its way."""

    def __init__(self, request: TokenRequest) -> None:
        self.request = request
        self.uniforms = request_uniforms(request.seed, request.decoding.max_new_tokens)
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.top_ids: list[int] = []
        self.top_logprobs: list[float] = []
        self.tail: list[float] = []
        self.seconds = 0.0


class _Top:
    """The K most likely tokens under the raw distribution, and the mass outside them."""

    def __init__(self, logits: torch.Tensor, k: int) -> None:
        self._logits = logits
        self._normaliser = torch.logsumexp(logits, dim=-1, keepdim=True)
        values, self.ids = torch.topk(logits, k, dim=-1)
        self.logprobs = values - self._normaliser
        self.tail = (1 - self.logprobs.exp().sum(dim=-1)).clamp(min=0)

    def logprobs_of(self, tokens: torch.Tensor) -> torch.Tensor:
        return (self._logits.gather(-1, tokens[:, None]) - self._normaliser).squeeze(-1)
