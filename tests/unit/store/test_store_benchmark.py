"""The benchmark of the store runs, and checks what it looks up."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks/store.py"


@pytest.mark.slow
def test_it_prints_every_number_and_leaves_nothing(tmp_path):
    command = [sys.executable, SCRIPT, "--replies", "4000", "--shards", "40", "--asked", "150", "--folder", tmp_path]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for what in ("generated together", "a twentieth", "from all over the store", "opening", "peak memory", "tokens/s"):
        assert what in said
    assert not list(tmp_path.iterdir())
