"""What a job really did: progress while it works, performance files and a summary per model at its end."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moco import paths
from moco.jobs.resident import ResidentEngines
from moco.progress import Progress, duration
from moco.records import JOB_PERF, PERF, Provenance, write_rows
from moco.store.generations import Keyed

log = logging.getLogger("moco")


class RequestProgress(Progress):
    """Progress of requests to a model: how many are done, tokens per second, and the time left.

    Long requests come first, so the time left is estimated from the tokens that the requests occupy.

    Args:
        label: What is being done.
        requests: Those to be made, by store key; those that do not tell their `width` in tokens count alike.
        cached: How many more were in the store.
        read: Tokens that the model has read for them so far; left out, what every row says for itself.
    """

    def __init__(
        self, label: str, requests: Mapping[str, object], cached: int, read: Callable[[], int] | None = None
    ) -> None:
        super().__init__(label, cached + len(requests))
        self._read_by_now = read
        self.done = self._cached = cached
        self._widths = {key: int(getattr(request, "width", 1)) for key, request in requests.items()}
        self._all, self._worked, self._made, self._read = sum(self._widths.values()), 0, 0, 0

    def made(self, row: Keyed) -> None:
        """Report a finished request."""
        self._worked += self._widths.pop(row.key, 0)
        self._made += row.made_tokens
        self._read += row.read_tokens
        self.advance()

    def _line(self, now: float) -> str:
        seconds = max(now - self._start, 1e-9)
        stored = f" ({self._cached:,} in the store)" if self._cached else ""
        read = self._read if self._read_by_now is None else self._read_by_now()
        speed = f"{self._made / seconds:,.0f} new tokens/s" if self._made else f"{read / seconds:,.0f} tokens/s read"
        line = f"{self.label} {self.done:,}/{self.total:,}{stored}, {speed}"
        if self._worked and self.done < self.total:
            line += f", about {duration(seconds * (self._all - self._worked) / self._worked)} left"
        return line


@dataclass
class Account:
    """What one model did in one job.

    Attributes:
        items: Requests, those that the store had included.
        cached: Those that the store had.
        read_tokens: Tokens of prompts and given texts that the model read for the others; what several share counts as
            often as it was really read.
        made_tokens: Tokens that it wrote for them.
        seconds: From asking the store to the last result, without loading.
        loads: Times that it was loaded.
        load_seconds: What that took.
    """

    items: int = 0
    cached: int = 0
    read_tokens: int = 0
    made_tokens: int = 0
    seconds: float = 0.0
    loads: int = 0
    load_seconds: float = 0.0

    def add(self, rows: Iterable[Keyed], fresh: Iterable[str], read: int | None = None) -> None:
        """Count finished requests.

        Args:
            rows: With each key once.
            fresh: Keys of those that were made now.
            read: Tokens that the model read for them; None: what every row says for itself.
        """
        fresh = set(fresh)
        self.read_tokens += read or 0
        for row in rows:
            self.items += 1
            if row.key not in fresh:
                self.cached += 1
                continue
            self.read_tokens += row.read_tokens if read is None else 0
            self.made_tokens += row.made_tokens

    def line(self) -> str:
        """Return what a person wants to know of it."""
        loads = (
            f"{self.loads} load{'s' * (self.loads > 1)} in {duration(self.load_seconds)}" if self.loads else "no load"
        )
        if not self.items:
            return loads
        parts = [f"{self.items:,} item{'s' * (self.items > 1)}, {self.cached:,} in the store"]
        count, kind = (self.made_tokens, "new tokens") if self.made_tokens else (self.read_tokens, "tokens read")
        if self.items > self.cached:
            parts.append(f"{count:,} {kind}, {count / max(self.seconds, 1e-9):,.0f}/s")
        return "; ".join([*parts, loads, f"{duration(self.seconds + self.load_seconds)} in all"])


class Accounts:
    """What every model did in one job.

    Args:
        resident: Of the job's loaded models.
    """

    def __init__(self, resident: ResidentEngines) -> None:
        self._resident = resident
        self._accounts: dict[str, Account] = {}
        self._names: dict[str, str] = {}

    def group(self, model: str, name: str) -> None:
        """Count a model, of which there may be hundreds, under a common name."""
        self._names[model] = name

    @contextmanager
    def of(self, model: str) -> Iterator[Account]:
        """Give a model's account, and count the seconds until it is left, without loads."""
        account = self.account(model)
        started, loading = time.monotonic(), self._loading()
        yield account
        account.seconds += time.monotonic() - started - (self._loading() - loading)

    def account(self, model: str) -> Account:
        """Return a model's account, or the one that it shares."""
        return self._accounts.setdefault(self._names.get(model, model), Account())

    def _loading(self) -> float:
        return sum(load.seconds for load in self._resident.loaded)

    def finished(self) -> dict[str, Account]:
        """Return the accounts by model; joint replies go by the names of all their models."""
        for account in self._accounts.values():
            account.loads, account.load_seconds = 0, 0.0
        for load in self._resident.loaded:
            account = self.account(load.model)
            account.loads += 1
            account.load_seconds += load.seconds
        return dict(self._accounts)

    def close(self, path: Path, about: Mapping[str, Any], provenance: Provenance) -> None:
        """Say in one line per model what a job did, and write it beside the job's file.

        Args:
            path: What the job writes.
            about: What the job was: `pool`, `system`, `tasks`, `splits`, `seed`.
            provenance: Of the job.
        """
        accounts = self.finished()
        for model, account in accounts.items():
            log.info("%s in total: %s", model, account.line())
        common = {"job": provenance.verb, "pool": None, "seed": None, **about}
        rows = [{**common, "model": model, **vars(account)} for model, account in accounts.items()]
        write_rows(job_perf_path(path), JOB_PERF, rows, provenance)


def write_failed_perf(path: Path, provenance: Provenance) -> None:
    """Write the performance files of a job that failed for good: nothing is known of its work."""
    write_rows(Path(paths.perf(str(path))), PERF, (), provenance)
    write_rows(job_perf_path(path), JOB_PERF, (), provenance)


def job_perf_path(path: Path) -> Path:
    """Return the file of a job's accounts beside one of its record files."""
    return Path(paths.job_perf(str(path)))


def reply_row(model: str, key: str, *, cached: bool, seconds: float) -> dict[str, Any]:
    """Return the row of one reply, or of one text that was scored."""
    return {"kind": "reply", "key": key, "model": model, "cached": cached, "seconds": seconds}


def load_rows(resident: ResidentEngines) -> list[dict[str, Any]]:
    """Return one row per load of a job."""
    return [
        {"kind": "load", "key": None, "model": load.model, "cached": False, "seconds": load.seconds}
        for load in resident.loaded
    ]
