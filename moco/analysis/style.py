"""Sizes, colours and fonts of every figure."""

from typing import Any

TWO_COLUMN = 7.0
"""Width of a figure over two columns, in inches."""

LEVEL_COLOURS = {
    "api": "#0072B2",
    "text": "#E69F00",
    "logit": "#009E73",
    "weight": "#CC79A7",
    "control": "#7F7F7F",
}
"""Colour of each level in every figure (Okabe-Ito)."""

LEVEL_HATCHES = {"api": "", "text": "////", "logit": "....", "weight": "\\\\\\\\", "control": "xxxx"}
"""Hatch of each level, so that the levels differ in grey too."""

LEVEL_MARKERS = {"api": "s", "text": "o", "logit": "^", "weight": "D", "control": "X"}
"""Marker of each level, for the same reason."""

SINGLE_MARKERS = {"single": "v", "oracle": "*"}
"""Marker of a model on its own, and of the best one on the test items; both are hollow."""

OTHER_COLOUR = "#000000"
"""Colour of what belongs to no level."""

INK = "#222222"
SOFT = "#666666"
GRID = "#D9D9D9"

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.0,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    # Sizes of words are measured at the resolution at which they are drawn.
    "figure.dpi": 200,
    "savefig.dpi": 200,
}
"""Settings under which figures are drawn and saved."""
