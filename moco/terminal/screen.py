"""Where progress is shown: a terminal with a display at its bottom, or lines of text alone."""

import os
from typing import Any, Protocol, TextIO

from moco.terminal.progress import Progress, duration

WIDTH = 160
"""Characters of a line of progress; what people or programs say is never cut."""


class Screen(Protocol):
    """Shows lines, and what runs."""

    def line(self, text: str, style: str = "") -> None:
        """Show a line for good."""

    def begin(self, progress: Progress) -> None:
        """Show a run that begins."""

    def finished(self, progress: Progress, rule: str, text: str, took: float) -> None:
        """Show that a job is done."""

    def end(self) -> None:
        """Show progress no longer."""


def screen_for(stream: TextIO) -> Screen:
    """Return the display for a stream."""
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return Terminal(stream)
    return Lines(stream)


def cut(text: str, width: int = WIDTH) -> str:
    """Return a text on one line, at most so long."""
    text = " ".join(text.splitlines())
    return text if len(text) <= width else f"{text[: width - 1]}…"


class Lines:
    """A line per finished job; of more than a hundred jobs, whenever another hundredth is done."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def line(self, text: str, style: str = "") -> None:  # noqa: ARG002
        """Write a line."""
        print(text, file=self._stream, flush=True)

    def begin(self, progress: Progress) -> None:
        """Write nothing."""

    def finished(self, progress: Progress, rule: str, text: str, took: float) -> None:
        """Write how far it is, how long it will take, and what was done last."""
        total, done, left = progress.total, progress.done, progress.left()
        if done * 100 // total == (done - 1) * 100 // total:
            return
        ahead = f"about {duration(left)} left" if left is not None and done < total else duration(progress.elapsed)
        self.line(cut(f"{done:>{len(str(total))}}/{total}, {ahead}: {rule}: {text} ({duration(took)})"))

    def end(self) -> None:
        """Write nothing."""


class Terminal:
    """A bar and the running jobs below what was written; they go when the run ends."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream, highlight=False)
        self._live: Any = None

    def line(self, text: str, style: str = "") -> None:
        """Write a line above the display."""
        self._console.print(text, style=style or None, markup=False, soft_wrap=True)

    def begin(self, progress: Progress) -> None:
        """Show the display."""
        from rich.live import Live

        if self._live is None:
            self._live = Live(
                console=self._console,
                transient=True,
                refresh_per_second=4,
                get_renderable=lambda: self._display(progress),
            )
            self._live.start()

    def finished(self, progress: Progress, rule: str, text: str, took: float) -> None:
        """Write nothing: the display shows it."""

    def end(self) -> None:
        """Take the display away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _display(self, progress: Progress) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        left = progress.left()
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=max(progress.total, 1), completed=progress.done, width=30),
            f"{progress.done} of {progress.total} jobs",
            duration(progress.elapsed),
            "" if left is None else f"about {duration(left)} left",
        )
        jobs = Table.grid(padding=(0, 2))
        jobs.add_column(no_wrap=True, style="cyan")
        jobs.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        jobs.add_column(no_wrap=True, justify="right")
        running = sorted(progress.running.copy().values(), key=lambda job: job.began)
        shown = running[: max(3, self._console.height // 2)]
        for job in shown:
            jobs.add_row(job.rule, Text(job.text), duration(progress.clock() - job.began))
        more = [Text(f"and {len(running) - len(shown)} more")] if len(running) > len(shown) else []
        return Group(bar, jobs, *more)
