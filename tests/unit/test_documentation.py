"""What the documentation shows is what the code says."""

import ast
import re
from pathlib import Path

from moco.methods import pages
from moco.methods.base import LEVELS
from moco.methods.catalogue import method_ids

ROOT = Path(__file__).parents[2]


def blocks(name: str, language: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_documented_method_is_the_one_in_the_package():
    source = (ROOT / "moco/methods/control/most_likely.py").read_text(encoding="utf-8")
    (shown,) = blocks("docs/add-a-method.md", "python")
    assert shown.replace("control_likeliest", "control_most_likely").replace("Likeliest", "MostLikely") == source


def test_links_between_documents_lead_somewhere():
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "config/README.md"]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def documents():
    return [
        ROOT / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *(ROOT / name / "README.md" for name in ("config", "results")),
    ]


def test_files_of_this_project_that_documents_name_exist():
    made_by_the_page = {"moco/methods/control/likeliest.py"}
    for path in documents():
        named = re.findall(
            r"`((?:moco|workflow|tests|benchmarks|config|profiles|docs)/[\w./-]+)`", path.read_text(encoding="utf-8")
        )
        missing = [name for name in named if name not in made_by_the_page and not (ROOT / name).exists()]
        assert not missing, path.name


def test_documents_name_files_of_results_below_their_study():
    kinds = "tables|figures|report|tasks|models|checkpoints|generations|logits|fits|answers|scores|evolution|analysis"
    for path in (*documents(), ROOT / "Makefile"):
        # A bundle holds one study, whose files lie below `results` itself.
        assert not re.findall(rf"(?<!unpacked/)results/(?:{kinds})\b.*", path.read_text(encoding="utf-8")), path.name


def test_the_caption_of_the_workflow_names_its_rules():
    rules = set()
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        rules |= set(
            re.findall(r"^(?:rule |use rule \w+ as )(\w+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        )
    caption = (ROOT / "workflow/report/workflow.rst").read_text(encoding="utf-8")
    assert set(re.findall(r"``(\w+)``", caption)) == rules - {"bundle"}


def test_the_readme_lists_all_methods_by_level():
    rows = re.findall(r"^\| (\w+) \| ((?:`\w+`(?:, )?)+) \|$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    listed = {level: re.findall(r"`(\w+)`", ids) for level, ids in rows}
    assert listed == {level: sorted(id for id in method_ids() if id.startswith(f"{level}_")) for level in LEVELS}


def test_the_calls_of_joint_decoding_are_those_of_a_batch():
    """Read as text, since the module brings torch."""
    source = ast.parse((ROOT / "moco/decoding/in_turn.py").read_text(encoding="utf-8"))
    (batch,) = (node for node in source.body if isinstance(node, ast.ClassDef) and node.name == "InTurn")
    calls = set()
    for node in batch.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            needed = [each.arg for each in node.args.args[: len(node.args.args) - len(node.args.defaults)]]
            calls.add(f"{node.name}({', '.join(name for name in needed if name != 'self')})")
    page = (ROOT / "docs/joint-decoding.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `batch\.(.*?)` \|", page, flags=re.MULTILINE)) == calls


def test_the_pages_of_methods_are_those_that_the_code_gives():
    folder = ROOT / "docs/methods"
    written = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    head, mark, listed = written.pop("README.md").partition(pages.MARK)
    made = pages.pages()
    wrong = sorted(name for name in {*written} | {*made} if written.get(name) != made.get(name))
    assert not wrong, f"run make reference: {', '.join(wrong)} in docs/methods differ from the code"
    assert head.startswith("# Methods")
    assert mark + listed == pages.index([name.removesuffix(".md") for name in made])
