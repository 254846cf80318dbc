"""Models that read without writing: reward models and sentence encoders, in length-sorted batches."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from moco.config.engine import EngineSettings
from moco.decoding.loop import DECIMALS
from moco.decoding.stepper import not_finite
from moco.engines.base import MeasureRequest
from moco.engines.memory import work_in_batches
from moco.engines.transformers import device_of, loading, place
from moco.errors import RequestError
from moco.models.info import ModelInfo
from moco.store.generations import Measured


class _Network(ABC):
    """A loaded network with its batches.

    Args:
        info: The model.
        root: Folder that holds `results`.
        settings: Engine settings; only their identity part can change a result.
    """

    def __init__(self, info: ModelInfo, root: Path, settings: EngineSettings) -> None:
        self._settings, self._device, self._name = settings, device_of(settings), info.name
        self._where = place(info, settings)
        self._network = self._load(info, root, settings).to(self._device).eval()
        # Without a padding token, a row of its own is the only batch in which nothing is padded.
        self._pad = getattr(self._network.config, "pad_token_id", None)
        self.memory_bytes = sum(each.numel() * each.element_size() for each in self._network.parameters())

    @abstractmethod
    def _load(self, info: ModelInfo, root: Path, settings: EngineSettings) -> Any:
        """Return the network."""

    def close(self) -> None:
        """Free the memory."""
        del self._network
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _measure(
        self, requests: Sequence[MeasureRequest], values: Callable[[Any, Sequence[MeasureRequest]], Any]
    ) -> Iterator[Measured]:
        """Yield what `values` makes of the tensors of every batch: token ids and attention mask, (rows, positions)."""
        rows = self._settings.batch_rows if self._pad is not None else 1

        def measure(batch: Sequence[MeasureRequest]) -> Iterator[Measured]:
            started = time.perf_counter()
            with torch.inference_mode():
                computed = values(self._tensors(batch), batch).double()
                if not bool(torch.isfinite(computed).all()):
                    raise not_finite(self._where)
                found = computed.cpu().tolist()
            seconds = (time.perf_counter() - started) / len(batch)
            for request, numbers in zip(batch, found, strict=True):
                # Adding zero turns a negative zero, which rounding may leave, into a plain one.
                rounded = [round(number, DECIMALS) + 0.0 for number in numbers]
                yield Measured(request.key, rounded, len(request.tokens), seconds)

        yield from work_in_batches(requests, rows, self._settings.batch_tokens, measure, who=self._name)

    def _tensors(self, batch: Sequence[MeasureRequest]) -> dict[str, torch.Tensor]:
        width = max(request.width for request in batch)
        pad = self._pad or 0
        # A text without tokens is read as one padding token, since attention needs something to look at.
        lengths = [max(len(request.tokens), 1) for request in batch]
        ids = [[*request.tokens, *[pad] * (width - len(request.tokens))] for request in batch]
        mask = [[1] * length + [0] * (width - length) for length in lengths]
        return {
            "input_ids": torch.tensor(ids, device=self._device),
            "attention_mask": torch.tensor(mask, device=self._device),
        }


class RewardModel(_Network):
    """A sequence classifier with one logit."""

    def _load(self, info: ModelInfo, root: Path, settings: EngineSettings) -> Any:
        from transformers import AutoModelForSequenceClassification

        network, report = _from_pretrained(AutoModelForSequenceClassification, info, root, settings)
        if network.config.num_labels != 1 or report["missing_keys"]:
            lacks = ", ".join(sorted(report["missing_keys"])) or f"{network.config.num_labels} labels instead of one"
            raise RequestError(
                f"is no reward model ({lacks})",
                where=f"models.{info.name}",
                remedy="name a sequence classifier with one logit",
            )
        return network

    def reward(self, requests: Sequence[MeasureRequest]) -> Iterator[Measured]:
        """Yield the logit of each conversation."""
        yield from self._measure(requests, lambda tensors, _batch: self._network(**tensors).logits[:, :1])


class TextEncoder(_Network):
    """An encoder whose last hidden states are averaged."""

    def _load(self, info: ModelInfo, root: Path, settings: EngineSettings) -> Any:
        from transformers import AutoModel

        return _from_pretrained(AutoModel, info, root, settings)[0]

    def embed(self, requests: Sequence[MeasureRequest]) -> Iterator[Measured]:
        """Yield the vector of each text, of the network's hidden size."""
        for pooling in ("mask", "padded"):
            chosen = [request for request in requests if request.pooling == pooling]
            yield from self._measure(chosen, self._pooled)

    def _pooled(self, tensors: dict[str, torch.Tensor], batch: Sequence[MeasureRequest]) -> torch.Tensor:
        hidden: torch.Tensor = self._network(**tensors).last_hidden_state
        if batch[0].pooling == "padded":
            return hidden.mean(1)
        weights = tensors["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1)


def _from_pretrained(auto: Any, info: ModelInfo, root: Path, settings: EngineSettings) -> tuple[Any, dict[str, Any]]:
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    network, report = auto.from_pretrained(
        info.folder(root),
        **loading(info, settings),
        output_loading_info=True,
    )
    return network, report
