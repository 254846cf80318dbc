"""A small table and its three forms: CSV for programs, Markdown for reading, LaTeX for papers."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from moco.analysis.statistics import Interval


@dataclass(frozen=True)
class Quantity:
    """A number in the unit that its column names, shown with three significant digits or more."""

    value: float


Cell = str | int | float | Interval | Quantity

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # After a line break of a tabular, a bracket would be read as its optional argument.
    "[": "{[}",
    "]": "{]}",
}
_MARKDOWN = {"\\": "\\\\", "|": "\\|", "*": "\\*", "`": "\\`", "<": "&lt;", ">": "&gt;"}
_PARTS = ("mean", "low", "high", "n", "seeds")


@dataclass(frozen=True)
class Table:
    """A table of text, counts, shares and intervals.

    Attributes:
        title: One line.
        columns: Names of the columns.
        rows: Cells of each row; a float is a share and shown in percent, an int is a count, a quantity has the unit
            that its column names.
        notes: Sentences below the table.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that every row has a cell per column."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"row {row!r} does not fit columns {self.columns!r}")

    def column(self, index: int) -> list[Cell]:
        """Return the cells of a column."""
        return [row[index] for row in self.rows]

    def is_numeric(self, index: int) -> bool:
        """Return whether a column has numbers."""
        return any(not isinstance(cell, str) for cell in self.column(index))


def number_text(value: float, *, percent: bool = True) -> str:
    """Return a number in percent with one decimal, or in its own unit with two."""
    text = f"{100 * value:.1f}" if percent else f"{value:.2f}"
    return text.lstrip("-") if float(text) == 0 else text


def quantity_text(value: float) -> str:
    """Return a number with three significant digits or all of a whole number: `0.00123`, `12.3`, `1,234`."""
    if value == int(value):
        return f"{value:,.0f}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}" if decimals <= 5 else f"{value:.2e}"


def bounds_text(interval: Interval) -> str:
    """Return the interval without its mean: `[low, high]`."""
    low, high = (number_text(value, percent=interval.percent) for value in (interval.low, interval.high))
    return f"[{low}, {high}]"


def cell_text(cell: Cell) -> str:
    """Return a cell as plain text: `mean [low, high] n=items` for an interval."""
    if isinstance(cell, Interval):
        return f"{number_text(cell.mean, percent=cell.percent)} {bounds_text(cell)} n={cell.n}"
    if isinstance(cell, float):
        return number_text(cell)
    if isinstance(cell, Quantity):
        return quantity_text(cell.value)
    return f"{cell:,}" if isinstance(cell, int) else " ".join(cell.split())


def _exact(cell: Cell) -> str:
    if isinstance(cell, Quantity):
        return repr(cell.value)
    return repr(cell) if isinstance(cell, int | float) else str(cell)


def to_csv(table: Table) -> str:
    """Return a table as CSV with full precision.

    A column NAME with intervals becomes `NAME_mean`, `NAME_low`, `NAME_high`, `NAME_n`, `NAME_seeds` (as fractions,
    not in percent) and `NAME_text`, which holds what a cell says instead of a number. Shares are fractions too, so that
    their columns lose the ` (%)` of the other forms.
    """
    split = [any(isinstance(cell, Interval) for cell in table.column(index)) for index in range(len(table.columns))]
    header: list[str] = []
    for column, apart in zip(table.columns, split, strict=True):
        name = column.removesuffix(" (%)")
        header += [f"{name}_{part}" for part in (*_PARTS, "text")] if apart else [name]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    for row in table.rows:
        line: list[str] = []
        for cell, apart in zip(row, split, strict=True):
            if isinstance(cell, Interval):
                line += [*(repr(getattr(cell, part)) for part in _PARTS), ""]
            elif apart:
                line += [*("" for _ in _PARTS), _exact(cell)]
            else:
                line.append(_exact(cell))
        writer.writerow(line)
    return stream.getvalue()


def _translate(text: str, replacements: dict[str, str]) -> str:
    return "".join(replacements.get(character, character) for character in " ".join(text.split()))


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def to_markdown(table: Table) -> str:
    """Return a table as Markdown, with title and notes."""
    columns = range(len(table.columns))
    lines = [
        f"**{_translate(table.title, _MARKDOWN)}**",
        "",
        _markdown_line([_translate(name, _MARKDOWN) for name in table.columns]),
        _markdown_line(["---:" if table.is_numeric(index) else "---" for index in columns]),
        *(_markdown_line([_translate(cell_text(cell), _MARKDOWN) for cell in row]) for row in table.rows),
    ]
    if table.notes:
        lines += ["", *(f"- {_translate(note, _MARKDOWN)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def latex_escape(text: str) -> str:
    """Return text that LaTeX sets as written."""
    return _translate(text, _LATEX).replace("--", "-{}-")


def _latex_cell(cell: Cell) -> str:
    if isinstance(cell, Interval):
        mean = number_text(cell.mean, percent=cell.percent)
        text = f"{mean} {{\\footnotesize {latex_escape(bounds_text(cell))} $n$={cell.n}}}"
        return text.replace("-", "$-$")
    if isinstance(cell, str):
        return latex_escape(cell_text(cell))
    return cell_text(cell).replace("-", "$-$")


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def to_latex(table: Table) -> str:
    """Return a table as a LaTeX float in booktabs style, shrunk to the line width when it is wider."""
    alignment = "".join("r" if table.is_numeric(index) else "l" for index in range(len(table.columns)))
    lines = [
        r"% \usepackage{booktabs,graphicx}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_escape(table.title)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        _latex_line([latex_escape(name) for name in table.columns]),
        r"\midrule",
    ]
    for index, row in enumerate(table.rows):
        if index and row[0] != table.rows[index - 1][0] and isinstance(row[0], str) and _groups(table):
            lines.append(r"\addlinespace")
        lines.append(_latex_line([_latex_cell(cell) for cell in row]))
    lines += [r"\bottomrule", r"\end{tabular}}"]
    if table.notes:
        lines += ["", r"\smallskip", r"\begin{minipage}{\linewidth}\footnotesize"]
        lines += [rf"{latex_escape(note)}\par" for note in table.notes]
        lines.append(r"\end{minipage}")
    lines.append(r"\end{table}")
    return "\n".join(lines) + "\n"


def _groups(table: Table) -> bool:
    """Return whether the first column repeats, so that its values make groups of rows."""
    first = table.column(0)
    return len(set(first)) < len(first)
