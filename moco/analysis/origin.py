"""Where and by which code a page was made."""

import os
import platform
import subprocess
from pathlib import Path

import moco
from moco.machine import usable_cores


def commit() -> str:
    """Return the commit of this checkout, and whether its code was changed since; or the version of an installed package."""
    folder = Path(moco.__file__).parent
    # A package that is installed below somebody's repository is not part of it.
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return f"no checkout, moco {moco.__version__}"
    clean = _git(folder, "diff", "--quiet", "HEAD", "--", ".", "../workflow", "../config") is not None
    return f"{_git(folder, 'rev-parse', '--short=12', 'HEAD')}" + ("" if clean else " with changes")


def machine() -> str:
    """Return processor, cores, memory and system of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{_processor()}, {usable_cores()} cores, {memory:.0f} GiB, {platform.system()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git says; None where it fails or is missing."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return None if done.returncode else done.stdout.strip()
