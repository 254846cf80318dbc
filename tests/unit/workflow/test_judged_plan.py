"""Plans of tasks that models score: what is asked, what is planned for it, and what stops early."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

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


def wildcards(**values):
    given = {"scorer": "strict", "model": "add", "seed": "1", "sample": "0", "method": "control_random"}
    return SimpleNamespace(**{**given, "split": "test", **values})


def score_rules(made):
    return {rule.name: rule for rule in [*made.score_plain_rules(), *made.score_answers_rules()]}


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


def test_answers_beyond_the_samples_of_a_model_are_refused():
    tasks = {"diverse": {"source": SKILLS, "type": "generation_diversity", "answers": 33}}
    assert "use at most 32" in problems(tasks=tasks, methods={})[0]
    tasks["diverse"]["answers"] = 20
    assert problems(tasks=tasks, methods={"control_best_single": {}}) == []
    [line] = problems(tasks=tasks, methods={"control_best_single": {}}, pools={"p": ["add", "add"]})
    assert "reads 40 samples of one model" in line


def test_rules_that_judge_take_models_and_others_take_none():
    made = plan({**TYPES, "plain": "exact_match"})
    rules = score_rules(made)
    for name, judge in (
        ("general_verifier", "verifier"),
        ("reward_model", "reward"),
        ("generation_diversity_k4", "encoder"),
    ):
        rule = rules[f"score_plain_general_{name}_test"]
        inputs = rule.inputs(wildcards())
        assert not rule.local
        assert inputs["models"] == [f"<results>/models/{judge}/model.json"]
        assert f"<results>/checkpoints/{judge}" in inputs["weights"]
        assert json.loads(rule.spec(wildcards()))["scoring"][judge] == judge
    for name in ("exact_match", "text_generation"):
        rule = rules[f"score_plain_general_{name}_test"]
        inputs = rule.inputs(wildcards())
        assert rule.local
        assert inputs["models"] == inputs["weights"] == []
    assert "scoring" not in json.loads(rules["score_plain_general_exact_match_test"].spec(wildcards()))


def test_rule_sets_that_ask_different_models_have_rules_of_their_own():
    rules = score_rules(plan({"open": "text_generation"}, also_score=["paper"]))
    strict, paper = (
        rules["score_plain_general_text_generation_test_strict"],
        rules["score_plain_general_text_generation_test_paper"],
    )
    assert (strict.local, paper.local) == (True, False)
    assert (strict.wildcards["scorer"], paper.wildcards["scorer"]) == ("strict", "paper")


def test_judges_are_gpu_jobs_where_gpus_are_used():
    rules = score_rules(plan({"rated": "reward_model", "plain": "exact_match"}, site={"use_gpu": True}))
    gpus = {name: rule.gpus for name, rule in rules.items()}
    assert gpus["score_plain_general_reward_model_test_gpu1"] == 1
    assert gpus["score_answers_p_general_reward_model_gpu1"] == 1
    assert gpus["score_plain_general_exact_match_test"] == 0


def test_a_setting_that_does_not_matter_changes_no_score():
    usual, other = plan(), plan(scoring={**JUDGES, "max_length": 128})
    for name, rule in score_rules(usual).items():
        changed = rule.spec(wildcards()) != score_rules(other)[name].spec(wildcards())
        assert changed == ("reward_model" in name), name


def test_diversity_is_scored_over_samples_and_each_copy_has_its_own():
    made = plan({"diverse": "generation_diversity"}, pools={"p": ["add", "add", "recall"]})
    rule = score_rules(made)["score_plain_general_generation_diversity_k4_dev"]
    read = [path.rsplit("/", 1)[1] for path in rule.inputs(wildcards(sample="1"))["replies"]]
    assert read == [f"s{place}.parquet" for place in (4, 5, 6, 7)]
    assert made.generated[("general-generation_diversity-k4", "dev", 5)].keys() >= {"add"}
    assert "recall" not in made.generated[("general-generation_diversity-k4", "dev", 5)]
    assert "add" in made.generated[("general-generation_diversity-k4", "test", 1)]


def test_methods_that_answer_several_times_read_as_many_samples():
    made = plan({"diverse": "generation_diversity"}, methods={"control_random": {}})
    [rule] = made.answer_rules()
    plain = rule.inputs(wildcards())["plain"]
    names = [path.rsplit("/", 1)[1] for path in plain if "/add/" in path]
    assert names == [f"s{place}.parquet" for place in range(4)]


def test_methods_without_a_dev_score_are_not_applicable():
    reasons = {(entry.batch.rsplit("-")[1], entry.variant): entry.reason for entry in plan().matrix.not_applicable}
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
    inputs = {
        variant: rule.inputs(wildcards(method=variant))
        for rule in made.fit_rules()
        for variant in rule.wildcards["method"].split("|")
    }
    for variant, runs in (("control_best_single", False), ("weight_greedy_soup", True)):
        assert "<results>/models/reward/model.json" in inputs[variant]["models"]
        assert ("<results>/checkpoints/reward" in inputs[variant]["weights"]) == runs
    spec = json.loads(made.fit_rules()[0].spec(wildcards(method="control_best_single")))
    assert spec["scoring"]["reward"] == "reward"


SCORING_BY_RULES = """
import sys
from pathlib import Path
from moco import paths
from moco.cli import main
from moco.config.tasks import TaskEntry
from moco.records import GENERATIONS, Provenance, write_rows
from moco.tasks.prepare import prepare, read_questions

results = Path(sys.argv[1])
source = {"kind": "synthetic", "skills": ["add"], "form": sys.argv[3], "items": {"test": 3}}
entry = TaskEntry.model_validate({"source": source, "type": sys.argv[2]})
prepare("t", entry, results / paths.task_folder("t"), {})
rows = [
    {**dict.fromkeys(GENERATIONS.columns.names), "uid": each.uid, "sample": 0, "status": "ok", "text": "1"}
    for each in read_questions(results / paths.task_folder("t"), "test")
]
write_rows(results / paths.generation("m", "t", "test", "default", 1, 0), GENERATIONS, rows, Provenance("generate"))
spec = '{"scorer": "strict", "type": "%s", "scoring": %s}' % (sys.argv[2], sys.argv[4])
where = ["--results", str(results), "--model", "m", "--decoding", "default", "--sample", "0"]
assert main(["score", *where, "--tasks", "t", "--split", "test", "--seed", "1", "--spec", spec]) == 0
assert "torch" not in sys.modules, "torch was imported"
assert "transformers" not in sys.modules, "transformers was imported"
"""


@pytest.mark.parametrize(
    ("kind", "form", "scoring"),
    [
        ("exact_match", "exact", "{}"),
        ("multiple_choice", "choice", "{}"),
        ("text_generation", "exact", '{"text_generation": null}'),
    ],
)
def test_scoring_by_rules_imports_no_torch(tmp_path, kind, form, scoring):
    done = subprocess.run(
        [sys.executable, "-c", SCORING_BY_RULES, str(tmp_path), kind, form, scoring], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
