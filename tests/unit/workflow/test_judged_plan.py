"""Plans of tasks that models score: what is asked, what is planned for it, and what stops early."""

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from moco.analysis.measures import MEASURES
from moco.config.load import study_from
from moco.workflow.check import structural_problems
from moco.workflow.plan import Plan

pytestmark = pytest.mark.usefixtures("clean_environment")
SKILLS = {"kind": "synthetic", "skills": ["add"], "items": {"dev": 4, "test": 4}}
JUDGES = {"verifier": "verifier", "reward": "reward", "encoder": "encoder"}
TYPES = {
    "verified": "general_verifier",
    "rated": "reward_model",
    "open": "text_generation",
    "diverse": "generation_diversity",
}


def study(types=TYPES, **changes):
    tasks = {name: {"source": SKILLS, "type": kind} for name, kind in types.items()}
    if "diverse" in tasks:
        tasks["diverse"]["answers"] = 4
    content = {
        "study": "s",
        "models": {name: {"kind": "zoo"} for name in ("add", "recall", "verifier", "reward", "encoder")},
        "scoring": JUDGES,
        "pools": {"p": ["add", "recall"]},
        "tasks": tasks,
        "methods": {"control_random": {}, "control_best_single": {}, "weight_greedy_soup": {}},
        **changes,
    }
    return study_from(content, "s.yaml")


def plan(*arguments, **changes):
    made = Plan(study(*arguments, **changes))
    made.build()
    return made


def batch(made, task):
    return made.matrix.batch_of_one(task).name


def replies(made, task, split="test", block="s0"):
    """Wildcards of scores of plain responses of `add` under strict rules."""
    where = f"generations/add/{batch(made, task)}/{split}/seed1/{block}"
    return SimpleNamespace(scorer="strict", replies=where)


def answers(made, task, method="control_random", **values):
    where = {"pool": "p", "batch": batch(made, task), "method": method, "seed": "1", "split": "test"}
    return SimpleNamespace(**{**where, **values})


def problems(*arguments, **changes):
    return [problem.line("s.yaml") for problem in structural_problems(study(*arguments, **changes))]


def test_a_complete_study_has_no_problem():
    assert problems() == []


@pytest.mark.parametrize(("role", "example"), [("verifier", "verifier"), ("reward", "reward"), ("encoder", "encoder")])
def test_a_task_without_its_judge_stops_with_one_line(role, example):
    [line] = problems(scoring={name: model for name, model in JUDGES.items() if name != role})
    assert f"scoring.{role}" in line
    assert f"for instance {example}" in line


def test_a_judge_must_be_able_to_judge():
    assert len(problems(scoring={**JUDGES, "reward": "add"})) == 1
    assert "no model that rates replies" in problems(scoring={**JUDGES, "reward": "add"})[0]
    assert "no model that maps texts to vectors" in problems(scoring={**JUDGES, "encoder": "reward"})[0]
    assert "no model that writes" in problems(scoring={**JUDGES, "verifier": "encoder"})[0]
    assert "unknown model 'rewards'; did you mean reward?" in problems(scoring={**JUDGES, "reward": "rewards"})[0]


def test_purposes_of_checkpoints_are_declared():
    hub = {"kind": "hub", "repo": "owner/name", "purpose": "reward"}
    models = {name: {"kind": "zoo"} for name in ("add", "recall", "verifier", "encoder")} | {"reward": hub}
    assert problems(models=models) == []
    assert "is a reward model and answers no question" in problems(models=models, pools={"p": ["add", "reward"]})[0]


def test_diversity_needs_several_answers_under_strict_rules_only():
    tasks = {"diverse": {"source": SKILLS, "type": "generation_diversity", "answers": 2}}
    assert "tasks.diverse.answers" in problems(tasks=tasks, methods={})[0]
    assert problems(tasks=tasks, methods={}, scorer="paper") == []


