"""Faster versions of PyTorch models: extraction, syntax, the formula, and a trial on the CPU."""

import pytest

from moco.errors import RequestError
from moco.scoring import kernel_trial
from moco.scoring.base import Case, CodeTools, Tools
from moco.scoring.catalogue import scorer_for
from moco.scoring.judges import has_scores
from moco.scoring.kernel_bench import kernel_score
from moco.tasks.item import Question, Reference
from moco.tasks.sources.moco_json import read_item

SOURCE = """
import torch

class Model(torch.nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor

def get_inputs():
    return [torch.rand(4)]

def get_init_inputs():
    return [2]
"""
NEW = SOURCE[: SOURCE.index("def get_inputs")].replace("Model(", "ModelNew(")
KERNEL = f"cuda = '__global__ void f() {{}}'\n{NEW}"


def result(**changes):
    return {"compiled": True, "correctness": True, "runtime": 1.0, "ref_runtime": 3.0, **changes}


@pytest.mark.parametrize(
    ("found", "level", "score"),
    [
        (result(), 1, 0.5 + 0.5 * 2 / 9),
        (result(), 2, 0.5 + 0.5 * 2 / 4),
        (result(), 3, 1),
        (result(ref_runtime=100), 1, 1),
        (result(ref_runtime=1.0), 1, 0.25),
        (result(ref_runtime=0.5), 1, 0.25),
        (result(runtime=-1.0), 1, 0.25),
        (result(correctness=False), 1, 0),
        (result(compiled=False), 1, 0),
        (None, 1, 0),
    ],
)
def test_formula(found, level, score):
    assert kernel_score(found, level) == pytest.approx(score)


def case(reply, **fields):
    raw = read_item(0, {"id": "l2_7", "input": SOURCE, **fields}, "kernel_bench", "here")
    question = Question("u", "t", "test", "kernel_bench", raw.question, raw.question)
    return Case(question, Reference("u", raw.gold, raw.gold_kind), reply)


def score(rules, *cases, isolation="limits", code=True):
    tools = Tools(code=CodeTools(isolation) if code else None)
    return scorer_for("kernel_bench", rules).score_all(cases, tools)


def fenced(*sources):
    return "\n".join(f"```python\n{source}\n```" for source in sources)


def test_the_question_shows_the_model_and_the_level_is_in_the_id():
    found = case("")
    assert "class Model(torch.nn.Module)" in found.question.question
    assert "ModelNew" in found.question.question
    assert found.reference.gold["level"] == 2


def test_a_recorded_measurement_is_scored_without_running_anything():
    [found] = score("paper-1.1", case(fenced("first = 1", "second = 2"), result=result()), code=False)
    assert (found.parsed, found.score, found.status) == ("first = 1", 0.75, "ok")
    assert score("paper-1.1", case("x", result=None), code=False)[0].score == 0


def test_nothing_runs_without_permission():
    with pytest.raises(RequestError, match="without permission"):
        score("strict", case(fenced(NEW)), code=False)


@pytest.mark.parametrize("rules", ["strict", "paper-1.1"])
def test_without_a_gpu_or_in_a_sandbox_there_are_no_scores(rules, monkeypatch):
    monkeypatch.setattr(kernel_trial, "has_cuda", lambda: False)
    replies = [case(fenced(KERNEL)), case(fenced("class ModelNew("))]
    found = score(rules, *replies)
    assert [(each.score, each.status) for each in found] == [(None, "unscored")] * 2
    assert [each.rule.rpartition("/")[2] for each in found][1] in ("syntax_error", "no_code")
    assert not has_scores("kernel_bench", rules, Tools().settings)


def test_with_a_gpu_replies_are_measured(monkeypatch):
    asked = []

    def measure(source, reply, inputs):
        asked.append((source, reply, inputs))
        return result(runtime=2.0, ref_runtime=4.0)

    monkeypatch.setattr(kernel_trial, "has_cuda", lambda: True)
    monkeypatch.setattr(kernel_trial, "measure", measure)
    [found] = score("strict", case(fenced(KERNEL)))
    assert found.score == pytest.approx(0.5 + 0.5 * 1 / 4)
    assert found.details == {"runtime": 2.0, "ref_runtime": 4.0}
    assert (asked[0][0], asked[0][2]) == (SOURCE, 5)
    plain, broken = score("strict", case(fenced(NEW)), case(fenced("class ModelNew(:")))
    assert (plain.score, plain.rule.rpartition("/")[2]) == (0, "no_kernel")
    assert broken.score == 0
    assert len(asked) == 1
    assert score("paper-1.1", case(fenced(NEW)))[0].score > 0.5  # which only calls PyTorch
    assert asked[1][2] == 1


@pytest.mark.slow
def test_a_trial_compares_and_measures():
    found = kernel_trial.measure(SOURCE, NEW, 2, "cpu")
    assert (found["compiled"], found["correctness"]) == (True, True)
    assert found["runtime"] > 0
    assert found["ref_runtime"] > 0
    wrong = kernel_trial.measure(SOURCE, NEW.replace("x * self.factor", "x + self.factor"), 2, "cpu")
    assert (wrong["compiled"], wrong["correctness"], wrong["runtime"]) == (True, False, -1)
    assert not kernel_trial.measure(SOURCE, "import os; os._exit(0)", 1, "cpu")["compiled"]
