import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from jinja2 import StrictUndefined, Template

from moco.analysis.figures import FIGURES
from moco.analysis.report import write_report
from moco.analysis.tables import TABLES, tables_of

PROVENANCE = {"versions": {"moco": "1.2.3", "python": "3.11.9"}, "command": "run <demo>", "extras": ["a", "b"]}
SECTIONS = ("overview", "tables", "figures", "cost", "failures-section", "reproduce")
VOID = {"meta", "img", "link", "br", "input"}


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.resources, self.text = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        for key, value in attrs:
            if key == "id":
                self.ids.append(value)
            if key in {"src", "href", "srcset", "data", "action"}:
                self.resources.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page(shared_zoo):
    path = shared_zoo.results / "report.html"
    write_report(shared_zoo.spec, shared_zoo.results, path, PROVENANCE)
    return path.read_text()


def test_page_is_well_formed_and_has_every_section(page, shared_zoo):
    parsed = Page(page)
    assert parsed.open == []
    places = [parsed.ids.index(name) for name in (*SECTIONS, *tables_of(shared_zoo.spec), *FIGURES)]
    assert places[: len(SECTIONS)] == sorted(places[: len(SECTIONS)])
    assert len(parsed.ids) == len(set(parsed.ids))


def test_page_needs_nothing_from_elsewhere(page):
    for resource in Page(page).resources:
        assert resource.startswith(("#", "data:image/png;base64,"))
    assert not re.search(r"https?://|url\(|@import|<link", page)


def test_page_shows_cells_reasons_and_provenance(page):
    text = "".join(Page(page).text)
    for part in (
        "Study demo",
        "add, recall, add",
        "best single (test)",
        "failed: timeout",
        "not applicable: no reference & no options",
        "Combinations that do not apply",
        "the same bits come out again",
        "versions.moco",
        "1.2.3",
        "run <demo>",
        "a, b",
    ):
        assert part in text
    assert re.search(r'<td class="number" data-key="0\.8"><b>80\.0</b> <span>\[\S+, 100\.0\]</span>', page)


def test_the_overview_says_which_methods_are_above_the_best_single_model(study):
    study.task("t", domain="")
    study.spec["pools"] = {"p": ["a", "b"]}
    study.single("a", "t", [1, 0] * 20)
    study.single("b", "t", [0, 0] * 20)
    study.method("p", "good", "text", "t", [1, 1] * 20, method="text_majority_vote")
    study.method("p", "bad", "text", "t", [0, 0] * 20, method="of_nobody")
    study.method("p", "same", "control", "t", [1, 0] * 20, method="control_random")
    write_report(study.spec, study.results, study.results / "report.html", {})
    text = " ".join("".join(Page((study.results / "report.html").read_text()).text).split())
    assert "Pool p, task t, where the best single model has 50.0: above it good +50.0 [" in text
    assert "; below it bad -50.0 [" in text
    assert "; not separable from it same." in text
    assert "2 methods, 1 control and 1 task were compared" in text
    assert "what models wrote is compared, combined or passed on bad good: " in text
    assert "no collaboration, for comparison same: " in text


def test_failures_are_listed_with_their_coverage(page):
    section = page[page.index('id="failures"') : page.index('id="not-applicable"')]
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", section)
    assert cells == ["zoo", "route", "rhymes", "5", "5", "0.0", "no", "timeout"]


def test_same_scores_same_bytes(shared_zoo, page):
    again = shared_zoo.results / "again.html"
    write_report(shared_zoo.spec, shared_zoo.results, again, PROVENANCE)
    assert again.read_text() == page


def test_a_study_without_methods_or_failures_has_a_report(study):
    study.task("t", domain="")
    study.spec["pools"] = {"p": ["a"]}
    study.spec["class"] = "unheard-of"
    study.single("a", "t", [1, "unparsed", "invalid"])
    write_report(study.spec, study.results, study.results / "report.html", {})
    page = (study.results / "report.html").read_text()
    assert Page(page).open == []
    assert "unheard-of" in page
    assert page.count("<p>None.</p>") == 5


@pytest.mark.parametrize(("template", "wildcard", "names"), [("table", "table", TABLES), ("figure", "figure", FIGURES)])
def test_every_table_and_figure_has_a_caption_of_its_own(template, wildcard, names):
    text = (Path(__file__).parents[3] / f"workflow/report/{template}.rst").read_text()
    captions = {}
    for name in names:
        job = SimpleNamespace(wildcards=SimpleNamespace(**{wildcard: name}), config={"study": "demo"})
        captions[name] = Template(text, undefined=StrictUndefined).render(snakemake=job)
        assert f"**{name}** of study demo" in captions[name]
    assert len({caption.replace(name, "") for name, caption in captions.items()}) == len(names)
