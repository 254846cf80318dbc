"""Needs of methods that files of several rules meet: one fit for all tasks, a trained model, a helper, a corpus."""

import json

import pytest
from support.projects import Project, new_project

from moco import paths
from moco.records import ALL_COSTS, ANSWERS, CALLS, read_frame, read_json, read_rows

pytestmark = pytest.mark.slow

PROBE = '''
"""A probe: learns a corpus once for all tasks, and answers by what it trained."""

from collections.abc import Iterator

from moco.config.fields import identity
from moco.methods.base import Answer, AnswerNeeds, FitNeeds, Helper, Method, MethodParams, Needs, PoolInfo, Request, State
from moco.methods.base import method
from moco.methods.context import AnswerContext, FitContext


@method("control_pupil", level="control", papers=())
class Pupil(Method):
    """Trains the first member on a corpus, for all tasks together, and lets the pupil answer."""

    class Params(MethodParams):
        corpus: str = identity("What is learnt.", "lessons")
        encoder: str = identity("What compares questions.", "encoder")
        steps: int = identity("Steps.", 2)

    def needs(self, _pool: PoolInfo) -> Needs:
        fit = FitNeeds(generates=True, trains=True, corpora=(self.params.corpus,))
        helpers = {"encoder": Helper(self.params.encoder, frozenset({"embed"}))}
        return Needs(
            AnswerNeeds(generates=True),
            fit,
            "pool",
            capabilities=frozenset({"trainable"}),
            models=("pupil",),
            helpers=helpers,
        )

    def fit(self, ctx: FitContext) -> State:
        pairs = [(row["prompt"], row["reply"]) for row in ctx.corpus(self.params.corpus)]
        trained = ctx.train("sft", 0, pairs, "pupil", steps=self.params.steps)
        vectors = ctx.embed("encoder", [item.question for item in ctx.questions])
        data = {"tasks": sorted({item.task for item in ctx.questions}), "items": len(ctx.questions)}
        return State(data, {"mean": vectors.mean(axis=0)}, {"pupil": trained})

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        near = ctx.embed("encoder", [item.question for item in ctx.questions]) @ state.tensors["mean"]
        requests = [Request("pupil", item.uid, item.prompt, "answer") for item in ctx.questions]
        for item, reply, value in zip(ctx.questions, ctx.generate(requests), near, strict=True):
            record = {"near": float(value), "tasks": state.data["tasks"]}
            yield Answer(item.uid, reply.text, ("pupil",), record)
'''
PUPIL = "one--_all--pupil--s1--pupil"


@pytest.fixture(scope="module")
def project(tmp_path_factory, zoo_cache) -> Project:
    project = new_project(tmp_path_factory.mktemp("contract") / "project", zoo_cache)
    (project.folder / "moco/methods/control/pupil.py").write_text(PROBE)
    lessons = [{"prompt": "3 + 4 =", "reply": "7"}, {"prompt": "Reverse: abc", "reply": "cba"}]
    (project.folder / "lessons.jsonl").write_text("".join(json.dumps(lesson) + "\n" for lesson in lessons))
    project.edit_config(study)
    project.snakemake("results/small/analysis/benchmark/costs.parquet")
    return project


def study(config) -> None:
    """Make the small study one of a single member, two batches, and the probe."""
    config["models"] = {"add": config["models"]["add"], "encoder": {"kind": "zoo"}}
    config["pools"] = {"one": ["add"]}
    config["corpora"] = {"lessons": {"path": "lessons.jsonl", "columns": ["prompt", "reply"]}}
    config["methods"] = {"pupil": {"method": "control_pupil"}}
    config["compare"] = [{"singles": []}]
    for task in config["tasks"].values():
        task["source"]["items"] = {"dev": 3, "test": 3}


def test_what_one_fit_learned_answers_every_task_and_is_paid_once(project):
    fit = project.results / paths.fit_folder("one", paths.ALL, "pupil", 1) / paths.ALL
    assert read_json(fit / "fit.json")["data"] == {"tasks": ["mixed", "quiz"], "items": 6}
    info, parent = (read_json(project.results / paths.model_json(name)) for name in (PUPIL, "add"))
    assert info["parents"] == [{"name": "add", "fingerprint": parent["fingerprint"]}]
    answered = sorted((project.results / "answers/one").glob("*/pupil/seed1/test.parquet"))
    assert len(answered) == 2
    for path in answered:
        answers = read_rows(path, ANSWERS)
        assert [row["status"] for row in answers] == ["ok"] * 3
        assert all(json.loads(row["record_json"])["tasks"] == ["mixed", "quiz"] for row in answers)
        calls = read_rows(path.with_name("test_calls.parquet"), CALLS)
        assert {(call["kind"], call["model"]) for call in calls} == {("own", "pupil"), ("embedding", "encoder")}
    costs = read_frame(project.results / paths.collected(paths.BENCHMARK, "costs"), ALL_COSTS)
    trained = costs[costs["stage"] == "train"]
    assert (sorted(trained["task"]), set(trained["scope"])) == (["mixed", "quiz"], {"pool"})
    assert trained["flops"].nunique() == 1
    assert not (project.results / paths.checkpoint(PUPIL)).exists(), "weights of a pupil leave when it has answered"


def test_a_change_of_the_method_or_of_the_corpus_plans_the_fit_and_all_its_answers(project, tmp_path):
    costs = "results/small/analysis/benchmark/costs.parquet"
    anew = {"fit": 1, "merge": 1, "resolve": 1, "answer": 2, "score": 2}
    assert "Nothing to be done" in project.planned(costs).output
    changed = project.copy(tmp_path / "changed")
    changed.edit_config(lambda config: config["methods"]["pupil"].update(steps=3))
    assert changed.planned(costs).stages() == anew
    taught = project.copy(tmp_path / "taught")
    (taught.folder / "lessons.jsonl").write_text('{"prompt": "a", "reply": "b"}\n')
    assert taught.planned(costs).stages() == anew


def test_one_more_task_plans_its_own_batch_and_the_fit_that_it_belongs_to(project, tmp_path):
    more = project.copy(tmp_path / "more")

    def change(config):
        config["tasks"]["further"] = {**config["tasks"]["mixed"], "domain": "further"}

    more.edit_config(change)
    planned = more.planned("results/small/analysis/benchmark/costs.parquet")
    assert planned.stages() == {"prepare": 1, "fit": 1, "merge": 1, "resolve": 1, "answer": 3, "score": 3}
