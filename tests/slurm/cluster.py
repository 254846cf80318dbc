"""A SLURM of one node with two pretended GPUs, for tests: `python tests/slurm/cluster.py start|stop|status`.

It needs root and the Debian packages slurm-wlm and munge, but no systemd and no network. Everything lies in one folder,
the authentication socket included, but for a link at /etc/slurm/slurm.conf (Snakemake's plugin hands no SLURM_CONF on
to its job steps) and, where the host name is unknown, a line in /etc/hosts. `stop` removes both.
"""

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

GPUS = 2
GPU_MODEL = "pretended"
CPUS = 2
DAEMONS = ("munged", "slurmctld", "slurmd")
_HOSTS = Path("/etc/hosts")
_LINK = Path("/etc/slurm/slurm.conf")
_MARK = "# SLURM for tests"
# Any two device files make SLURM hand out the numbers 0 and 1.
_DEVICES = ("/dev/null", "/dev/zero")


class ClusterError(Exception):
    """The cluster cannot be started here; one line says why."""


def obstacle() -> str | None:
    """Return why no cluster can be started on this machine; None if one can."""
    missing = [name for name in (*DAEMONS, "sbatch") if shutil.which(name, path=_search_path()) is None]
    if missing:
        return f"{', '.join(missing)} not found: apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "a SLURM for tests is started by root only"
    if "SLURM_CONF" in os.environ or (_LINK.exists() and not _LINK.is_symlink()):
        return f"this machine has a SLURM of its own ({os.environ.get('SLURM_CONF', _LINK)})"
    return None


def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


@dataclass(frozen=True)
class Cluster:
    """One node, two partitions (`cpu` and `gpu`), two pretended GPUs."""

    folder: Path

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    def command(self, *words: str) -> str:
        """Return what a command of SLURM prints."""
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            raise ClusterError(f"{words[0]}: {done.stderr.strip()}")
        return done.stdout

    def running(self) -> dict[str, int]:
        """Return process ids of the daemons that run, by name."""
        found = {}
        for name in DAEMONS:
            pid_file = self.folder / f"{name}.pid"
            if pid_file.exists() and (pid := pid_file.read_text().strip()) and _is(int(pid), name):
                found[name] = int(pid)
        return found

    def node_state(self) -> str:
        """Return the state of the node, for instance idle; empty when the controller does not answer."""
        try:
            return self.command("sinfo", "--noheader", "--format=%T").split()[0]
        except (ClusterError, IndexError):
            return ""

    def start(self) -> None:
        """Start what does not run, and wait until the node takes jobs."""
        reason = obstacle()
        if reason:
            raise ClusterError(reason)
        if set(self.running()) == set(DAEMONS):
            return
        self.stop()
        if _LINK.exists():
            other = Cluster(_LINK.resolve().parent)
            if other.running():
                raise ClusterError(f"another one runs: python tests/slurm/cluster.py stop --folder {other.folder}")
        self._write()
        _make_resolvable(_host())
        munge = [f"--{name}={self.folder / path}" for name, path in _MUNGE.items()]
        # Everybody may write to a temporary folder, which munged takes for a mistake.
        self._launch("munged", "--force", *munge)
        self._launch("slurmctld", "-c", "-f", str(self.conf))
        self._launch("slurmd", "-c", "-f", str(self.conf))
        deadline = time.monotonic() + 30
        while self.node_state() not in ("idle", "mixed", "allocated"):
            if time.monotonic() > deadline:
                state = self.node_state() or "no answer"
                logs = " | ".join(line for name in DAEMONS for line in self._log(name)[-3:])
                self.stop()
                raise ClusterError(f"the node does not get ready ({state}): {logs}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Cancel all jobs and end all daemons; logs stay."""
        running = self.running()
        if set(running) == set(DAEMONS):
            with suppress(ClusterError):
                self._cancel_jobs()
        for name, pid in reversed(running.items()):
            _end(pid, name)
        if _LINK.is_symlink() and _LINK.readlink() == self.conf:
            _LINK.unlink()
        _forget_host()

    def _cancel_jobs(self) -> None:
        self.command("scancel", "--user=root")
        deadline = time.monotonic() + 20
        while self.command("squeue", "--noheader").strip() and time.monotonic() < deadline:
            time.sleep(0.2)

    def _launch(self, name: str, *arguments: str) -> None:
        program = shutil.which(name, path=_search_path())
        assert program is not None
        done = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            self.stop()
            raise ClusterError(f"{name}: {' '.join((done.stderr or done.stdout).split())}")

    def _log(self, name: str) -> list[str]:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def _write(self) -> None:
        for name in ("", "controller", "node"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        key = self.folder / _MUNGE["key-file"]
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        controller_port, node_port = _free_ports(2)
        self.conf.write_text(
            _SLURM_CONF.format(
                folder=self.folder,
                host=_host(),
                controller_port=controller_port,
                node_port=node_port,
                socket=self.folder / _MUNGE["socket"],
                cpus=CPUS,
                gpus=GPUS,
                model=GPU_MODEL,
            )
        )
        lines = [f"NodeName={_host()} Name=gpu Type={GPU_MODEL} File={device}\n" for device in _DEVICES]
        (self.folder / "gres.conf").write_text("".join(lines))
        _LINK.parent.mkdir(parents=True, exist_ok=True)
        _LINK.unlink(missing_ok=True)
        _LINK.symlink_to(self.conf)


_MUNGE = {
    "key-file": "munge.key",
    "socket": "munge.socket",
    "pid-file": "munged.pid",
    "log-file": "munged.log",
    "seed-file": "munge.seed",
}

# Memory is not enforced, and the node may claim more than the machine has. Finished jobs are remembered for a day, since
# there is no accounting that could be asked.
_SLURM_CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={socket}
CredType=cred/munge
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/node
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
MinJobAge=86400
KillWait=5
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=64000 Gres=gpu:{model}:{gpus}
PartitionName=cpu Nodes={host} Default=YES MaxTime=1-00:00:00 OverSubscribe=NO
PartitionName=gpu Nodes={host} MaxTime=1-00:00:00 OverSubscribe=NO
"""


def _host() -> str:
    return socket.gethostname().partition(".")[0]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _make_resolvable(host: str) -> None:
    try:
        socket.gethostbyname(host)
    except OSError:
        with _HOSTS.open("a") as stream:
            stream.write(f"127.0.0.1 {host} {_MARK}\n")


def _forget_host() -> None:
    lines = _HOSTS.read_text().splitlines(keepends=True) if _HOSTS.exists() else []
    kept = [line for line in lines if _MARK not in line]
    if kept != lines:
        # Written in place: in a container the file is a mount and cannot be replaced.
        _HOSTS.write_text("".join(kept))


def _is(pid: int, name: str) -> bool:
    try:
        return (Path("/proc") / str(pid) / "comm").read_text().strip() == name
    except OSError:
        return False


def _end(pid: int, name: str) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not _is(pid, name):
            return
        os.kill(pid, number)
        deadline = time.monotonic() + 10
        while _is(pid, name) and time.monotonic() < deadline:
            time.sleep(0.05)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["start", "stop", "status"])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "moco-slurm")
    options = parser.parse_args()
    cluster = Cluster(options.folder.resolve())
    try:
        if options.action == "start":
            cluster.start()
        elif options.action == "stop":
            cluster.stop()
        else:
            running = ", ".join(cluster.running()) or "nothing"
            print(f"{running} running; node {cluster.node_state() or 'down'}")
            return 0 if cluster.node_state() else 1
    except ClusterError as error:
        print(f"cluster.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
