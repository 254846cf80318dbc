"""Fits on tasks that models score: answers of their own are judged, and another judge is another fit."""

import json

import pytest
from support.checkpoints import judge_checkpoints

from moco import paths
from moco.cli import main
from moco.config.engine import EngineSettings
from moco.config.models import LocalModel
from moco.config.tasks import TaskEntry
from moco.engines.judging import job_tools
from moco.methods.base import AnswerNeeds, FitNeeds, Method, Needs, State, method
from moco.methods.fitting import FitJob
from moco.models.resolve import resolve
from moco.records import GENERATIONS, JOB_PERF, Provenance, read_json, read_rows, write_rows
from moco.tasks.prepare import prepare, read_questions

pytestmark = pytest.mark.usefixtures("registries", "clean_environment")


@pytest.fixture
def results(tmp_path, tiny_checkpoint):
    """A task that a reward model scores, a model, and two reward models."""
    folder = tmp_path / "results"
    source = {"kind": "synthetic", "skills": ["add"], "items": {"dev": 3, "test": 3}}
    prepare("t", TaskEntry(source=source, type="reward_model"), folder / paths.task_folder("t"), {})
    judges = judge_checkpoints(tmp_path, 96)
    for name, place, purpose in (("one", tiny_checkpoint("base"), "chat"), ("judge", judges["reward"], "reward")):
        entry = LocalModel(kind="local", path=str(place), purpose=purpose)
        resolve(name, entry, EngineSettings(), tmp_path).write(folder / paths.model_json(name))
    return folder


def test_a_fit_scores_answers_of_its_own_with_the_judge(results):
    @method("control_judged", level="control", paper="none")
    class Judged(Method):
        """Remembers what the judge says of one reply."""

        def needs(self, models):  # noqa: ARG002
            return Needs(fit=FitNeeds(references=True), answer=AnswerNeeds())

        def fit(self, ctx):
            return State({"scores": ctx.score({item.uid: f"reply to {item.question}" for item in ctx.questions})})

        def answer(self, ctx, state):  # noqa: ARG002
            yield from ()

    def fit(scoring):
        spec = {
            "method": "control_judged",
            "params": {},
            "pool": ["one"],
            "tasks": {"t": {"type": "reward_model", "answers": 1}},
            "scorer": "strict",
            "decoding_name": "default",
            "decoding": {"max_new_tokens": 4},
            "scoring": scoring,
        }
        FitJob(results, spec, "p", "control_judged", 1).run()
        return read_json(results / paths.fit_folder("p", "t", "control_judged", 1) / "fit.json")

    scoring = {"reward": "judge", "second_reward": None, "max_length": 64}
    found = fit(scoring)
    calls = paths.fit_folder("p", "t", "control_judged", 1) + "/calls.parquet"
    # Replies and references of three items.
    [judge] = read_rows(results / paths.job_perf(calls), JOB_PERF)
    assert (judge["job"], judge["system"], judge["model"]) == ("fit", "control_judged", "judge")
    assert (judge["items"], judge["cached"], judge["loads"], judge["made_tokens"]) == (6, 0, 1, 0)
    assert judge["read_tokens"] > 0
    questions = read_questions(results / paths.task_folder("t"), "dev")
    models = job_tools(results, {"scoring": scoring}).models
    pairs = [(item.prompt, f"reply to {item.question}") for item in questions]
    expected = dict(zip((item.uid for item in questions), models.reward("reward", pairs, 64), strict=True))
    assert models.inference.room.loads == 0
    assert found["data"]["scores"] == {uid: rating.reward for uid, rating in expected.items()}
    assert fit({**scoring, "max_length": 20}) != found


def test_scoring_tells_what_the_judge_did(results, capsys):
    source = paths.generation("one", "t", "test", "default", 1, 0)
    questions = read_questions(results / paths.task_folder("t"), "test")
    blank = dict.fromkeys(GENERATIONS.columns.names)
    rows = [{**blank, "uid": item.uid, "sample": 0, "status": "ok", "text": f"{item.uid}!"} for item in questions]
    write_rows(results / source, GENERATIONS, rows, Provenance("generate"))
    scoring = {"reward": "judge", "second_reward": None, "max_length": 64}
    spec = {"scorer": "strict", "type": "reward_model", "scoring": scoring}
    command = ["score", "--results", str(results), "--tasks", "t", "--split", "test", "--seed", "1", "--model", "one"]
    command += ["--decoding", "default", "--sample", "0", "--spec", json.dumps(spec)]
    for cached, loads in ((0, 1), (6, 0)):
        assert main(command) == 0
        [row] = read_rows(results / paths.job_perf(paths.scores("strict", source)), JOB_PERF)
        assert (row["job"], row["system"], row["model"], row["splits"]) == ("score", "one", "judge", ["test"])
        assert (row["items"], row["cached"], row["loads"]) == (6, cached, loads)
    assert "judge in total: 6 items, 6 in the store; no load; " in capsys.readouterr().err
