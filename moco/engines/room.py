"""Loaded models of one job: kept while memory allows, the least recently used leaves first."""

import logging
import time
from collections import OrderedDict
from pathlib import Path

from moco.config.engine import EngineSettings
from moco.engines.base import Engine
from moco.models.info import ModelInfo

log = logging.getLogger("moco")


class EngineRoom:
    """Loads engines on demand and counts the loads.

    Args:
        root: Folder that holds `results`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._engines: OrderedDict[tuple[str, str], Engine] = OrderedDict()
        self.loads = 0

    def engine(self, info: ModelInfo, settings: EngineSettings) -> Engine:
        """Return the loaded model, loading it if needed."""
        key = (info.fingerprint, settings.model_dump_json())
        if key in self._engines:
            self._engines.move_to_end(key)
            return self._engines[key]
        self._make_room(settings.resident_gb * 1e9 - info.parameters * settings.bytes_per_number)
        started = time.monotonic()
        from moco.engines.transformers import TransformersEngine

        engine = TransformersEngine(info, self._root, settings)
        self.loads += 1
        log.info("loaded %s in %.1f s", info.name, time.monotonic() - started)
        self._engines[key] = engine
        return engine

    def _make_room(self, limit: float) -> None:
        while self._engines and sum(engine.memory_bytes for engine in self._engines.values()) > limit:
            _, engine = self._engines.popitem(last=False)
            engine.close()

    def drop(self, fingerprint: str) -> None:
        """Unload a model that will not be used again."""
        for key in [key for key in self._engines if key[0] == fingerprint]:
            self._engines.pop(key).close()

    def close(self) -> None:
        """Unload all models."""
        while self._engines:
            self._engines.popitem()[1].close()
