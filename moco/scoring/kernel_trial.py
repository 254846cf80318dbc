"""Whether a faster version of a PyTorch model computes the same, and how fast both are; and the process that tries it.

A kernel needs a GPU, which no sandbox here has: replies run with the rights of whoever starts them, bounded by time
alone. The build folder goes when the trial ends.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SECONDS = 300
"""Time of one trial, compilation included."""

_SEED = 42
_TOLERANCE = 1e-4
_WARM_UP = 4
_TIMED = 10
_CACHE_BYTES = 256 << 20
_KEPT = ("PATH", "CUDA_HOME", "CUDA_PATH", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "PYTHONPATH")


def has_cuda() -> bool:
    """Return whether a kernel can be tried on this machine."""
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())


def measure(source: str, reply: str, inputs: int, device: str = "cuda") -> dict[str, Any]:
    """Return whether a reply compiles and is correct, and the mean times of both models in milliseconds.

    Args:
        source: Defines `Model`, `get_inputs` and `get_init_inputs`.
        reply: Defines `ModelNew`.
        inputs: Random inputs on which both must agree.
        device: Where both run.
    """
    failed = {"compiled": False, "correctness": False, "runtime": -1.0, "ref_runtime": -1.0}
    with TemporaryDirectory(prefix="moco-kernel-") as folder:
        paths = {"TORCH_EXTENSIONS_DIR": folder, "TRITON_CACHE_DIR": folder, "HOME": folder, "TMPDIR": folder}
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        Path(folder, "order.json").write_text(json.dumps([source, reply, inputs, device]), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, folder],
            cwd=folder,
            env={**kept, **paths},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            return failed
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        try:
            found = json.loads(Path(folder, "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return failed
        return found if isinstance(found, dict) else failed


def main(folder: Path) -> None:
    """Try one reply; what is known is written after every step, so that a crash later says what went wrong."""
    import torch

    source, reply, inputs, device = json.loads((folder / "order.json").read_text(encoding="utf-8"))
    known = {"compiled": False, "correctness": False, "runtime": -1.0, "ref_runtime": -1.0}

    def tell(**facts: Any) -> None:
        known.update(facts)
        (folder / "result.json").write_text(json.dumps(known), encoding="utf-8")

    tell()
    given: dict[str, Any] = {}
    exec(compile(source, "reference.py", "exec", dont_inherit=True), given)
    path = folder / "reply.py"  # some compilers read the source of what they compile
    path.write_text(reply, encoding="utf-8")
    own: dict[str, Any] = {"__name__": "reply", "__file__": str(path)}
    exec(compile(reply, str(path), "exec", dont_inherit=True), own)
    models = []
    for kind in (given["Model"], own["ModelNew"]):
        torch.manual_seed(_SEED)
        models.append(kind(*given["get_init_inputs"]()).to(device).eval())
    with torch.no_grad():
        values = _inputs(given, device)
        models[1](*values)
        tell(compiled=True)
        for trial in range(inputs):
            torch.manual_seed(_SEED + trial)
            values = _inputs(given, device)
            if not _agree(*(model(*values) for model in models)):
                return
        tell(correctness=True)
        times = [_mean_time(model, values, device) for model in models]
    tell(ref_runtime=times[0], runtime=times[1])


def _inputs(given: dict[str, Any], device: str) -> list[Any]:
    return [value.to(device) if hasattr(value, "to") else value for value in given["get_inputs"]()]


def _agree(one: Any, other: Any) -> bool:
    import torch

    return one.shape == other.shape and bool(torch.allclose(one, other, atol=_TOLERANCE, rtol=_TOLERANCE))


def _mean_time(model: Callable[..., Any], values: list[Any], device: str) -> float:
    """Return the mean time of a forward pass with an empty cache, in milliseconds, to three significant digits."""
    import torch

    cuda = device == "cuda"
    cache = torch.empty(_CACHE_BYTES if cuda else 1, dtype=torch.int8, device=device)
    for _ in range(_WARM_UP):
        model(*values)
    times = []
    for _ in range(_TIMED):
        cache.zero_()
        if cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        model(*values)
        if cuda:
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return float(f"{sum(times) / len(times):.3g}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
