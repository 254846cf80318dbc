"""What all tests share: tiny checkpoints, no network, registries as they were."""

import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.warm import Warm

    from moco.models.info import ModelInfo

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

_CONTEXT = 512


FIRST = (
    "workflow/test_chaos.py",
    "slurm/test_slurm.py",
    "unit/zoo/test_shape.py",
    "workflow/",
)
"""Files that take longest, so that no process is left alone with one of them at the end."""


class NetworkBlocked(RuntimeError):
    """A test tried to leave this machine."""


def _is_local(family: int, address: object) -> bool:
    if family == socket.AF_UNIX:
        return True
    host = str(address[0]) if isinstance(address, tuple) else str(address)
    return host in ("localhost", "::1", "") or host.startswith("127.")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Never name a test after bytes: packed ones hold the time, and workers must collect the same names."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; the rest stays in order."""
    tests = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(tests).as_posix()
        return next((number for number, start in enumerate(FIRST) if name.startswith(start)), len(FIRST))

    items.sort(key=place)


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Refuse every outgoing connection but those to this machine."""
    connect, connect_ex, lookup = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded(real: Callable) -> Callable:
        def attempt(self: socket.socket, address: object) -> object:
            if not _is_local(self.family, address):
                raise NetworkBlocked(f"connection to {address}")
            return real(self, address)

        return attempt

    def guarded_lookup(host: object, *arguments: object, **options: object) -> object:
        if host is not None and not _is_local(socket.AF_INET, (host if isinstance(host, str) else host.decode(),)):
            raise NetworkBlocked(f"name look-up of {host}")
        return lookup(host, *arguments, **options)

    socket.socket.connect, socket.socket.connect_ex = guarded(connect), guarded(connect_ex)
    socket.getaddrinfo = guarded_lookup
    yield
    socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo = connect, connect_ex, lookup


@pytest.fixture(autouse=True)
def no_log_handlers() -> Iterator[None]:
    """Take away the log handlers that a verb set up in a test; they write to that test's standard error."""
    log = logging.getLogger("moco")
    before = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.level, log.propagate = before[0], before[1], before[2]


@pytest.fixture
def registries() -> Iterator[None]:
    """Forget methods and scorers that a test registers."""
    from moco.methods.base import METHODS
    from moco.methods.catalogue import method_ids
    from moco.scoring import scorer_for, task_types
    from moco.scoring.base import SCORERS

    method_ids()
    for kind in task_types():
        scorer_for(kind, "strict")
    kept = [(registry, dict(registry._objects)) for registry in (METHODS, SCORERS)]
    yield
    for registry, objects in kept:
        registry._objects.clear()
        registry._objects.update(objects)


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Remove every setting of the project from the environment."""
    for name in list(os.environ):
        if name.startswith("MOCO_") or name == "CUDA_VISIBLE_DEVICES":
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of the tests, the same for all its processes."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def zoo_cache(shared_folder: Path) -> Path:
    """One zoo serves all tests; MOCO_TEST_CACHE keeps it between runs."""
    kept = os.environ.get("MOCO_TEST_CACHE")
    return Path(kept) if kept else shared_folder / "zoo"


@pytest.fixture(scope="session")
def warm() -> Iterator["Warm"]:
    """What forks the jobs of projects, for tests of what jobs do and not of how they start."""
    from support.warm import Warm

    with Warm() as started:
        yield started


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a maker of random checkpoints: `tiny_checkpoint("a", seed=1)`, the same folder for the same arguments."""
    made: dict[tuple[str, int, str], Path] = {}

    def make(name: str = "tiny", seed: int = 0, *, family: str = "llama") -> Path:
        key = (name, seed, family)
        if key not in made:
            made[key] = _build(tmp_path_factory.mktemp(f"{family}-{seed}") / name, seed, family)
        return made[key]

    return make


@pytest.fixture(scope="session")
def resolved() -> Callable[..., "ModelInfo"]:
    """Return a resolver of local folders: `resolved(folder, "name", dtype="float32")`."""
    from moco.config.engine import EngineSettings
    from moco.config.models import LocalModel
    from moco.models.resolve import resolve

    def of(folder: Path, name: str = "tiny", *, dtype: str = "float64", **declared: object) -> "ModelInfo":
        entry = LocalModel(kind="local", path=str(folder), **declared)
        return resolve(name, entry, EngineSettings(dtype=dtype), folder.parent)

    return of


@pytest.fixture(scope="session")
def tiny_adapter(
    tiny_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], Path]:
    """Return a maker of LoRA adapters on the checkpoint `base` of seed 0."""
    made: dict[int, Path] = {}

    def make(seed: int = 1) -> Path:
        if seed in made:
            return made[seed]
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint("base"))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            wrapped = get_peft_model(
                model,
                LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM"),
            )
            for name, weight in wrapped.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(weight, std=0.1)
        made[seed] = tmp_path_factory.mktemp("adapter") / f"lora{seed}"
        wrapped.save_pretrained(made[seed])
        return made[seed]

    return make


def _build(folder: Path, seed: int, family: str) -> Path:
    import torch
    from transformers import (
        GenerationConfig,
        GPTNeoXConfig,
        GPTNeoXForCausalLM,
        LlamaConfig,
        LlamaForCausalLM,
    )

    from moco.zoo.tokenizer import save_tokenizer, train_tokenizer

    torch.set_num_threads(1)
    tokenizer = train_tokenizer(512, _CONTEXT)
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": _CONTEXT,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
    }
    kinds = {"llama": (LlamaConfig, LlamaForCausalLM), "gpt_neox": (GPTNeoXConfig, GPTNeoXForCausalLM)}
    config, network = kinds[family]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        # Weights wide enough that replies depend on the whole prompt and their probabilities are not flat.
        model = network(config(**sizes, initializer_range=0.2))
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder
