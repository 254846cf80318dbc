"""Commands that start a guest program apart from the rest of the machine."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Literal

from moco.errors import RequestError
from moco.scoring.sandbox import guest
from moco.scoring.sandbox.seccomp import system_call_filter

Kind = Literal["bwrap", "limits"]
ALLOW_LIMITS = (
    "allow the weaker isolation: scoring.code.isolation: limits in a study, --isolation limits beside --cases"
)

PROCESSES = 16
"""Processes and threads of code under test."""
SCRATCH_BYTES = 32_000_000
"""What code under test can write in all."""
FILE_BYTES = 5_000_000
"""Largest file that code under test can write."""

_GUEST_HOME = "/harness"
_SCRATCH = "/tmp"
_PACKAGES = "/packages"
_FIRST_UID = 1 << 30
_UIDS_PER_PROCESS = 256
_numbers = itertools.count()
_ENVIRONMENT = {"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
_SYSTEM = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64")


@dataclass(frozen=True)
class Place:
    """Where one guest program runs.

    Attributes:
        command: Starts it; the name of the guest module is still to come.
        uid: User that the guest becomes; None: it stays who it is.
        processes: Limit on processes; None where the kernel counts other programs' too and it would not help.
        environment: All variables of the process.
        folder: Its working folder on this machine; None where the command sets it.
        files: Open files that the command reads.
        packages: Folders, as the guest sees them, of the packages that it may import.
    """

    command: Sequence[str]
    uid: int | None
    processes: int | None
    environment: dict[str, str] = field(default_factory=lambda: dict(_ENVIRONMENT))
    folder: Path | None = None
    files: tuple[int, ...] = ()
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bubblewrap:
    """A sandbox: no network, no files but Python's own, its own processes and users.

    Attributes:
        program: Path of bubblewrap.
        as_root: Whether to start as root and become a user of its own inside; otherwise a user namespace does that.
            Root's processes are never counted, so only the former bounds a fork bomb where this process is root.
    """

    program: str
    as_root: bool

    @contextmanager
    def place(self, packages: Sequence[str] = ()) -> Iterator[Place]:
        """Give a fresh sandbox.

        Args:
            packages: Installed packages that can be imported in it.
        """
        with TemporaryFile() as stream:
            refused = system_call_filter()
            stream.write(refused or b"")
            stream.seek(0)
            words = [*self._namespaces(), *_files(packages), "--chdir", _SCRATCH]
            words += ["--seccomp", str(stream.fileno())] if refused else []
            yield Place(
                [self.program, *words, "--", *_interpreter(_GUEST_HOME)],
                uid=_unused_uid() if self.as_root else None,
                processes=PROCESSES,
                files=(stream.fileno(),),
                packages=(_PACKAGES,) if packages else (),
            )

    def _namespaces(self) -> list[str]:
        words = "--unshare-ipc --unshare-net --unshare-pid --unshare-uts --unshare-cgroup-try --hostname sandbox"
        words += " --die-with-parent --new-session --clearenv"
        if self.as_root:
            words += " --cap-drop ALL --cap-add CAP_SETUID --cap-add CAP_SETGID"
        else:
            words += " --unshare-user --uid 65534 --gid 65534 --cap-drop ALL"
        variables = [word for name, value in _ENVIRONMENT.items() for word in ("--setenv", name, value)]
        return [*words.split(), *variables]


class Limits:
    """No sandbox: an empty folder, a clean environment and limits on resources."""

    @contextmanager
    def place(self, packages: Sequence[str] = ()) -> Iterator[Place]:
        """Give a fresh folder, from which the whole environment of the packages can be imported."""
        with TemporaryDirectory(prefix="moco-code-") as folder:
            home = str(Path(guest.__file__).parents[1])
            # Processes are counted per user here: with a limit of one, none can be started at all.
            found = tuple(dict.fromkeys(str(path.parent) for path in _package_folders(packages)))
            yield Place(_interpreter(home), uid=None, processes=1, folder=Path(folder), packages=found)


Isolation = Bubblewrap | Limits


def candidates(kind: Kind) -> list[Isolation]:
    """Return isolations of a kind that may work here, best first.

    Raises:
        RequestError: Bubblewrap is missing.
    """
    if kind == "limits":
        return [Limits()]
    program = shutil.which("bwrap")
    if program is None:
        raise RequestError(
            "bubblewrap is not installed, so no code can be executed in a sandbox",
            where="scoring.code.isolation",
            remedy=f"install bubblewrap, or {ALLOW_LIMITS}",
        )
    ways = [True, False] if os.geteuid() == 0 else [False]
    return [Bubblewrap(program, as_root) for as_root in ways]


def _interpreter(home: str) -> list[str]:
    start = f"import sys, importlib; sys.path.insert(0, {home!r}); importlib.import_module(sys.argv.pop(1)).main()"
    return [str(_python()), "-s", "-S", "-P", "-c", start]


def _python() -> Path:
    base = getattr(sys, "_base_executable", None) or sys.executable
    return Path(base).resolve()


def _package_folders(packages: Sequence[str]) -> list[Path]:
    """Return the folders of installed packages, with those of the libraries that their wheels bring along."""
    found = []
    for package in packages:
        spec = find_spec(package)
        for home in map(Path, (spec and spec.submodule_search_locations) or ()):
            found += [path for path in (home, home.with_name(f"{home.name}.libs")) if path.is_dir()]
    return found


def _files(packages: Sequence[str]) -> list[str]:
    """Return what a sandbox sees of the file system; all of it can only be read, but for a small folder in memory."""
    links = {path: Path(path).readlink() for path in _SYSTEM if Path(path).is_symlink()}
    shown = [Path(path) for path in _SYSTEM if Path(path).is_dir() and path not in links]
    shown += [*_python_folders(), _python(), *(path for path in [Path("/etc/ld.so.cache")] if path.exists())]
    bound = {place: place for place in shown}
    bound[Path(_GUEST_HOME, "guest")] = Path(guest.__file__).parent
    bound |= {Path(_PACKAGES, path.name): path for path in _package_folders(packages)}
    devices = [Path("/dev", name) for name in ("null", "zero", "random", "urandom")]
    words: list[str] = []
    for folder in sorted({parent for place in [*bound, *devices] for parent in place.parents} - {Path("/")}):
        words += ["--perms", "0755", "--dir", str(folder)]
    for path, aim in links.items():
        words += ["--symlink", str(aim), path]
    for place, source in bound.items():
        words += ["--ro-bind", str(source), str(place)]
    for place in devices:
        words += ["--dev-bind", str(place), str(place)]
    for place in _further_packages():
        words += ["--tmpfs", str(place), "--remount-ro", str(place)]
    words += ["--perms", "1777", "--size", str(SCRATCH_BYTES), "--tmpfs", _SCRATCH, "--remount-ro", "/"]
    return words


def _python_folders() -> list[Path]:
    prefixes = dict.fromkeys([Path(sys.base_prefix).resolve(), Path(sys.base_exec_prefix).resolve()])
    folders = [prefix / name for prefix in prefixes for name in ("lib", "lib64")]
    return [folder for folder in folders if folder.is_dir() and not folder.is_symlink() and str(folder) not in _SYSTEM]


def _further_packages() -> list[Path]:
    """Return folders of installed packages below what a sandbox sees; they are covered up."""
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    names = [sysconfig.get_path(name, vars=base) for name in ("purelib", "platlib")]
    found = [*map(Path, names), Path("/usr/lib/python3/dist-packages")]
    return list(dict.fromkeys(path.resolve() for path in found if path.is_dir()))


def _unused_uid() -> int:
    """Return a user id of no account, which no other sandbox of this machine has at the same time."""
    return _FIRST_UID + (os.getpid() % (1 << 21)) * _UIDS_PER_PROCESS + next(_numbers) % _UIDS_PER_PROCESS


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process with all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
