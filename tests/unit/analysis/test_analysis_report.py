import re
from html.parser import HTMLParser

import pytest

from moco.analysis.report import write_report
from moco.workflow.plan import Plan

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


def test_page_is_well_formed_and_has_every_section(page):
    parsed = Page(page)
    assert parsed.open == []
    places = [parsed.ids.index(name) for name in (*SECTIONS, *Plan.tables, *Plan.figures)]
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
        "Pairs that do not apply",
        "the same bits come out again",
        "versions.moco",
        "1.2.3",
        "run <demo>",
        "a, b",
    ):
        assert part in text
    assert re.search(r'<td class="number" data-key="0\.8"><b>80\.0</b> <span>\[\S+, 100\.0\]</span>', page)


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
