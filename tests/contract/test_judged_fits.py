"""Fits on tasks that models score: answers of their own are judged, and another judge is another fit."""

import pytest
from support.checkpoints import judge_checkpoints
from support.real_study import RealStudy

from moco import paths
from moco.cli import main
from moco.jobs.judging import job_tools
from moco.methods.base import AnswerNeeds, FitNeeds, Method, Needs, State, method
from moco.records import GENERATIONS, JOB_PERF, Provenance, read_json, read_rows, write_rows
from moco.tasks.prepare import read_questions

pytestmark = pytest.mark.usefixtures("registries", "clean_environment")


@pytest.fixture
def judged(tmp_path, tiny_checkpoint, clean_environment):
    """Return a maker of studies: a task that a reward model scores, a model, and a method that scores its own replies."""

    @method("control_judged", level="control", papers=())
    class Judged(Method):
        """Remembers what the judge says of one reply."""

        def needs(self, models):  # noqa: ARG002
            return Needs(fit=FitNeeds(references=True), answer=AnswerNeeds())

        def fit(self, ctx):
            replies = [(item.uid, f"reply to {item.question}") for item in ctx.questions]
            return State({"scores": ctx.score(replies)})

        def answer(self, ctx, state):  # noqa: ARG002
            yield from ()

    checkpoints = judge_checkpoints(tmp_path, 96)

    def make(max_length=64):
        content = {
            "study": "s",
            "models": {
                "one": {"kind": "local", "path": str(tiny_checkpoint("base"))},
                "judge": {"kind": "local", "path": str(checkpoints["reward"]), "purpose": "reward"},
            },
            "pools": {"p": ["one"]},
            "tasks": {
                "t": {
                    "source": {"kind": "synthetic", "skills": ["add"], "items": {"dev": 3, "test": 3}},
                    "type": "reward_model",
                }
            },
            "methods": {"control_judged": {}},
            "scoring": {"reward": "judge", "max_length": max_length},
        }
        study = RealStudy(tmp_path, content)
        study.use(clean_environment)
        return study

    return make


def test_a_fit_scores_answers_of_its_own_with_the_judge(judged):
    def fit(study):
        study.fit("p", "control_judged")
        (wildcards,) = study.jobs("p", "control_judged")
        folder = paths.fit_folder("p", wildcards.batch, "control_judged", 1)
        return study.results / folder, study.plan.fit.slice(wildcards)["scoring"]

    study = judged()
    folder, scoring = fit(study)
    found = read_json(folder / "t/fit.json")
    # Replies and references of three items.
    [judge] = read_rows(folder.with_name(f"{folder.name}_job_perf.parquet"), JOB_PERF)
    assert (judge["job"], judge["system"], judge["model"]) == ("fit", "control_judged", "judge")
    assert (judge["items"], judge["cached"], judge["loads"], judge["made_tokens"]) == (6, 0, 1, 0)
    assert judge["read_tokens"] > 0
    questions = read_questions(study.results / paths.task_folder("t"), "dev")
    models = job_tools(study.results, {"scoring": scoring}).models
    pairs = [(item.prompt, f"reply to {item.question}") for item in questions]
    expected = [rating.reward for rating in models.reward("reward", pairs, 64)]
    assert models.inference.resident.loads == 0
    assert found["data"]["scores"] == expected
    shorter, _ = fit(judged(max_length=20))
    assert read_json(shorter / "t/fit.json") != found


def test_scoring_tells_what_the_judge_did(judged, capsys):
    study = judged()
    [source] = study.planned("plain responses")
    questions = read_questions(study.results / paths.task_folder("t"), "test")
    blank = dict.fromkeys(GENERATIONS.columns.names)
    rows = [
        {**blank, "task": "t", "uid": item.uid, "sample": 0, "status": "ok", "text": f"{item.uid}!"}
        for item in questions
    ]
    write_rows(study.results / source, GENERATIONS, rows, Provenance("generate"))
    command = ["score", "--results", str(study.results), "--scorer", "strict"]
    command += ["--replies", source.removesuffix(".parquet")]
    for cached, loads in ((0, 1), (6, 0)):
        assert main(command) == 0
        [row] = read_rows(study.results / paths.job_perf(paths.scores("strict", source)), JOB_PERF)
        assert (row["job"], row["system"], row["model"], row["splits"]) == ("score", "one", "judge", ["test"])
        assert (row["pool"], row["tasks"], row["seed"]) == (None, ["t"], 1)
        assert (row["items"], row["cached"], row["loads"]) == (6, cached, loads)
    assert "judge in total: 6 items, 6 in the store; no load; " in capsys.readouterr().err
