"""What is around vLLM: its environment, the worker process, who shares one, and how all of that ends."""

import ast
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.engines import plain_request
from support.fake_vllm import fake_environment, processes_of

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.config.models import AdapterModel, LocalModel
from moco.engines.base import TextRequest, TokenRequest
from moco.engines.vllm.engine import Extent
from moco.engines.vllm.environment import find_environment, installed
from moco.engines.vllm.process import WORKER
from moco.errors import RequestError, WorkError
from moco.jobs.inference import Inference
from moco.jobs.resident import ResidentEngines
from moco.models.resolve import resolve
from moco.store.generations import GenerationStore

GREEDY = Decoding(max_new_tokens=3, temperature=0)
VLLM = EngineSettings(kind="vllm", dtype="float32")


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    return fake_environment(tmp_path_factory.mktemp("environment"))


@pytest.fixture(autouse=True)
def environment(python, monkeypatch):
    monkeypatch.setenv("MOCO_VLLM_PYTHON", str(python))


@pytest.fixture(scope="module")
def models(tiny_checkpoint, tiny_adapter, tmp_path_factory):
    """A base, two adapters on it, and another model, all outside of any study's folder."""
    root = tmp_path_factory.mktemp("root")
    base = resolve("base", LocalModel(kind="local", path=str(tiny_checkpoint("base"))), VLLM, root)
    other = resolve("other", LocalModel(kind="local", path=str(tiny_checkpoint("other", 1))), VLLM, root)
    made = {"base": base, "other": other}
    for seed in (1, 2):
        entry = AdapterModel(kind="adapter", base="base", path=str(tiny_adapter(seed)))
        made[f"lora{seed}"] = resolve(f"lora{seed}", entry, VLLM, root, base=base)
    return made


@pytest.fixture
def resident(models, tmp_path):
    made = ResidentEngines(tmp_path, models.values)
    yield made
    made.close()


def requests(count: int, decoding: Decoding = GREEDY) -> list[TokenRequest]:
    return [TokenRequest(f"k{place}", (5, 6 + place), decoding, None) for place in range(count)]


def test_a_base_and_its_adapters_share_one_process(resident, models):
    replies = {}
    for name in ("lora1", "base", "lora2", "lora1"):
        replies[name] = {row.key: row.tokens for row in resident.engine(models[name], VLLM).generate(requests(4))}
    assert resident.loads == 1
    assert len({json.dumps(each) for each in replies.values()}) == 3
    assert resident.engine(models["other"], VLLM) is not resident.engine(models["base"], VLLM)
    assert resident.loads == 2


def test_jobs_count_one_load_for_models_on_one_base(models, tmp_path):
    names = ("base", "lora1", "lora2")
    inference = Inference(
        {name: models[name] for name in names},
        dict.fromkeys(names, VLLM),
        GenerationStore(tmp_path / "store"),
        tmp_path,
    )
    jobs = [plain_request(name, f"What is {number}?", GREEDY) for number in range(3) for name in names]
    first = inference.run(jobs, 1)
    assert [load.model for load in inference.resident.loaded] == ["base"]
    assert len({reply.response.text for reply in first}) > 3
    again = inference.run(jobs, 1)
    assert all(reply.cached for reply in again)
    inference.resident.close()


def test_a_worker_is_started_again_for_more_than_it_can_serve(models, tmp_path):
    known = [models["base"]]
    resident = ResidentEngines(tmp_path, lambda: known)
    list(resident.engine(models["base"], VLLM).generate(requests(1)))
    known.append(models["lora1"])
    list(resident.engine(models["lora1"], VLLM).generate(requests(1)))
    assert resident.loads == 2
    known.append(models["lora2"])
    for name in ("lora2", "base"):
        list(resident.engine(models[name], VLLM).generate(requests(1)))
    assert resident.loads == 2
    resident.close()


def test_workers_stay_side_by_side_while_memory_allows(models, tmp_path):
    for resident, loads in ((2.5, 2), (1.5, 4)):
        settings = EngineSettings(kind="vllm", dtype="float32", resident_gb=resident, cache_gb=1)
        resident = ResidentEngines(tmp_path)
        sessions = set()
        for name in ("base", "other", "base", "other"):
            engine = resident.engine(models[name], settings)
            assert len(list(engine.generate(requests(2)))) == 2
            sessions.add(engine._worker.process._process.pid)
        assert resident.loads == loads
        resident.close()
        assert not [pid for session in sessions for pid in processes_of(session)]


