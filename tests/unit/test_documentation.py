"""What the documentation shows is what the code says."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def blocks(name: str, language: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_documented_method_is_the_one_in_the_package():
    source = (ROOT / "moco/methods/control/most_likely.py").read_text(encoding="utf-8")
    (shown,) = blocks("docs/add-a-method.md", "python")
    assert shown.replace("control_likeliest", "control_most_likely").replace("Likeliest", "MostLikely") == source


def test_links_between_documents_lead_somewhere():
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "config/README.md"]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
