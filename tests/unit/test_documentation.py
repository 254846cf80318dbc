"""What the documentation shows is what the code says."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]


def blocks(name: str, language: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_documented_method_is_the_one_in_the_package():
    source = (ROOT / "moco/methods/control/most_likely.py").read_text(encoding="utf-8")
    shown = blocks("docs/add-a-method.md", "python")
    assert len(shown) == 4
    for block in shown:
        assert textwrap.indent(block, "    ") in source


def test_links_between_documents_lead_somewhere():
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "config/README.md"]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