def test_the_extent_covers_all_adapters_of_a_base(models, tmp_path):
    small, large = models["base"], dataclasses.replace(models["lora1"], context=9999)
    assert Extent.of([small], tmp_path) == Extent(512, 0, 0)
    both = Extent.of([small, large], tmp_path)
    assert both == Extent(9999, 8, 1)
    assert both.covers(Extent.of([small], tmp_path))
    assert not Extent.of([small], tmp_path).covers(both)


def test_replies_are_stored_as_the_other_engine_stores_them(resident, models):
    settings = EngineSettings(kind="vllm", dtype="float32", top_logprobs=3)
    engine = resident.engine(models["base"], settings)
    hot = Decoding(max_new_tokens=5, temperature=0.7)
    row, *_ = engine.generate([TokenRequest("k", (7, 8, 9), hot, 2**64 - 1)])
    assert (row.key, row.finish, row.prompt_tokens, len(row.tokens)) == ("k", "length", 3, 5)
    assert row.text == engine._tokenizer.decode(row.tokens, skip_special_tokens=True)
    # The drawn token is none of the three best.
    assert row.logprobs == [-5.0] * 5
    assert (row.top_k, row.top_logprobs) == (3, [-1.0, -2.0, -3.0] * 5)
    assert row.top_ids == [token + step for token in row.tokens for step in (1, 2, 3)]
    assert row.tail == [round(1 - sum(2.718281828459045**-value for value in (1, 2, 3)), 6)] * 5


def test_texts_are_scored_token_by_token(resident, models):
    engine = resident.engine(models["base"], VLLM)
    texts = [TextRequest("a", (5, 6), (7, 8, 9)), TextRequest("b", (5, 6), ()), TextRequest("c", (5,), (6,))]
    found = {row.key: row for row in engine.score_text(texts)}
    assert {key: (row.tokens, row.logprobs) for key, row in found.items()} == {
        "a": ([7, 8, 9], [-1.0] * 3),
        "b": ([], []),
        "c": ([6], [-1.0]),
    }
    assert {row.finish for row in found.values()} == {"scored"}


def test_what_texts_begin_with_is_asked_once_and_what_was_read_is_counted(resident, models):
    engine = resident.engine(models["base"], VLLM)
    texts = [TextRequest("a", (5, 6), (7, 8, 9)), TextRequest("b", (5, 6), (7, 9)), TextRequest("c", (5,), (6,))]
    found = {row.key: (row.tokens, row.logprobs) for row in engine.score_text(texts)}
    # The stand-in lists what is asked for from the first token on.
    assert found == {"a": ([7, 8, 9], [-1.0] * 3), "b": ([7, 9], [-1.0, -2.0]), "c": ([6], [-1.0])}
    # After 5, after 5 6, after 5 6 7, and after 5 6 7 8.
    assert engine.read_tokens == 1 + 2 + 3 + 4
    list(engine.score_text(texts))
    assert engine.read_tokens == 10 + 4


