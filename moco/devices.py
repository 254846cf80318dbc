"""GPUs of one job: a short grant is refused, and jobs of one machine get distinct devices.

Under SLURM, or wherever CUDA_VISIBLE_DEVICES is set, that choice is kept. Otherwise devices are leased by file locks,
since Snakemake counts GPUs but hands out no device numbers.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from moco.errors import WorkError

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def device_count() -> int:
    """Return the number of GPUs of this machine: `$MOCO_DEVICES`, or what the driver lists; torch is not imported."""
    given = os.environ.get("MOCO_DEVICES")
    if given:
        return int(given)
    try:
        listing = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())


@contextmanager
def granted_devices(granted: int, needed: int) -> Iterator[str]:
    """Hold the devices of a job while it runs.

    Args:
        granted: GPUs that the scheduler granted.
        needed: GPUs that the job needs.

    Yields:
        The devices as CUDA_VISIBLE_DEVICES names them; empty where the job needs none.

    Raises:
        WorkError: The grant is short, or the machine has too few devices.
    """
    if granted < needed:
        raise WorkError(
            f"{granted} of {needed} GPUs were granted",
            where="resources.gpu",
            remedy="raise `resources: gpu` in the profile, or use smaller models",
        )
    if not needed:
        yield ""
        return
    if os.environ.get(_VISIBLE):
        yield os.environ[_VISIBLE]
        return
    with ExitStack() as held:
        os.environ[_VISIBLE] = ",".join(map(str, _lease(needed, held)))
        try:
            yield os.environ[_VISIBLE]
        finally:
            del os.environ[_VISIBLE]


def _lease(needed: int, held: ExitStack) -> list[int]:
    count = device_count()
    if count < needed:
        raise WorkError(
            f"this machine has {count} GPUs, the job needs {needed}",
            where="resources.gpu",
            remedy="use another profile",
        )
    folder = Path(tempfile.gettempdir()) / f"moco-devices-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    while True:
        # All or nothing: a job that held some devices while it waits for more could block another such job for ever.
        with ExitStack() as attempt:
            leased: list[int] = []
            for device in range(count):
                with suppress(Timeout):
                    attempt.enter_context(FileLock(folder / f"{device}.lock", timeout=0))
                    leased.append(device)
                if len(leased) == needed:
                    held.enter_context(attempt.pop_all())
                    return leased
        time.sleep(0.5)
