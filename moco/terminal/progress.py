"""What a run of the workflow has done, does and has before it, from the events of its jobs."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass
class Running:
    """A job that runs: its rule, what it does in words, and when it began."""

    rule: str
    text: str
    began: float


@dataclass
class Progress:
    """Jobs of a run by rule. Times are in seconds.

    Args:
        clock: Says what time it is.
    """

    clock: Callable[[], float] = time.monotonic
    jobs: dict[str, int] = field(default_factory=dict)
    running: dict[int, Running] = field(default_factory=dict)
    _took: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _began: float = 0.0

    def plan(self, jobs: Mapping[str, int]) -> None:
        """Begin a run with so many jobs by rule."""
        self.jobs, self._began = dict(jobs), self.clock()

    def start(self, job: int, rule: str, text: str) -> None:
        """Note that a job runs."""
        self.running[job] = Running(rule, text, self.clock())

    def fail(self, job: int) -> Running | None:
        """Note that a job runs no more, and return it."""
        return self.running.pop(job, None)

    def finish(self, job: int) -> tuple[Running, float] | None:
        """Note that a job is done, and return it with the time it took; None for one that was never started."""
        found = self.running.pop(job, None)
        if found is None:
            return None
        took = self.clock() - found.began
        self._took[found.rule].append(took)
        return found, took

    @property
    def total(self) -> int:
        """Number of jobs."""
        return sum(self.jobs.values())

    @property
    def done(self) -> int:
        """Number of jobs that are done."""
        return sum(map(len, self._took.values()))

    @property
    def elapsed(self) -> float:
        """Time since the run began."""
        return self.clock() - self._began

    def left(self) -> float | None:
        """Return about how long it will take, from the mean time of jobs by rule; None before a job is done.

        Jobs of rules of which none is done count as the mean of all. So many run at once as did so far.
        """
        if not self.done or self.elapsed <= 0:
            return None
        now, spent = self.clock(), sum(map(sum, self._took.values()))
        mean = spent / self.done
        means = {rule: sum(took) / len(took) if (took := self._took.get(rule)) else mean for rule in self.jobs}
        work = sum(means[rule] * (count - len(self._took.get(rule, ()))) for rule, count in self.jobs.items())
        gone = {job: now - each.began for job, each in self.running.items()}
        work -= sum(min(gone[job], means.get(each.rule, mean)) for job, each in self.running.items())
        return max(work, 0.0) * self.elapsed / (spent + sum(gone.values())) if spent else None


def duration(seconds: float) -> str:
    """Return a time as people say it: 8 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


REASONS = {
    "Forced execution": "forced",
    "Missing output files": "new",
    "Incomplete output files": "interrupted",
    "Params have changed": "settings or code that decide the result changed",
    "Code has changed": "the rule changed",
    "Software environment definition": "its environment changed",
    "Set of input files has changed": "it reads other files",
    "Updated input files": "a file that it reads changed",
    "Input files updated by another job": "what it reads is made again",
}
"""How Snakemake's reasons begin, the most telling first, and what they come to."""


def why(reasons: Counter[str]) -> str:
    """Return Snakemake's reasons for jobs in few words with their numbers, such as `8 new, 2 forced`."""
    short: Counter[str] = Counter()
    for reason, count in reasons.items():
        said = next((said for begins, said in REASONS.items() if begins in reason), "needed by another job")
        short[said] += count
    return ", ".join(f"{count} {said}" if len(short) > 1 else said for said, count in short.most_common())
