"""Loaded models of one job: kept while memory allows, the least recently used leaves first."""

import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from moco.config.engine import EngineSettings
from moco.engines.base import Engine, LiveEngine
from moco.models.info import ModelInfo

log = logging.getLogger("moco")


class EngineRoom:
    """Loads engines on demand and counts the loads.

    Args:
        root: Folder that holds `results`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._engines: OrderedDict[tuple[str, str], LiveEngine] = OrderedDict()
        self.loads = 0

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
        self.loads += 1
        log.info("loaded %s in %.1f s", info.name, time.monotonic() - started)
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
