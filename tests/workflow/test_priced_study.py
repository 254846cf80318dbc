"""A cascade of served models from a blank folder to tables: what is asked is what is reached, and nothing twice."""

import hashlib
import shutil
from collections import Counter

import pytest
from support.llm_server import Answer, LanguageServer, reply
from support.projects import Project, new_project

from moco import paths
from moco.records import ANSWERS, CALLS, GENERATIONS, SCORES, read_rows
from moco.tasks.prepare import read_questions

pytestmark = pytest.mark.slow

ITEMS = 10


def doubting(asked, _number):
    drawn = int(hashlib.sha256(f"{asked.body['model']} {asked.prompt}".encode()).hexdigest()[:8], 16)
    doubt = "\nI am unconfident." if "I am unconfident" in asked.prompt and drawn % 2 else ""
    return Answer(reply(asked, message={"role": "assistant", "content": f"\\box{{{drawn % 10}}}{doubt}"}))


@pytest.fixture
def server():
    started = LanguageServer(doubting)
    yield started
    started.close()


@pytest.fixture
def project(tmp_path, server, zoo_cache, warm) -> Project:
    project = new_project(tmp_path / "project", zoo_cache, warm=warm)

    def change(study):
        study.clear()
        requests = {"retries": 0, "backoff_seconds": 0.01}
        common = {"kind": "server", "endpoint": server.endpoint, "date": "2026-01-31", "requests": requests}
        items = {"dev": 4, "test": ITEMS}
        study.update(
            study="priced",
            models={name: {**common, "name": name} for name in ("near", "wise")},
            pools={"pair": ["near", "wise"]},
            tasks={"sums": {"source": {"kind": "synthetic", "skills": ["add"], "items": items}}},
            methods={"ask": {"method": "api_cascade", "mode": "just_ask"}, "control_random": {}},
            compare=[{"singles": ["near"]}],
        )

    project.edit_config(change)
    project.study = "priced"
    return project


def asked_by_model(requests):
    return Counter(each.body["model"] for each in requests)


def read(project: Project, model: str) -> set[str]:
    """Return the items for which a method read a plain reply of a model."""
    calls = [
        row
        for variant in ("ask", "control_random")
        for row in read_rows(project.results / paths.calls("pair", project.batch("sums"), variant, 1, "test"), CALLS)
    ]
    return {row["uid"] for row in calls if row["model"] == model and row["kind"] == "plain"}


def test_a_study_asks_for_what_it_reaches_once(project, server, tmp_path):
    generating = [message for message in project.planned().messages if f" answers {project.batch('sums')} (" in message]
    assert [message.partition(" ")[0] for message in generating] == ["near"]
    project.snakemake()
    asked = asked_by_model(server.asked)
    # Nobody reads replies to dev.
    assert asked == {"near": 2 * ITEMS, "wise": len(read(project, "wise"))}
    assert 0 < asked["wise"] < ITEMS
    table = (project.results / "tables/moco_main.md").read_text()
    assert "not compared" in table
    paid = (project.results / "tables/moco_paid_perf.csv").read_text()
    assert "wise" not in paid, "it has no plain responses of its own; its replies are in the rows of the methods"
    assert "Nothing to be done" in project.planned().output

    whole = project.copy(tmp_path / "whole")
    shutil.rmtree(whole.results)
    whole.edit_config(lambda study: study["models"]["wise"].update(priced=False))
    before = len(server.asked)
    whole.snakemake()
    assert asked_by_model(server.asked[before:]) == {"wise": ITEMS - asked["wise"]}
    done = whole.run("moco", "verify", str(project.results / "answers"), str(whole.results / "answers"), check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_refused_item_is_one_failed_row(project, server):
    project.edit_config(lambda study: study.update(failures="record", min_coverage=0.5, retries=1))
    project.edit_config(lambda study: study["compare"][0].update(singles="all"))
    project.snakemake("results/priced/tasks/sums/test/questions.parquet")
    refused = read_questions(project.results / paths.task_folder("sums"), "test")[2]

    def answer(asked, number):
        if (asked.body["model"], asked.prompt) == ("wise", refused.prompt):
            return Answer(reply(asked, finish_reason="content_filter"))
        return doubting(asked, number)

    server.answer = answer
    project.snakemake()
    rows = read_rows(project.results / paths.generation("wise", project.batch("sums"), "test", 1, "s0"), GENERATIONS)
    assert [row["uid"] for row in rows if row["status"] == "failed"] == [refused.uid]
    assert rows[2]["reason"] == "the reply was withheld (finish_reason content_filter)"
    main = (project.results / "tables/moco_main.md").read_text()
    assert "failed" not in "".join(line for line in main.splitlines() if "| pair | wise |" in line), "90 % are enough"
    assert sum(each.prompt == refused.prompt for each in server.asked if each.body["model"] == "wise") >= 2
    server.answer = doubting
    project.run("moco", "forget", "--failed")
    before = len(server.asked)
    project.snakemake()
    assert [each.prompt for each in server.asked[before:] if each.body["model"] == "wise"] == [refused.prompt]
    answers = read_rows(
        project.results / paths.answers("pair", project.batch("sums"), "control_random", 1, "test"), ANSWERS
    )
    assert {row["status"] for row in answers} == {"ok"}
    scores = paths.scores("strict", paths.generation("wise", project.batch("sums"), "test", 1, "s0"))
    assert "failed" not in {row["status"] for row in read_rows(project.results / scores, SCORES)}
