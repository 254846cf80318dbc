"""Tiny made-up studies."""

from pathlib import Path

import pytest
from support.studies import Study

from moco.config.load import study_from
from moco.workflow.plan import Plan


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """An empty study."""
    return Study(tmp_path)


@pytest.fixture
def zoo(study: Study) -> Study:
    """The small study of `_zoo`."""
    return _zoo(study)


@pytest.fixture(scope="session")
def shared_zoo(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The same study for tests that change nothing."""
    return _zoo(Study(tmp_path_factory.mktemp("zoo")))


@pytest.fixture(scope="session")
def plan() -> Plan:
    """The plan of a study with two rule sets, a method that trains and the loop, which has every table and figure."""
    source = {"kind": "synthetic", "skills": ["add"], "form": "exact", "items": {"dev": 1, "test": 1}}
    content = {
        "study": "s",
        "models": {"add": {"kind": "zoo"}, "recall": {"kind": "zoo"}},
        "pools": {"p": ["add", "recall"]},
        "tasks": {"t": {"source": source, "distill": 0.5}},
        "methods": {"control_best_single": {}, "text_multiagent_finetuning": {}},
        "evolution": {"loop": {"pool": "p", "methods": ["control_best_single"], "tasks": ["t"], "rounds": 1}},
        "also_score": ["paper"],
    }
    return Plan(study_from(content, "test"))


def _zoo(study: Study) -> Study:
    """Return one pool with a copy, three tasks in two domains and a reward task, methods of all levels but one."""
    study.task("sums", domain="math")
    study.task("words", domain="language")
    study.task("rhymes", domain="language")
    study.task("chat", type="reward_model", domain="chat")
    study.spec["pools"] = {"zoo": ["add", "recall", "add"]}
    for task, add, recall in (
        ("sums", [1, 1, 1, 1, 0], [0, 0, 0, 0, 0]),
        ("words", [0, 0, 0, 0, 0], [1, 1, 0, 0, 0]),
        ("rhymes", [1, 0, 0, 0, 0], [1, 1, 1, 0, 0]),
        ("chat", [-2, -4, 1, 0, 0], [3, 3, 3, 3, 3]),
    ):
        study.single("add", task, add)
        study.single("recall", task, recall)
    for variant, level, sums, words, rhymes, chat in (
        ("soup", "weight", [1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0], [3, 3, 3, 3, 3]),
        ("vote", "text", [1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [4, 4, 4, 4, 9]),
        ("debate", "text", [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
        ("route", "api", [1, 0, 0, 0, 0], [1, 1, 0, 0, 0], ["failed timeout"] * 5, [0, 0, 0, 0, 0]),
    ):
        for task, items in zip(("sums", "words", "rhymes", "chat"), (sums, words, rhymes, chat), strict=True):
            study.method("zoo", variant, level, task, items)
    for task in ("sums", "words", "rhymes"):
        study.method("zoo", "fuse", "logit", task, [1, 1, 1, 1, 1])
    study.not_applicable("zoo", "fuse", "chat", "no reference & no options")
    return study
