import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from jinja2 import StrictUndefined, Template
from markupsafe import escape
from support.bundles import finished_study, results_of

from moco.analysis.figures import FIGURES, figures_of
from moco.analysis.report import write_report
from moco.analysis.stories import Stories
from moco.analysis.story_text import story_text
from moco.analysis.tables import TABLES, tables_of
from moco.config.load import load_study
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


def test_page_is_well_formed_and_has_every_section(page, shared_zoo):
    parsed = Page(page)
    assert parsed.open == []
    places = [parsed.ids.index(name) for name in (*SECTIONS, *tables_of(shared_zoo.spec), *figures_of(shared_zoo.spec))]
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


def test_the_overview_begins_with_all_gains_and_a_sentence(study):
    study.spec["pools"] = {"p": ["a"], "q": ["a"]}
    study.task("t", domain="")
    study.task("chat", type="reward_model", domain="")
    study.single("a", "t", [1, 0] * 20)
    study.single("a", "chat", [3, 4])
    study.method("p", "good", "text", "t", [1, 1] * 20)
    study.method("q", "good", "text", "t", [1, 0] * 20)
    study.method("p", "bad", "api", "t", [0, 0] * 20)
    study.method("p", "bad", "api", "chat", [9, 9])
    study.not_applicable("q", "bad", "t", "no <reason>")
    study.method("p", "same", "control", "t", [1, 0] * 20)
    write_report(study.spec, study.results, study.results / "report.html", {})
    page = (study.results / "report.html").read_text()
    text = " ".join("".join(Page(page).text).split())
    assert (
        "Over all 2 settings (a pool on a task), good does best against the best single model of its pool: +25.0 ["
        in text
    )
    assert (
        "with its whole interval above zero in 1 of them; 1 of 2 methods have their whole interval above zero" in text
    )
    gains = page[page.index('id="gains"') : page.index("</figure>")]
    assert "chat" not in gains
    rows = {
        re.findall(r'<th scope="row">(\w+)', row)[0]: re.findall(
            r'<td class="([^"]*)".*? title="([^"]*)">([^<]*)</td>', row
        )
        for row in gains.split("<tr>")[3:]
    }
    assert list(rows) == ["bad", "good", "same"]
    assert [cell for *_, cell in rows["good"]] == ["+25", "+50", "0"]
    assert [cell for *_, cell in rows["bad"]] == ["\N{MINUS SIGN}50", "\N{MINUS SIGN}50", "–"]
    assert [" sure" in kind for kind, *_ in rows["good"]] == [True, True, False]
    assert rows["bad"][2][1] == "bad, pool q, task t: not applicable: no &lt;reason&gt;"
    assert rows["good"][1][1].startswith("good, pool p, task t: +50.0 [")


def test_the_best_cells_of_every_pool_are_marked_and_no_summary_of_models(study):
    study.spec["pools"] = {"p": ["a", "b"], "q": ["b"]}
    study.task("t", domain="")
    study.single("a", "t", [1, 1, 0, 0])
    study.single("b", "t", [1, 0, 0, 0])
    study.method("p", "vote", "text", "t", [0, 1, 1, 0])
    study.method("q", "vote", "text", "t", [0, 0, 0, 0])
    write_report(study.spec, study.results, study.results / "report.html", {})
    page = (study.results / "report.html").read_text()
    table = page[page.index('id="moco_main"') : page.index('id="moco_truncated"')]
    rows = [row for row in table.split("<tr")[2:] if 'class="number best" data-key' in row]
    names = [re.findall(r'<td class="text">([^<]*)</td>', row)[:2] for row in rows]
    assert names == [["p", "a"], ["p", "vote"], ["q", "b"]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A made-up study with items and replies."""
    config = finished_study(tmp_path_factory.mktemp("finished"))
    return Plan(load_study(config)).report.slice(None), results_of(config)


def test_examples_tell_items_of_every_task(finished):
    spec, results = finished
    write_report(spec, results, results / "report.html", PROVENANCE, "study: <tiny>")
    page = (results / "report.html").read_text()
    shown = re.findall(r"<summary>(mixed/test/\d+)</summary>", page)
    assert len(set(shown)) == 3
    section = page[page.index('id="examples"') : page.index('id="cost"')]
    for uid in shown:
        (story,) = Stories(results).tell([uid])
        assert str(escape(story_text(story))) in section
    assert list((results / "examples").iterdir()) == []
    assert "<pre>study: &lt;tiny&gt;</pre>" in page


def test_many_examples_are_files_beside_the_report(finished, tmp_path, monkeypatch):
    spec, results = finished
    monkeypatch.setattr("moco.analysis.report._LONG", 100)
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/former.txt").write_text("of a task that was renamed")
    write_report(spec, results, tmp_path / "report.html", PROVENANCE)
    (beside,) = (tmp_path / "examples").iterdir()
    assert beside.name == "mixed.txt"
    page = (tmp_path / "report.html").read_text()
    (listed,) = re.findall(r'<a href="examples/mixed.txt">mixed</a>: (.*)</li>', page)
    text = beside.read_text(encoding="utf-8-sig")
    assert all(f"{uid}: exact_match" in text for uid in listed.split(", "))
    assert "<summary>mixed/" not in page


def test_failures_are_listed_with_their_coverage(page):
    section = page[page.index('id="failures"') : page.index('id="not-applicable"')]
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", section)
    assert cells == ["zoo", "route", "rhymes", "5", "0", "5", "0.0", "no", "timeout", "-"]


def test_every_fallback_is_counted_with_its_reason_among_the_failures(study):
    study.task("t", domain="")
    study.spec["pools"] = {"p": ["a"]}
    study.single("a", "t", [1, 1, 1])
    study.method("p", "m", "text", "t", ["fallback no vote", 1, "fallback no vote"])
    study.method("p", "clear", "text", "t", [1, 1, 1])
    write_report(study.spec, study.results, study.results / "report.html", {})
    page = (study.results / "report.html").read_text()
    section = page[page.index('id="failures"') : page.index('id="not-applicable"')]
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", section)
    assert cells == ["p", "m", "t", "0", "2", "3", "100.0", "yes", "-", "no vote"]


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
