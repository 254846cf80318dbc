"""What Snakemake tells its logger plugins, and what of it people are shown."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from logging import WARNING, LogRecord
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

from moco.terminal.progress import Progress, duration, why
from moco.terminal.screen import Screen, cut

LAST_LINES = 15
"""Lines of the log of a failed job that are shown."""

_UNSAID = re.compile(
    r"Building DAG of jobs|Assuming unrestricted shared filesystem|Using shell:|host:|Select jobs to execute|"
    r"Execute \d+ jobs|Conda environments: ignored|Reasons:|This was a dry-run|None$|$|Trying to restart|Provided |Rules claiming|Job stats|"
    r"Removing output files|Removing temporary output|Would remove temporary output|Touching output file|Elapsed time:|"
    r"Some jobs were triggered by provenance"
)


class Events:
    """Turns events into lines and progress.

    Args:
        screen: Where they are shown.
        dry_run: Nothing runs; jobs are counted with their reasons and shown as a table at the end.
        show_logs: Show how the log of a failed job ends.
        quiet: Say what failed and what Snakemake warns of, and no more; Snakemake then leaves out events of jobs.
    """

    def __init__(self, screen: Screen, *, dry_run: bool, show_logs: bool, quiet: bool = False) -> None:
        self._screen, self._dry_run, self._show_logs, self._quiet = screen, dry_run, show_logs, quiet
        self._progress = Progress()
        self._reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._failed: dict[int, str] = {}

    def handle(self, record: LogRecord) -> None:
        """Take one event."""
        match getattr(record, "event", None):
            case None:
                self._said(record)
            case LogEvent.RUN_INFO:
                self._run_info(record)
            case LogEvent.JOB_INFO:
                self._job_info(record)
            case LogEvent.JOB_FINISHED:
                self._job_finished(record)
            case LogEvent.JOB_ERROR:
                self._job_error(record)
            case LogEvent.ERROR:
                self._error(record)

    def close(self) -> None:
        """Say how it ended."""
        progress = self._progress
        self._screen.end()
        if not progress.jobs:
            return
        if self._dry_run:
            self._table()
        elif self._quiet:
            pass
        elif progress.done == progress.total:
            self._screen.line(f"{progress.total} jobs done in {duration(progress.elapsed)}", "green")
        else:
            failed = f", {len(self._failed)} failed" if self._failed else ""
            self._screen.line(f"{progress.done} of {progress.total} jobs done{failed}", "red")
            for line in self._failed.values():
                self._screen.line(f"  {line}", "red")
        progress.jobs = {}

    def _run_info(self, record: Any) -> None:
        if self._progress.jobs:
            return
        self._progress.plan({rule: count for rule, count in record.stats.items() if rule not in ("all", "total")})
        if self._dry_run or self._quiet:
            return
        counts = ", ".join(f"{count} {rule}" for rule, count in sorted(self._progress.jobs.items()))
        self._screen.line(cut(f"{self._progress.total} jobs: {counts}"))
        self._screen.begin(self._progress)

    def _job_info(self, record: Any) -> None:
        if self._dry_run:
            self._reasons[record.rule_name][str(record.reason)] += 1
        elif record.rule_name in self._progress.jobs:
            self._progress.start(record.jobid, record.rule_name, _text(record))

    def _job_finished(self, record: Any) -> None:
        found = self._progress.finish(record.job_id)
        self._failed.pop(record.job_id, None)  # a later attempt was good
        if found is not None and self._progress.total:
            job, took = found
            self._screen.finished(self._progress, job.rule, job.text, took)

    def _job_error(self, record: Any) -> None:
        job = self._progress.fail(record.jobid)
        logs = [str(path) for path in record.log or ()]
        parts = [record.rule_name, job.text if job else "", f"see {' '.join(logs)}" if logs else ""]
        line = ": ".join(part for part in parts if part)
        self._failed[record.jobid] = line
        self._screen.line(f"failed: {line}", "red")
        for path in logs if self._show_logs else ():
            for text in _end_of(Path(path)):
                self._screen.line(f"  {text}")

    def _error(self, record: Any) -> None:
        text = record.getMessage().strip()
        if text.startswith("RuleException:\nCalledProcessError"):
            return  # the failed job follows, with its log
        if record.exception == "FileNotFoundError" and "in load_configfile" in text:
            text = text.splitlines()[-1]  # a study that is not there is no fault of the code
        self._screen.line(text, "red")

    def _said(self, record: LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= WARNING:
            self._screen.line(text, "red" if record.levelno > WARNING else "yellow")
        elif not self._quiet and not _UNSAID.match(text):
            self._screen.line(text)

    def _table(self) -> None:
        from moco.terminal.table import dry_run_table

        for line in dry_run_table(self._progress.jobs, {rule: why(found) for rule, found in self._reasons.items()}):
            self._screen.line(line)


def _text(record: Any) -> str:
    """Return what a job does: the message of its rule, or its wildcards."""
    if record.rule_msg:
        return str(record.rule_msg)
    return ", ".join(f"{name}={value}" for name, value in dict(record.wildcards or {}).items())


def _end_of(log: Path) -> Iterable[str]:
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    except OSError:
        return ()
