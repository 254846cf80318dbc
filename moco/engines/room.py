"""Loaded models of one job: kept while memory allows, the least recently used leaves first."""

import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moco.config.engine import EngineSettings
from moco.engines.base import Engine, LiveEngine
from moco.models.info import ModelInfo

log = logging.getLogger("moco")


@dataclass(frozen=True)
class Load:
    """One loading of a model's weights, and the seconds it took."""

    model: str
    seconds: float


class EngineRoom:
    """Loads engines on demand and remembers every load.

    Args:
        root: Folder that holds `results`.

    Attributes:
        loaded: Every load so far, in order.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._engines: OrderedDict[tuple[str, str], LiveEngine] = OrderedDict()
        self.loaded: list[Load] = []

    @property
    def loads(self) -> int:
        """Number of loads so far, of all models."""
        return len(self.loaded)

    def engine(self, info: ModelInfo, settings: EngineSettings) -> Engine:
        """Return the loaded model, loading it if needed."""
        return self.together([(info, settings)])[0]

    def together(self, models: Sequence[tuple[ModelInfo, EngineSettings]]) -> list[LiveEngine]:
        """Return several loaded models, none of which leaves for another of them."""
        wanted = [(info.fingerprint, settings.model_dump_json()) for info, settings in models]
        for (info, settings), key in zip(models, wanted, strict=True):
            if key not in self._engines:
                self._make_room(settings.resident_gb * 1e9 - info.parameters * settings.bytes_per_number, wanted)
                self._engines[key] = self._load(info, settings)
            self._engines.move_to_end(key)
        return [self._engines[key] for key in wanted]

    def _load(self, info: ModelInfo, settings: EngineSettings) -> LiveEngine:
        from moco.engines.transformers import TransformersEngine

        started = time.monotonic()
        engine = TransformersEngine(info, self._root, settings)
        self.loaded.append(Load(info.name, time.monotonic() - started))
        log.info("loaded %s in %.1f s", info.name, self.loaded[-1].seconds)
        return engine

    def _make_room(self, limit: float, kept: Sequence[tuple[str, str]]) -> None:
        for key in [key for key in self._engines if key not in kept]:
            if sum(engine.memory_bytes for engine in self._engines.values()) <= limit:
                return
            self._engines.pop(key).close()

    def drop(self, fingerprint: str) -> None:
        """Unload a model that will not be used again."""
        for key in [key for key in self._engines if key[0] == fingerprint]:
            self._engines.pop(key).close()

    def close(self) -> None:
        """Unload all models."""
        while self._engines:
            self._engines.popitem()[1].close()
