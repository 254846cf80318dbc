"""Documents whose last part is generated from the code."""

import sys
from pathlib import Path


def rewrite(default: str, mark: str, generated: str) -> None:
    """Replace what follows a mark in a document; a command, so that an argument may name another document.

    Args:
        default: The document when no argument names one.
        mark: Where the generated part begins.
        generated: The new part, mark included.
    """
    path = Path(sys.argv[1] if len(sys.argv) > 1 else default)
    written = path.read_text(encoding="utf-8").partition(mark)[0]
    path.write_text(written + generated, encoding="utf-8")
