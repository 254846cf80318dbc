"""Snakemake's logger plugin `moco`, which the automatic profile names; Snakemake finds it by the name of this package.

A plugin of our own, since those that exist say nothing between start and end where there is no terminal, and neither
how long it will take nor what a job does where there is one; Snakemake's own switches leave three lines a job or none.
"""

import sys
from logging import LogRecord

from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase

from moco.terminal.events import Events
from moco.terminal.screen import screen_for


class LogHandler(LogHandlerBase):  # type: ignore[misc]
    """Progress for people, or Snakemake's own lines where `--verbose`, `--printshellcmds` or `--debug-dag` ask for all."""

    def __post_init__(self) -> None:
        settings = self.common_settings
        stream = sys.stdout if settings.stdout else sys.stderr
        self._own = self._events = None
        if settings.verbose or settings.printshellcmds or settings.debug_dag:
            self._own = ColorizingTextHandler(nocolor=settings.nocolor, stream=stream)
            self._own.setFormatter(DefaultFormatter(settings.quiet, settings.show_failed_logs))
            self._own.addFilter(
                DefaultFilter(
                    settings.quiet, settings.debug_dag, settings.verbose, settings.dryrun, settings.printshellcmds
                )
            )
        else:
            how = {"dry_run": settings.dryrun, "show_logs": settings.show_failed_logs, "quiet": bool(settings.quiet)}
            self._events = Events(screen_for(stream), **how)

    def emit(self, record: LogRecord) -> None:
        """Show one event of the workflow."""
        try:
            if self._events is not None:
                self._events.handle(record)
            elif self._own is not None:
                self._own.handle(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Leave the terminal as it was; Snakemake calls this more than once."""
        if self._events is not None:
            self._events.close()
        super().close()

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False
