"""The benchmarks of generation run, and both sides do the same work."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[3] / "benchmarks"
TINY = ["--hidden", "64", "--heads", "2", "--layers", "1", "--vocabulary", "400"]


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, str(FOLDER / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_generation_is_compared_and_leaves_nothing(tmp_path):
    said = run("generate.py", "--requests", 40, "--rows", 8, 16, "--limit", 12, *TINY, "--folder", tmp_path)
    for what in ("batches of 8", "batches of 16", "8 in file order", "exact mode, 5 requests", "floor:", "padding"):
        assert what in said
    assert "loads of a job: 1 with 1 task, 1 with 4" in said
    assert "40 of 40 greedy replies are those of model.generate" in said
    assert said.count("hold") == 5
    # Eight texts follow each prompt.
    assert "tokens read for options of 40 items" in said
    assert float(said.split("of unique ones: ")[1].split()[0]) <= 1.3
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_gpu_benchmark_runs_small_without_one(tmp_path):
    said = run("gpu.py", "--device", "cpu", "--tiny", "--folder", tmp_path)
    assert "moco, transformers" in said
    assert "model.generate" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_so():
    assert run("gpu.py").count("\n") == 1


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_benchmark_on_a_gpu(tmp_path):
    assert "tokens/s" in run("gpu.py", "--requests", 64, "--folder", tmp_path)
