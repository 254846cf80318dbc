"""Pages of the project, and the tables that stand in them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "config/README.md", "results/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
)
CODE = re.compile(r"`([^`]+)`")


class PageTable(NamedTuple):
    """A table as it is written.

    Attributes:
        head: Cells of its head, joined by " | ".
        rows: Cells of every row.
    """

    head: str
    rows: list[list[str]]


def text_of(name: str) -> str:
    """Return a page by its path in the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def prose_of(text: str) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def tables_in(text: str) -> Iterator[PageTable]:
    """Yield the tables of a page's text from the top to the bottom."""
    for block in re.findall(r"(?:^\|.*\n?)+", prose_of(text), flags=re.MULTILINE):
        head, _, *rows = (_cells(line) for line in block.splitlines())
        yield PageTable(" | ".join(head), rows)


def rows(name: str, head: str) -> list[list[str]]:
    """Return the rows of the only table of a page with this head."""
    (found,) = (table.rows for table in tables_in(text_of(name)) if table.head == head)
    return found


def codes(cell: str) -> list[str]:
    """Return what stands in `code` in a cell."""
    return CODE.findall(cell)


def key_codes(name: str, head: str) -> list[str]:
    """Return what stands in `code` in the first column."""
    return [code for first, *_ in rows(name, head) for code in codes(first)]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split(" | ")]
