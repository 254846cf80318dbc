"""The methods that train, run through the jobs on tiny real models: what they make, ask and leave behind."""

import json

import pytest
from support.real_study import RealStudy
from support.training_files import check_training_files

from moco import paths
from moco.digest import file_digest
from moco.methods.api import trained_router
from moco.methods.shared import duels
from moco.models.info import ModelInfo
from moco.records import ANSWERS, read_json, read_rows
from moco.tasks.prepare import read_questions

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("registries", "clean_environment")]

SMALL = {"rank": 4, "steps": 2, "batch": 2, "micro_batch": 2, "layers": "linear"}
METHODS = {
    "api_trained_router": {"router": "tutor", "ties": "first", "training": SMALL},
    "text_agglm": {
        "aggregator": "tutor",
        "samples": 1,
        "training": {**SMALL, "batch": 4, "group": 2, "micro_batch": 2},
    },
    "text_llm_blender": {
        "ranker": "tutor",
        "train_ranker": True,
        "train_fuser": True,
        "ranker_training": SMALL,
        "fuser_training": SMALL,
    },
    "text_multiagent_finetuning": {"agreement": 0.0, "iterations": 2, "training": SMALL},
    "text_sparta": {"num_iterations": 2, "judge_tokens": 8, "training": SMALL},
    "text_sparta_stackelberg": {"num_iterations": 1, "judge_tokens": 8, "training": SMALL},
}


@pytest.fixture
def study(tmp_path, tiny_checkpoint, clean_environment):
    """Return a maker of a study of one method, three members and a tutor, on a task of six items per split."""
    for split in ("dev", "test"):
        lines = [{"question": f"{split} number {n}: {n} + 1?", "answer": f"{split}{n + 1}"} for n in range(6)]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    files = {split: str(tmp_path / f"{split}.jsonl") for split in ("dev", "test")}
    columns = {"question": "question", "gold": "answer"}

    def make(method, folder="study"):
        alike = {"kind": "local", "family": "llama", "tokenizer": "zoo"}
        models = {
            name: {**alike, "path": str(tiny_checkpoint("base", seed))}
            for seed, name in enumerate(("one", "two", "three", "tutor"))
        }
        content = {
            "study": "s",
            "models": models,
            "pools": {"p": ["one", "two", "three"]},
            "tasks": {"t": {"source": {"kind": "table", "paths": files, "columns": columns}, "type": "exact_match"}},
            "decoding": {"default": {"max_new_tokens": 4, "temperature": 1.0}},
            "methods": {method: METHODS[method]},
        }
        (tmp_path / folder).mkdir()
        made = RealStudy(tmp_path / folder, content)
        made.use(clean_environment)
        return made

    return make


def folder_of(study, method):
    return study.results / paths.fit_folder("p", study.batch("p", method, "t"), method, 1) / "t"


@pytest.mark.parametrize("method", METHODS)
def test_it_trains_and_answers_and_learns_nothing_of_the_test(study, method, monkeypatch):
    # Random models judge at random, but never in the form that is asked for.
    monkeypatch.setattr(duels, "verdict", lambda text: 1.0 + sum(text.encode()) % 10)
    made = study(method)
    made.fit("p", method)
    folder = folder_of(made, method)
    about = read_json(folder / "fit.json")
    for name in about["models"]:
        made.make_model(f"p--t--{method}--s1--{name}")
        info = ModelInfo.read(made.results / paths.model_json(f"p--t--{method}--s1--{name}"))
        assert info.parameters >= ModelInfo.read(made.results / paths.model_json("one")).parameters
    for wildcards in made.jobs("p", method):
        made.make(*made.plan.answer.made_plain(wildcards))
    made.answer("p", method)
    rows = read_rows(made.results / paths.answers("p", made.batch("p", method, "t"), method, 1, "test"), ANSWERS)
    task = made.results / paths.task_folder("t")
    tests = read_questions(task, "test")
    assert {row["uid"] for row in rows} == {item.uid for item in tests}
    assert {row["status"] for row in rows} == {"ok"}
    learnt = check_training_files(made.folder, made.results, ["t"])
    assert {row["uid"] for row in learnt} <= {item.uid for item in read_questions(task, "dev")}


@pytest.mark.parametrize("method", ["text_agglm", "text_multiagent_finetuning"])
def test_a_fit_in_another_folder_makes_the_same_models(study, method):
    found = []
    for name in ("first", "second"):
        made = study(method, name)
        made.fit("p", method)
        models = folder_of(made, method) / "models"
        found.append({str(path.relative_to(models)): file_digest(path) for path in sorted(models.rglob("*.*"))})
    assert found[0] == found[1]


def test_where_one_member_is_best_on_all_dev_items_every_test_item_goes_to_it(study, monkeypatch):
    def scores(ctx):
        return {item.uid: [0.0, 1.0, 0.0] for item in ctx.questions}

    monkeypatch.setattr(trained_router, "dev_table", scores)
    learning = {"steps": 20, "batch": 4, "micro_batch": 4, "learning_rate": 1e-2, "rank": 4, "layers": "linear"}
    monkeypatch.setitem(METHODS, "api_trained_router", {"router": "tutor", "ties": "first", "training": learning})
    made = study("api_trained_router")
    made.fit("p", "api_trained_router")
    learnt = read_json(folder_of(made, "api_trained_router") / "fit.json")["data"]
    assert (learnt["labels"], learnt["label_entropy"]) == ({"1": 6}, 0)
    made.make_model("p--t--api_trained_router--s1--router")
    made.answer("p", "api_trained_router")
    batch = made.batch("p", "api_trained_router", "t")
    rows = read_rows(made.results / paths.answers("p", batch, "api_trained_router", 1, "test"), ANSWERS)
    assert {(*row["models"], row["fallback"]) for row in rows} == {("two", None)}
    routes = [json.loads(row["record_json"])["logprobs"] for row in rows]
    assert all(second > max(first, third) + 1 for first, second, third in routes), "it knows, and does not guess"
