"""Loaded models of one job: kept while memory allows, the least recently used leaves first."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from moco.config.engine import EngineSettings
from moco.config.runtime import server_requests
from moco.engines.base import EmbedEngine, Engine, LiveEngine, Resident, RewardEngine
from moco.errors import RequestError
from moco.models.info import ModelInfo

if TYPE_CHECKING:
    from moco.engines.served.engine import ServedModel

log = logging.getLogger("moco")

E = TypeVar("E", bound=Resident)
Make = Callable[[ModelInfo, Path, EngineSettings], E]
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Load:
    """One loading of a model's weights, and the seconds it took."""

    model: str
    seconds: float


class ResidentEngines:
    """Loads engines on demand and remembers every load.

    Args:
        root: Folder that holds `results`.
        models: Returns the models that the job knows, which may be asked for later.

    Attributes:
        loaded: Every load so far, in order.
    """

    def __init__(self, root: Path, models: Callable[[], Iterable[ModelInfo]] = tuple) -> None:
        self._root, self._models = root, models
        self._engines: OrderedDict[Key, Any] = OrderedDict()
        self._served: dict[str, ServedModel] = {}
        self.loaded: list[Load] = []

    @property
    def loads(self) -> int:
        """Number of loads so far, of all models."""
        return len(self.loaded)

    def engine(self, info: ModelInfo, settings: EngineSettings) -> Engine:
        """Return the loaded model, loading it if needed."""
        if settings.kind == "vllm":
            return self._vllm(info, settings)
        return self.together([(info, settings)])[0]

    def together(self, models: Sequence[tuple[ModelInfo, EngineSettings]]) -> list[LiveEngine]:
        """Return several loaded models, none of which leaves for another of them.

        Raises:
            RequestError: One of them runs in another program, where it cannot be stepped.
        """
        for info, settings in models:
            if settings.kind != "transformers":
                what = f"runs in {settings.kind}, which cannot be stepped with others"
                raise RequestError(what, where=f"models.{info.name}", remedy="give it engine: {kind: transformers}")
        return list(self._resident(models, _writer))

    def served(self, info: ModelInfo, settings: EngineSettings) -> "ServedModel":
        """Return a served model, which is not loaded: it keeps its pace over all requests of the job."""
        if info.fingerprint not in self._served:
            from moco.engines.served.engine import ServedModel

            self._served[info.fingerprint] = ServedModel(info, settings, server_requests(info.name))
        return self._served[info.fingerprint]

    def reward_model(self, info: ModelInfo, settings: EngineSettings) -> RewardEngine:
        """Return a loaded model that rates replies."""
        return self._resident([(info, settings)], _reward_model)[0]

    def encoder(self, info: ModelInfo, settings: EngineSettings) -> EmbedEngine:
        """Return a loaded model that maps texts to vectors."""
        return self._resident([(info, settings)], _encoder)[0]

    def _vllm(self, info: ModelInfo, settings: EngineSettings) -> Engine:
        """Return a model that a worker serves; a base and adapters on it share one."""
        from moco.engines.vllm.engine import Extent, VllmWorker, base_fingerprint, needed_bytes
        from moco.engines.vllm.environment import find_environment

        base = base_fingerprint(info)
        sharing = [other for other in self._models() if other.server is None and base_fingerprint(other) == base]
        extent = Extent.of([info, *sharing], self._root)
        key = (base, settings.model_dump_json(), "vllm")
        running = self._engines.get(key)
        if running is not None and not running.serves(extent):
            self._engines.pop(key).close()
        if key not in self._engines:
            environment = find_environment(self._root, settings)
            if environment.device == "gpu":
                self._make_room(1 - settings.gpu_share, (key,), lambda engine: getattr(engine, "gpu_share", 1.0))
            else:
                self._make_room(settings.resident_gb * 1e9 - needed_bytes(info, settings), (key,))
            make = partial(VllmWorker, environment=environment, extent=extent)
            self._engines[key] = self._load(info, settings, make)
        self._engines.move_to_end(key)
        worker: VllmWorker = self._engines[key]
        return worker.model(info)

    def _resident(self, models: Sequence[tuple[ModelInfo, EngineSettings]], make: "Make[E]") -> list[E]:
        wanted = [(info.fingerprint, settings.model_dump_json(), repr(make)) for info, settings in models]
        for (info, settings), key in zip(models, wanted, strict=True):
            if key not in self._engines:
                self._make_room(settings.resident_gb * 1e9 - (info.parameters or 0) * settings.bytes_per_number, wanted)
                self._engines[key] = self._load(info, settings, make)
            self._engines.move_to_end(key)
        return [self._engines[key] for key in wanted]

    def _load(self, info: ModelInfo, settings: EngineSettings, make: "Make[E]") -> E:
        started = time.monotonic()
        engine = make(info, self._root, settings)
        self.loaded.append(Load(info.name, time.monotonic() - started))
        log.info("loaded %s in %.1f s", info.name, self.loaded[-1].seconds)
        return engine

    def _make_room(
        self, limit: float, kept: Sequence[Key], size: Callable[[Any], float] = attrgetter("memory_bytes")
    ) -> None:
        for key in [key for key in self._engines if key not in kept]:
            if sum(map(size, self._engines.values())) <= limit:
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
        while self._served:
            self._served.popitem()[1].close()


# What takes seconds to import is imported here, so that it counts as loading.


def _writer(info: ModelInfo, root: Path, settings: EngineSettings) -> LiveEngine:
    from moco.engines.transformers import TransformersEngine

    return TransformersEngine(info, root, settings)


def _reward_model(info: ModelInfo, root: Path, settings: EngineSettings) -> RewardEngine:
    from moco.engines.measures import RewardModel

    return RewardModel(info, root, settings)


def _encoder(info: ModelInfo, root: Path, settings: EngineSettings) -> EmbedEngine:
    from moco.engines.measures import TextEncoder

    return TextEncoder(info, root, settings)