def test_seconds_add_up_and_belong_to_those_that_were_worked_on(models, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_VLLM_STEP", "0.01")
    resident = ResidentEngines(tmp_path)
    engine = resident.engine(models["base"], EngineSettings(kind="vllm", dtype="float32", batch_rows=2))
    started = time.perf_counter()
    rows = list(engine.generate(requests(6)))
    taken = time.perf_counter() - started
    assert 9 * 0.01 <= sum(row.seconds for row in rows) <= taken
    assert max(row.seconds for row in rows) < 2 * min(row.seconds for row in rows)
    resident.close()


def test_what_was_left_under_way_is_forgotten(models, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_VLLM_STEP", "0.01")
    resident = ResidentEngines(tmp_path)
    engine = resident.engine(models["base"], EngineSettings(kind="vllm", dtype="float32", batch_rows=1))
    replies = engine.generate(requests(50))
    next(replies)
    replies.close()
    started = time.perf_counter()
    rows = list(engine.generate(requests(3, Decoding(max_new_tokens=2, temperature=0))))
    assert [len(row.tokens) for row in rows] == [2] * 3
    assert time.perf_counter() - started < 1
    resident.close()


def test_a_refused_request_is_one_line_and_the_worker_goes_on(resident, models):
    engine = resident.engine(models["base"], VLLM)
    with pytest.raises(
        WorkError, match=r"^models\.base: vllm refuses it \(ValueError: 13 tokens are\); give"
    ) as caught:
        list(engine.generate(requests(3, Decoding(max_new_tokens=13, temperature=0))))
    assert "\n" not in str(caught.value)
    assert len(list(engine.generate(requests(3)))) == 3
    assert resident.loads == 1


def test_a_model_that_vllm_does_not_know_is_one_line(resident, models, tmp_path):
    folder = tmp_path / "model-unknown"
    folder.symlink_to(models["base"].folder(tmp_path))
    info = dataclasses.replace(models["base"], location=str(folder))
    with pytest.raises(
        WorkError, match=r"models\.base: vllm stopped: ValueError: architecture is unknown; its messages"
    ):
        resident.engine(info, VLLM)


@pytest.mark.parametrize("value", ["nan", "-inf"])
def test_logprobs_that_are_not_finite_are_one_line(models, tmp_path, monkeypatch, value):
    monkeypatch.setenv("FAKE_VLLM_LOGPROB", value)
    texts = [TextRequest("a", (5, 6), (7, 8, 9))]
    for ask in (lambda engine: engine.generate(requests(3)), lambda engine: engine.score_text(texts)):
        resident = ResidentEngines(tmp_path)
        with pytest.raises(WorkError, match=r"^models\.base: vllm stopped: .*not finite .*; set another engine\.dtype"):
            list(ask(resident.engine(models["base"], VLLM)))
        resident.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_is_one_line_and_the_next_request_starts_another(models, tmp_path, monkeypatch, number):
    resident = ResidentEngines(tmp_path)
    monkeypatch.setenv("FAKE_VLLM_DIES", str(int(number)))
    engine = resident.engine(models["base"], VLLM)
    with pytest.raises(
        WorkError, match=rf"models\.base: vllm stopped: its worker process was killed \(signal {number}\)"
    ):
        list(engine.generate(requests(3)))
    monkeypatch.delenv("FAKE_VLLM_DIES")
    assert len(list(resident.engine(models["base"], VLLM).generate(requests(3)))) == 3
    resident.close()


def test_a_worker_imports_nothing_that_its_environment_lacks():
    tree = ast.parse(WORKER.read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in imports if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= {"vllm"} | sys.stdlib_module_names


DRIVER = """
import sys, time
from pathlib import Path
from moco.engines.vllm.process import WORKER, Process
python, model = sys.argv[1:]
settings = dict(model=model, trust_remote_code=False, dtype="float32", context=9, rows=4, top_logprobs=2,
                tensor_parallel=1, compile=False, cache_gb=1, gpu_share=0.5, lora_rank=0, loras=1)
process = Process([python, "-I", "-u", str(WORKER)], {"FAKE_VLLM_STEP": "0.05"}, "m", settings)
print(process._process.pid, flush=True)
one = {"prompt": [5], "max_tokens": 10_000, "temperature": 0.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0}
list(process.run([{"id": "1", **one, "seed": None, "stop": []}], 2, None))
"""


def test_a_worker_ends_with_a_driver_that_is_killed(python, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", DRIVER, str(python), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as driver:
        session = int(driver.stdout.readline())
        assert processes_of(session) == [session]
        driver.kill()
    deadline = time.monotonic() + 10
    while processes_of(session) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(session) == []


def test_a_model_in_vllm_is_not_stepped_with_others(resident, models):
    with pytest.raises(RequestError, match=r"models\.base: runs in vllm, which cannot be stepped with others"):
        resident.together([(models["base"], VLLM)])


def test_a_missing_environment_is_one_line_with_the_remedy(tmp_path, monkeypatch, python):
    monkeypatch.delenv("MOCO_VLLM_PYTHON")
    with pytest.raises(RequestError, match=r"\.venv-vllm/bin/python does not exist; run `make install-vllm`"):
        find_environment(tmp_path, VLLM)
    with pytest.raises(RequestError, match=r"has no vLLM; run `make install-vllm`"):
        find_environment(tmp_path, EngineSettings(kind="vllm", dtype="float32", python=sys.executable))
    (tmp_path / ".venv-vllm").symlink_to(python.parent.parent)
    assert find_environment(tmp_path, VLLM).device == "cpu"


def test_an_environment_for_another_device_is_refused(tmp_path, python):
    gpu = installed(fake_environment(tmp_path / "gpu", "vllm"))
    assert (gpu.version, gpu.device) == ("0.0.1", "gpu")
    for where, device in ((gpu.python, "cpu"), (python, "cuda")):
        settings = EngineSettings(kind="vllm", dtype="float32", device=device, python=str(where))
        with pytest.raises(RequestError, match=r"engine\.device: vLLM 0\.0\.1 in .* is built for .*; set device: auto"):
            find_environment(tmp_path, settings)
    with pytest.raises(RequestError, match=r"vLLM for CPUs has no kernels that do not depend on the batch"):
        find_environment(tmp_path, EngineSettings(kind="vllm", dtype="float32", reproducible="batch"))
