"""What routers and text-level methods take beside the replies they ask for.

All methods that ask models, but those that train, answer one task of the zoo with three experts, in this process, on an
empty store. What they asked the engine for, plain responses included, is then asked again of bare engines, model by
model and each request once: that is the floor. The line of a method shows what it took beside what it asked for, since
replies that an earlier method asked for are in the store.

Times are processor seconds of one process, imports left out: on an idle machine processor time is the time.

    python benchmarks/methods.py [--items 100] [--methods text_multiagent_refine ...]
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import pytest
from support.real_study import RealStudy

from moco.config.engine import EngineSettings
from moco.config.runtime import write_study_file
from moco.engines.transformers import TransformersEngine
from moco.home import STUDY
from moco.methods.base import PoolInfo
from moco.methods.catalogue import make_method, method_ids
from moco.models.info import ModelInfo
from moco.zoo.build import build

CACHE = Path(os.environ.get("MOCO_CACHE", Path.home() / ".cache/moco"))
EXPERTS = {
    "add": "adds two numbers",
    "reverse": "writes words backwards",
    "recall": "knows the capitals of countries",
}
NEEDED: dict[str, dict[str, Any]] = {"api_graph_routing": {"encoder": "encoder"}}
"""Settings without which a method does not start."""

KINDS = ("generate", "score_text")


class Asked:
    """What engines were asked for.

    Attributes:
        requests: By model, with its settings, by kind and by key.
    """

    def __init__(self) -> None:
        self.requests: dict[str, tuple[ModelInfo, EngineSettings, dict[str, dict[str, Any]]]] = {}
        self._engines: dict[int, str] = {}

    def __len__(self) -> int:
        return sum(len(keys) for *_, kinds in self.requests.values() for keys in kinds.values())

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Note what engines are asked for from now on."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TransformersEngine, "__init__", self._loading(TransformersEngine.__init__))
            for kind in KINDS:
                patch.setattr(TransformersEngine, kind, self._asking(kind, getattr(TransformersEngine, kind)))
            yield

    def _loading(self, load: Callable[..., None]) -> Callable[..., None]:
        def init(engine: TransformersEngine, info: ModelInfo, root: Path, settings: EngineSettings) -> None:
            self._engines[id(engine)] = info.fingerprint
            self.requests.setdefault(info.fingerprint, (info, settings, {kind: {} for kind in KINDS}))
            load(engine, info, root, settings)

        return init

    def _asking(self, kind: str, ask: Callable[..., Any]) -> Callable[..., Any]:
        def noted(engine: TransformersEngine, requests: Sequence[Any]) -> Any:
            *_, kinds = self.requests[self._engines[id(engine)]]
            kinds[kind].update((request.key, request) for request in requests)
            return ask(engine, requests)

        return noted


def timed(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def bare(asked: Asked, folder: Path) -> float:
    """Return what bare engines take for the same requests."""

    def work() -> None:
        for info, settings, kinds in asked.requests.values():
            engine = TransformersEngine(info, folder, settings)
            for kind, requests in kinds.items():
                for _ in getattr(engine, kind)(list(requests.values())):
                    pass
            engine.close()

    return timed(work)


def content(items: int, methods: dict[str, dict[str, Any]]) -> dict[str, Any]:
    def local(recipe: str, **more: Any) -> dict[str, Any]:
        return {"kind": "local", "path": str(build(recipe, CACHE)), **more}

    alike = {"family": "llama", "tokenizer": "zoo"}
    source = {
        "kind": "synthetic",
        "skills": ["add", "reverse", "capital"],
        "form": "exact",
        "items": {"dev": items, "test": items},
    }
    return {
        "study": "s",
        "models": {
            **{name: local(name, description=what, **alike) for name, what in EXPERTS.items()},
            "encoder": local("encoder", purpose="embed"),
            "base": local("base", **alike),
        },
        "pools": {"experts": list(EXPERTS)},
        "tasks": {"mixed": {"source": source}},
        "decoding": {"default": {"max_new_tokens": 16, "temperature": 0.7, "top_p": 0.9}},
        "methods": methods,
    }


def asking(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the methods of the two levels that neither train nor need what the zoo's experts lack, with settings."""
    found = {}
    for name in names:
        settings = NEEDED.get(name, {})
        needs = make_method(name, settings).needs(PoolInfo.of_size(len(EXPERTS)))
        if not (needs.fit and needs.fit.trains) and not needs.answer.live:
            found[name] = settings
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--methods", nargs="+", help="default: all that ask models and do not train")
    options = parser.parse_args()
    names = options.methods or [name for name in method_ids() if name.startswith(("api_", "text_", "control_self"))]
    methods = asking(names)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        settings = content(options.items, methods)
        os.environ[STUDY] = str(write_study_file(settings, folder))
        study = RealStudy(folder, settings)
        asked, total = Asked(), 0.0
        for name in methods:
            before = len(asked)
            with asked.recorded():
                seconds = timed(lambda name=name: study.run("experts", name))
            total += seconds
            print(f"{name:<32} {seconds:7.2f} s, {len(asked) - before} requests that none before made", flush=True)
        floor = bare(asked, folder)
        print(
            f"{len(asked)} requests: bare engines {floor:.2f} s, methods {total:.2f} s, {total / floor:.2f} x as long"
        )


if __name__ == "__main__":
    main()
