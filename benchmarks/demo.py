"""How long the demo takes, with a trained zoo, in two checkouts: seconds, processor time, and what of it models take.

    python benchmarks/demo.py OTHER [--python PYTHON] [--mine HERE] [--rounds 2] [--cores 2]

OTHER is a checkout of another commit, as `git worktree add --detach OTHER COMMIT` makes it, and PYTHON the interpreter of
its environment (the one in use has Snakemake import the logger plugin that is installed there). Both checkouts are copied
to a temporary folder, so nothing that lies in them is touched, and trained once before the clock starts. In every round
both run, the one that begins changing,

* the demo, with empty results and an empty store;
* the demo again, without results and with everything in the store;
* a dry run of the finished demo.

Of a demo it also shows the seconds of its jobs (Snakemake's benchmarks), those in which models were loaded, read and
wrote (`*_job_perf.parquet`), and the floor: this work alone, spread over the cores. On a busy machine compare processor
time. Last come the ratios, of the fastest runs, and whether `moco_main` is the same in both.
"""

import argparse
import csv
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

COPIED = ("moco", "snakemake_logger_plugin_moco", "workflow", "config", "profiles", "Snakefile")
KINDS = ("demo", "again", "dry run")


@dataclass(frozen=True)
class Run:
    """Seconds of one `snakemake` and of its processes; of a demo, those of its jobs and of models in them too."""

    wall: float
    processor: float
    jobs: float = 0.0
    models: float = 0.0


def processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True)
class Checkout:
    """A copy of a checkout, in a folder of its own."""

    name: str
    folder: Path
    python: Path
    cores: int

    @classmethod
    def copied(cls, source: Path, folder: Path, python: Path, cores: int) -> "Checkout":
        folder.mkdir()
        for name in (name for name in COPIED if (source / name).exists()):
            copy = shutil.copytree if (source / name).is_dir() else shutil.copy
            copy(source / name, folder / name)
        return cls(source.name, folder, python, cores)

    def snakemake(self, *arguments: str) -> Run:
        profile = ["--profile", "profiles/local", "--cores", str(self.cores)]
        command = [self.python, "-m", "snakemake", *profile, *arguments]
        started, spent = time.perf_counter(), processor_time()
        path = os.pathsep.join([str(self.python.parent), os.environ["PATH"]])
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "PATH": path}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{self.name}: snakemake ended with {done.returncode}\n{done.stderr[-3000:]}")
        return Run(time.perf_counter() - started, processor_time() - spent)

    def forget(self, *, store: bool) -> None:
        for name in ("results", ".snakemake", *([".moco"] if store else [])):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def demo(self) -> Run:
        run = self.snakemake()
        results = self.folder / "results"
        jobs = sum(
            float(next(csv.DictReader(path.read_text().splitlines(), delimiter="\t"))["s"])
            for path in results.rglob("*.tsv")
        )
        models = 0.0
        for path in results.rglob("*_job_perf.parquet"):
            for row in pq.read_table(path, columns=["seconds", "load_seconds"]).to_pylist():
                models += (row["seconds"] or 0) + (row["load_seconds"] or 0)
        return Run(run.wall, run.processor, jobs, models)

    def measured(self) -> dict[str, Run]:
        self.forget(store=True)
        first = self.demo()
        self.forget(store=False)
        again = self.demo()
        return {"demo": first, "again": again, "dry run": self.snakemake("--dry-run")}

    @property
    def table(self) -> str:
        [path] = (self.folder / "results").rglob("moco_main.csv")
        return path.read_text(encoding="utf-8")


def show(checkout: Checkout, runs: dict[str, Run]) -> None:
    for kind, run in runs.items():
        line = f"{checkout.name:<24} {kind:<8} {run.wall:7.1f} s, {run.processor:7.1f} s of processor time"
        if run.jobs:
            floor = run.models / checkout.cores
            line += (
                f"; jobs {run.jobs:.1f} s, models {run.models:.1f} s of them ({run.models / run.jobs:.0%});"
                f" floor {floor:.1f} s, {run.wall - floor:.1f} s above it"
            )
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, metavar="OTHER", help="checkout to compare with")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="interpreter that runs OTHER")
    parser.add_argument("--mine", type=Path, default=Path(__file__).parents[1], help="checkout that is compared")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="for the copies, removed at the end (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        mine = Checkout.copied(options.mine.resolve(), Path(scratch, "mine"), Path(sys.executable), options.cores)
        other = Checkout.copied(options.other.resolve(), Path(scratch, "other"), options.python, options.cores)
        found: dict[Checkout, list[dict[str, Run]]] = {mine: [], other: []}
        for checkout in found:
            checkout.snakemake("--until", "zoo")
        for number in range(options.rounds):
            for checkout in (mine, other) if number % 2 else (other, mine):
                runs = checkout.measured()
                show(checkout, runs)
                found[checkout].append(runs)
        for kind in KINDS:
            for what in ("wall", "processor"):
                best = {each: min(getattr(runs[kind], what) for runs in found[each]) for each in found}
                ratio = best[other] / best[mine]
                print(f"{kind}, {what}: {other.name} takes {ratio:.2f} times as long as {mine.name}")
        print("moco_main is the same" if mine.table == other.table else "moco_main differs")


if __name__ == "__main__":
    main()
