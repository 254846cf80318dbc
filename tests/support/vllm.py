"""The real environment of vLLM, where it is installed."""

import os
from pathlib import Path

import pytest

from moco.engines.vllm.environment import FOLDER, VARIABLE, installed
from support.projects import ROOT

REQUIRED = "MOCO_REQUIRE_VLLM"


def vllm_python() -> Path:
    """Return its Python; without one the test is skipped, or fails where MOCO_REQUIRE_VLLM is set."""
    python = Path(os.environ.get(VARIABLE) or ROOT / FOLDER / "bin" / "python")
    if installed(python) is None:
        reason = f"no vLLM at {python}: make install-vllm"
        if REQUIRED in os.environ:
            pytest.fail(reason)
        pytest.skip(reason)
    return python
