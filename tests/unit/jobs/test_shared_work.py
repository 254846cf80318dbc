"""Two real processes generate overlapping requests at once: nothing breaks, and each has what it would have alone."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.shards import shard_files

from moco.models.info import ModelInfo
from moco.store.generations import GenerationStore
from moco.store.survey import damaged_shards

pytestmark = pytest.mark.slow

ROWS = 2
JOBS = 60
OVERLAP = 40
SETTINGS = {"batch_rows": ROWS, "flush_seconds": 0.001}

_PROCESS = """
import json, sys, time
from pathlib import Path

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.jobs.inference import Inference
from moco.methods.base import Request
from moco.models.info import ModelInfo
from moco.store.generations import GenerationStore

folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
info = ModelInfo.read(folder / "model.json")
settings = EngineSettings(**json.loads(sys.argv[4]))
inference = Inference({info.name: info}, {info.name: settings}, GenerationStore(folder / "store"), folder)
engine = inference.resident.engine(info, settings)
real, begun = engine._generate_batch, []

def batch(requests):
    begun.append((time.time_ns(), [request.key for request in requests]))
    yield from real(requests)

engine._generate_batch = batch
decoding = Decoding(max_new_tokens=24, temperature=1.0, top_p=1.0)
jobs = [Request(info.name, "item", f"What is {n} + {n * 7}?", "plain", decoding=decoding) for n in range(first, first + count)]
print("ready", flush=True)
sys.stdin.readline()
replies = inference.run(jobs, 1)
said = {
    "begun": begun,
    "texts": {reply.response.key: reply.response.text for reply in replies},
    "cached": [reply.response.key for reply in replies if reply.cached],
}
print(json.dumps(said))
"""


@pytest.fixture
def folder(tmp_path, tiny_checkpoint, resolved) -> Path:
    checkpoint = tiny_checkpoint("base")
    ModelInfo(**{**vars(resolved(checkpoint, "one")), "location": str(checkpoint)}).write(tmp_path / "model.json")
    return tmp_path


def together(folder: Path, firsts: list[int], count: int) -> list[dict]:
    """Return what processes say that begin at once."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [[sys.executable, "-c", _PROCESS, str(folder), str(n), str(count), json.dumps(SETTINGS)] for n in firsts]
    started = [
        subprocess.Popen(each, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for each in words
    ]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [json.loads(process.communicate()[0]) for process in started]
    assert not any(process.returncode for process in started)
    return said


@pytest.mark.parametrize("firsts", [[0, 0], [0, JOBS - OVERLAP]], ids=["equal", "overlapping"])
def test_who_works_beside_another_has_what_it_would_have_alone(folder, tmp_path, firsts):
    said = together(folder, firsts, JOBS)
    store = GenerationStore(folder / "store")
    begun = [{key: at for at, keys in each["begun"] for key in keys} for each in said]
    overlap = said[0]["texts"].keys() & said[1]["texts"].keys()
    assert len(overlap) == (JOBS if firsts[0] == firsts[1] else OVERLAP)

    repeated = begun[0].keys() & begun[1].keys()
    assert repeated <= overlap

    for each, mine in zip(said, begun, strict=True):
        assert set(each["cached"]) == each["texts"].keys() - mine.keys()
    partition = store.partition(ModelInfo.read(folder / "model.json").fingerprint)
    assert not list(damaged_shards(partition, repair=False))

    (alone,) = undisturbed(folder, tmp_path, min(firsts), max(firsts) + JOBS)
    for each in said:
        assert each["texts"].items() <= alone["texts"].items()
    counts = Counter(key for path in shard_files(folder / "store") for key in pq.read_table(path)["key"].to_pylist())
    assert counts.keys() == alone["texts"].keys()
    assert {key for key, times in counts.items() if times > 1} <= repeated


def undisturbed(folder: Path, tmp_path: Path, first: int, count: int) -> list[dict]:
    """Return what one undisturbed process says, with a store of its own."""
    other = tmp_path / "alone"
    other.mkdir()
    (other / "model.json").write_bytes((folder / "model.json").read_bytes())
    return together(other, [first], count)
