"""The demo gives what the README shows, to the last digit, also where sums are taken in another order."""

import pytest
from support.projects import ROOT, new_project

pytestmark = pytest.mark.slow

OTHER_INSTRUCTIONS = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"}


def table(path):
    """Return the rows of the table of results on a page."""
    lines = path.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| pool | system |"))
    return [line for line in lines[start : lines.index("", start)] if line]


def test_the_readme_shows_the_demo_whatever_the_vector_instructions(tmp_path, zoo_cache):
    demo = new_project(tmp_path / "project", zoo_cache, "config/config.yaml")
    demo.snakemake("--quiet", "all", **OTHER_INSTRUCTIONS)
    shown = table(ROOT / "README.md")
    assert len(shown) > 10
    assert shown == table(demo.results / "tables/moco_main.md")