def test_what_judges_takes_models_and_is_no_local_rule():
    made = plan({**TYPES, "plain": "exact_match"})
    for task, judge in (("verified", "verifier"), ("rated", "reward"), ("diverse", "encoder")):
        where = replies(made, task)
        assert re.fullmatch(made.score.judged, where.replies)
        assert not re.fullmatch(made.score.compared, where.replies)
        assert made.score.models(where) == [f"<results>/models/{judge}/model.json"]
        assert f"<results>/checkpoints/{judge}" in made.score.checkpoints(where)
        assert made.score.slice(where)["scoring"][judge] == judge
    for task in ("plain", "open"):
        where = replies(made, task)
        assert re.fullmatch(made.score.compared, where.replies)
        assert not re.fullmatch(made.score.judged, where.replies)
        assert made.score.models(where) == made.score.checkpoints(where) == []
    assert "scoring" not in made.score.slice(replies(made, "plain"))


def test_a_batch_that_any_rule_set_judges_is_scored_by_the_rule_that_may_run_models():
    made = plan({"open": "text_generation"}, also_score=["paper"])
    strict = replies(made, "open")
    paper = SimpleNamespace(scorer="paper", replies=strict.replies)
    assert re.fullmatch(made.score.judged, strict.replies)
    assert made.score.models(strict) == []
    assert made.score.models(paper)


def test_kernels_are_measured_on_a_gpu_and_without_a_sandbox():
    allowed = {"allow": True, "isolation": "limits"}
    types = {"fast": "kernel_bench", "drugs": "smdd", "plain": "exact_match"}
    made = plan(types, site={"use_gpu": True}, scoring={"code": allowed})
    assert [made.score.gpu(replies(made, task)) for task in types] == [1, 0, 0]
    assert [bool(re.fullmatch(made.score.judged, replies(made, task).replies)) for task in types] == [1, 1, 0]
    assert plan(types, scoring={"code": allowed}).score.gpu(replies(made, "fast")) == 0
    fits = [cell.batch for cell in made.matrix.cells if cell.variant == "control_best_single"]
    assert batch(made, "fast") in fits
    hidden = plan(types, scoring={"code": {"allow": True}})
    reasons = {
        each.batch: each.reason for each in hidden.matrix.not_applicable if each.variant == "control_best_single"
    }
    assert reasons[batch(hidden, "fast")] == "no dev scorer"


def test_only_tasks_with_further_measures_have_their_table():
    assert "moco_measures" not in plan().tables
    assert "moco_measures" in plan({"plain": "exact_match", "follow": "ifeval"}).tables
    assert {name for name in MEASURES if "moco_measures" in plan({"task": name}, methods={}).tables} == {*MEASURES}


def test_judges_are_gpu_jobs_where_gpus_are_used():
    made = plan({"rated": "reward_model", "plain": "exact_match"}, site={"use_gpu": True})
    answered = SimpleNamespace(scorer="strict", replies=f"answers/p/{batch(made, 'rated')}/control_random/seed1/test")
    gpus = [made.score.gpu(where) for where in (replies(made, "rated"), answered, replies(made, "plain"))]
    assert gpus == [1, 1, 0]


def test_a_setting_that_does_not_matter_changes_no_score():
    usual, other = plan(), plan(scoring={**JUDGES, "max_length": 128})
    for task in TYPES:
        changed = usual.score.slice(replies(usual, task)) != other.score.slice(replies(other, task))
        assert changed == (task == "rated"), task


def blocks(paths):
    return [path.rsplit("/", 1)[1].removesuffix(".parquet") for path in paths]


