"""Programs run with permission only: what the check says, and what jobs are told."""

import json
import re
from types import SimpleNamespace

import pytest
import yaml
from support.contexts import fit_context
from support.study_files import use_study

from moco import paths
from moco.config.load import study_from
from moco.errors import RequestError
from moco.scoring.base import CodeTools, Tools
from moco.scoring.tools import tools_for
from moco.tasks.item import Question, Reference
from moco.workflow.check import machine_problems, structural_problems
from moco.workflow.plan import Plan

MODEL = {"kind": "hub", "repo": "o/n", "revision": "c" * 40, "family": "llama", "tokenizer": "t"}


@pytest.fixture
def study(tmp_path):
    items = [{"id": n, "input": "Write f.", "test": "assert f() == 1", "language": "python"} for n in range(4)]
    (tmp_path / "code.json").write_text(json.dumps({"dev": items, "test": items}))

    def made(**code):
        content = {
            "study": "s",
            "models": {"one": MODEL, "two": {**MODEL, "repo": "o/m"}},
            "tasks": {
                "programs": {
                    "source": {"kind": "moco", "path": str(tmp_path / "code.json")},
                    "type": "coding",
                    "splits": "upstream",
                },
                "sums": {"source": {"kind": "synthetic", "skills": ["add"]}},
            },
            "pools": {"pair": ["one", "two"]},
            "methods": {"weight_greedy_soup": {}},
            "scoring": {"code": code},
        }
        return study_from(yaml.safe_load(yaml.safe_dump(content)), "s.yaml")

    return made


def test_a_task_of_programs_needs_permission(study):
    (problem,) = structural_problems(study())
    assert problem.key == "scoring.code.allow"
    assert "replies to programs are programs, which run only with your permission" in problem.what
    assert structural_problems(study(allow=True)) == []


@pytest.mark.slow
def test_an_isolation_that_this_machine_has_not_is_a_problem_of_the_machine(study, tmp_path, monkeypatch):
    from moco.scoring.sandbox import isolation, runs

    monkeypatch.setattr(isolation.shutil, "which", lambda _name: None)
    runs.runner.cache_clear()
    found = [problem.key for problem in machine_problems(study(allow=True), tmp_path)]
    assert found == ["scoring.code.isolation"]
    assert machine_problems(study(allow=True, isolation="limits"), tmp_path) == []


def test_jobs_on_programs_carry_limits_and_cores_and_others_do_not(study):
    plan = Plan(study(allow=True, seconds=3, workers=4))
    code = {"isolation": "bwrap", "seconds": 3, "memory_mb": 512}
    for about, limits, threads in (("programs", code, 4), ("sums", None, 1)):
        (batch,) = (batch.name for batch in plan.matrix.batches.values() if batch.tasks == (about,))
        replies = paths.generation("one", batch, "test", 1, "s0").removesuffix(".parquet")
        scored = SimpleNamespace(scorer="strict", replies=replies)
        fitted = SimpleNamespace(pool="pair", batch=batch, method="weight_greedy_soup", seed=1)
        for stage, job in ((plan.score, scored), (plan.fit, fitted)):
            assert (stage.slice(job).get("code"), stage.threads(job)) == (limits, threads)
        # What is no local rule runs on a machine that the user gave for work.
        assert bool(re.fullmatch(plan.score.judged, replies)) == (about == "programs")
        assert bool(re.fullmatch(plan.score.compared, replies)) == (about == "sums")


def test_a_job_takes_limits_from_its_slice_and_permission_and_workers_from_the_study(tmp_path, clean_environment):
    assert tools_for({"scorer": "strict"}) == Tools()
    spec = {"code": {"isolation": "limits", "seconds": 3, "memory_mb": 99}}
    assert tools_for(spec) == Tools(1, CodeTools("limits", 3, 99))
    use_study(clean_environment, tmp_path, scoring={"code": {"allow": True, "workers": 4}})
    assert tools_for(spec) == Tools(4, CodeTools("limits", 3, 99))
    use_study(clean_environment, tmp_path, scoring={"code": {"workers": 4}})
    assert tools_for(spec) == Tools(4)


@pytest.mark.slow
def test_a_fit_scores_programs_with_the_tools_of_its_job():
    question = Question("u", "t", "dev", "coding", "Write f.", "Write f.")
    gold = {"test": "assert f() == 1", "entry_point": "f", "preamble": ""}
    gold = {"u": Reference("u", gold, "code")}

    def score(program, scoring):
        ctx = fit_context(models=["a"], questions=[question], references=gold, scoring=scoring)
        return ctx.score([("u", program)])

    with pytest.raises(RequestError, match="without permission"):
        score("def f():\n    return 1", None)
    tools = Tools(code=CodeTools("limits"))
    assert score("def f():\n    return 1", tools) == [1.0]
    assert score("def f():\n    return 2", tools) == [0.0]