def test_diversity_is_scored_over_samples_and_each_copy_has_its_own():
    made = plan({"diverse": "generation_diversity"}, pools={"p": ["add", "add", "recall"]})
    # Four replies a set: set 0 is samples 0-3, sets 1-4 are samples 4-19.
    assert blocks(made.score.replies(replies(made, "diverse", "dev"))) == ["s0", "s1-4"]
    assert blocks(made.score.replies(replies(made, "diverse", "dev", "s1-4"))) == ["s1-4", "s5-7", "s8-15", "s16-31"]
    fit = answers(made, "diverse", "control_best_single")
    assert blocks(path for path in made.fit.scores(fit) if "/add/" in path) == ["s0", "s1-4"]
    assert blocks(path for path in made.fit.scores(fit) if "/recall/" in path) == ["s0"]
    assert blocks(path for path in made.fit.plain(fit) if "/add/" in path) == ["s0", "s1-4", "s5-7"]


def test_methods_that_answer_several_times_read_as_many_samples():
    made = plan({"diverse": "generation_diversity"}, methods={"control_random": {}})
    plain = made.answer.plain(answers(made, "diverse"))
    assert blocks(path for path in plain if "/add/" in path) == ["s0", "s1-4"]


def test_methods_without_a_dev_score_are_not_applicable():
    reasons = {(entry.batch.split("-")[1], entry.variant): entry.reason for entry in plan().matrix.not_applicable}
    assert reasons == {
        ("text_generation", "control_best_single"): "no dev scorer",
        ("text_generation", "weight_greedy_soup"): "no dev scorer",
        ("generation_diversity", "weight_greedy_soup"): (
            "scores single replies on dev, and diversity is that of several"
        ),
    }
    assert not plan(
        scoring={**JUDGES, "text_generation": "reward_model"}, types={"open": "text_generation"}
    ).matrix.not_applicable


def test_fits_that_are_judged_depend_on_the_judge():
    made = plan({"rated": "reward_model"})
    for method, runs in (("control_best_single", False), ("weight_greedy_soup", True)):
        fit = answers(made, "rated", method)
        assert "<results>/models/reward/model.json" in made.fit.models(fit)
        assert ("<results>/checkpoints/reward" in made.fit.checkpoints(fit)) == runs
    assert made.fit.slice(answers(made, "rated", "control_best_single"))["scoring"]["reward"] == "reward"


SCORING_BY_RULES = """
import os, sys
from pathlib import Path
from moco import paths
from moco.cli import main
from moco.config.runtime import write_study_file
from moco.cli.jobs import plan
from moco.records import GENERATIONS, Provenance, write_rows
from moco.tasks.prepare import read_questions

folder, kind, form = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
source = {"kind": "synthetic", "skills": ["add"], "form": form, "items": {"test": 3}}
study = {"study": "s", "models": {"m": {"kind": "zoo", "recipe": "add"}}, "pools": {"p": ["m"]}}
study["tasks"] = {"t": {"source": source, "type": kind}}
os.environ["MOCO_STUDY"] = str(write_study_file(study, folder))
results = folder / "results/s"
assert main(["prepare", "--results", str(results), "--task", "t"]) == 0
batch = plan().matrix.batch_of_one("t").name
rows = [
    {**dict.fromkeys(GENERATIONS.columns.names), "task": "t", "uid": each.uid, "sample": 0, "status": "ok", "text": "1"}
    for each in read_questions(results / paths.task_folder("t"), "test")
]
path = paths.generation("m", batch, "test", 1, "s0")
write_rows(results / path, GENERATIONS, rows, Provenance("generate"))
replies = path.removesuffix(".parquet")
assert main(["score", "--results", str(results), "--scorer", "strict", "--replies", replies]) == 0
assert "torch" not in sys.modules, "torch was imported"
assert "transformers" not in sys.modules, "transformers was imported"
"""


@pytest.mark.parametrize(
    ("kind", "form"), [("exact_match", "exact"), ("multiple_choice", "choice"), ("text_generation", "exact")]
)
def test_scoring_by_rules_imports_no_torch(tmp_path, kind, form):
    done = subprocess.run(
        [sys.executable, "-c", SCORING_BY_RULES, str(tmp_path), kind, form], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
