"""Models that a study tunes itself, from their declaration to their replies."""

import json
import re
from types import SimpleNamespace

import pytest
from support.real_study import RealStudy
from support.training_files import check_training_files

from moco import paths
from moco.cli import main
from moco.config.load import study_from
from moco.models.info import ModelInfo
from moco.records import EXAMPLES, GENERATIONS, read_json, read_rows
from moco.tasks.prepare import read_questions
from moco.workflow.check import structural_problems
from moco.workflow.plan import Plan

TUNED = {"kind": "tuned", "base": "base", "tasks": ["sums"]}
SUMS = {"source": {"kind": "synthetic", "skills": ["add"], "items": {"train": 12, "dev": 4, "test": 4}}}
QUIZ = {"source": {**SUMS["source"], "form": "choice"}}


def study(tuned=None, **changes):
    return {
        "study": "s",
        "models": {"base": {"kind": "zoo"}, "expert": {**TUNED, **(tuned or {})}},
        "pools": {"p": ["base", "expert"]},
        "tasks": {"t": SUMS, "sums": SUMS, "quiz": QUIZ},
        "methods": {"control_random": {}},
        "compare": [{"pools": ["p"], "tasks": ["t"], "methods": "all"}],
        **changes,
    }


def problems(content):
    return [f"{found.key}: {found.what}" for found in structural_problems(study_from(content, "s.yaml"))]


def test_a_tuned_model_is_planned_from_its_tasks_and_its_base():
    made = Plan(study_from(study(), "s.yaml"))
    made.build()
    expert = SimpleNamespace(model="expert")
    assert set(made.matrix.models) == {"base", "expert"}
    assert made.tune.questions(expert) == ["<results>/tasks/sums/train/questions.parquet"]
    assert made.tune.models(expert) == ["<results>/models/base/model.json"]
    assert made.tune.checkpoints(expert) == ["<results>/checkpoints/base"]
    assert made.resolve.parents(expert) == ["<results>/models/base/model.json"]
    assert made.resolve.checkpoint(expert) == ["<results>/tuned/expert"]
    assert made.generate.weights(["expert"]) == ["<results>/checkpoints/base", "<results>/tuned/expert"]
    assert made.prepare.slice(SimpleNamespace(task="sums")) == made.prepare.slice(SimpleNamespace(task="t"))
    nodes = made.matrix.nodes
    assert nodes.parameters("expert") == nodes.parameters("base")
    assert nodes.declared("expert", "architecture") == "llama"
    assert nodes.tuned_on("expert") == {"sums"}
    assert not re.fullmatch(made.zoo_models, "expert")


def test_a_model_is_tuned_further():
    models = {**study()["models"], "next": {**TUNED, "base": "expert", "tasks": ["quiz"]}}
    made = Plan(study_from(study(models=models, pools={"p": ["next", "base"]}), "s.yaml"))
    made.build()
    assert made.matrix.nodes.tuned_on("next") == {"sums", "quiz"}
    assert made.matrix.nodes.base("next") == "base", "an adapter that goes on rests where it did"
    assert made.tune.checkpoints(SimpleNamespace(model="next")) == [
        "<results>/checkpoints/base",
        "<results>/tuned/expert",
    ]


@pytest.mark.parametrize(
    ("tuned", "problem"),
    [
        ({"base": "bse"}, "models.expert.base: 'bse' is not a model of this study"),
        ({"base": "expert"}, "models.expert.base: is tuned from itself"),
        ({"tasks": ["sum"]}, "models.expert.tasks: unknown task 'sum'"),
        ({"engine": {"dtype": "float64"}}, "models.expert.engine: a tuned model runs as its base does"),
        ({"tasks": ["short"]}, "models.expert.tasks: task short has no split train"),
        (
            {"tasks": ["refused"]},
            "models.expert.tasks: references of task refused, of type noncompliance, are no replies that a model could learn",
        ),
    ],
)
def test_mistakes_are_told_before_anything_runs(tuned, problem):
    short = {"source": {**SUMS["source"], "items": {"dev": 4, "test": 4}}}
    refused = {**SUMS, "type": "noncompliance"}
    assert problem in problems(study(tuned, tasks={"t": SUMS, "sums": SUMS, "short": short, "refused": refused}))


def test_reference_answers_that_are_no_replies_are_not_taught_in_the_loop_either():
    loop = {"pool": "p", "methods": ["control_random"], "tasks": ["refused"], "variants": ["multi_student"]}
    tasks = {"t": SUMS, "sums": SUMS, "refused": {**SUMS, "type": "noncompliance", "distill": 0.5}}
    told = problems(study(tasks=tasks, evolution={"e": {**loop, "mix": {"gold": 0.5}}}))
    assert [each for each in told if each.startswith("evolution.e.mix.gold: references of task refused")]
    told = problems(study(tasks=tasks, evolution={"e": loop}))
    assert not [each for each in told if "mix.gold" in each]


def test_what_a_model_was_tuned_on_is_neither_fitted_on_nor_scored(tmp_path):
    file = {"kind": "moco", "path": str(tmp_path / "t.json")}
    whole = {"source": file, "type": "exact_match"}
    lines = [{"input": f"{n} + 1?", "output": str(n + 1)} for n in range(30)]
    (tmp_path / "t.json").write_text(json.dumps({"dev": lines[:20], "test": lines[20:]}))

    def found(learnt, asked, tuned=None, **changes):
        tasks = {"learnt": {**whole, "train": 0.4, **learnt}, "t": asked}
        return problems(
            study(
                {"tasks": ["learnt"], **(tuned or {})},
                tasks=tasks,
                methods={"control_best_single": {}},
                **changes,
            )
        )

    fits = "methods.control_best_single: fits on the split dev of t, of which expert was tuned on items"
    cut = {**whole, "train": 0.4}
    assert found({}, whole) == [fits], "dev of the whole source holds what was learnt"
    assert found({}, cut) == [], "both are cut by one rule"
    assert found({"distill": 0.3}, cut) == found({}, {**cut, "distill": 0.3}) == []
    for other in ({"train": 0.3}, {"seed": 1}, {"limit": {"dev": 10}}, {"splits": "upstream"}):
        assert found({}, {**cut, **other}) == [fits], other
    assert found({}, {"source": "learnt", "train": 0.4}) == []
    assert found({}, {"source": "learnt"}) == [fits]
    alone = {"pools": {"p": ["base", "base"]}}
    assert found({}, whole, **alone) == [], "who was not tuned may be fitted"
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    columns = {"question": "input", "gold": "output"}
    rows = {"kind": "table", "columns": columns, "paths": {"dev": "d.jsonl", "test": str(tmp_path / "t.jsonl")}}
    table = {"source": rows, "type": "exact_match"}
    learnt = {"source": {**rows, "paths": {"train": str(tmp_path / "t.jsonl"), "test": "o.jsonl"}}, "train": 0.0}
    assert found(learnt, table) == ["models.expert: is tuned on items that the split test of t holds"]
    helped = {"methods": {"api_trained_router": {"router": "expert", "ties": "first"}}, **alone}
    content = study({"tasks": ["learnt"]}, tasks={"learnt": cut, "t": whole}, **helped)
    assert "methods.api_trained_router: fits on the split dev of t, of which expert was tuned on items" in problems(
        content
    ), "nor may a model that helps have learnt them"


def test_a_mistake_in_what_is_learnt_is_told_alone():
    tasks = {"t": SUMS, "sums": {**SUMS, "decoding": "none"}, "quiz": QUIZ}
    models = {**study()["models"], "next": {**TUNED, "base": "expert", "tasks": ["quiz"]}}
    told = problems(study(tasks=tasks, models=models, pools={"p": ["base", "next"]}))
    assert len(told) == 1
    assert told[0].startswith("tasks.sums.decoding")


def test_a_whole_study_has_no_problem():
    assert problems(study()) == []


@pytest.fixture
def real(tmp_path, tiny_checkpoint, clean_environment):
    base = {"kind": "local", "family": "llama", "tokenizer": "zoo", "path": str(tiny_checkpoint("base"))}
    training = {"steps": 2, "batch": 4, "micro_batch": 2, "rank": 4, "layers": "linear"}
    expert = {**TUNED, "tasks": ["sums", "quiz"], "items": 5, "training": training}
    content = study(models={"base": base, "expert": expert}, decoding={"default": {"max_new_tokens": 4}})
    content["tasks"] = {name: content["tasks"][name] for name in ("t", "sums", "quiz")}
    content["compare"] = [{"pools": ["p"], "tasks": "all", "methods": "all"}]
    made = RealStudy(tmp_path, content)
    made.use(clean_environment)
    return made


def test_it_learns_right_answers_in_the_form_that_is_asked_for_and_replies(real):
    folder = real.results / paths.tuned("expert")
    learnt = read_rows(folder / "examples.parquet", EXAMPLES)
    assert len(learnt) == 10
    prompts = {
        item.uid: item.prompt
        for task in ("sums", "quiz")
        for item in read_questions(real.results / paths.task_folder(task), "train")
    }
    for row in learnt:
        assert row["prompt"] == prompts[row["uid"]]
        form = r"\\box\{-?\d+\}" if row["uid"].startswith("sums") else "[A-H]"
        assert re.fullmatch(form, row["reply"]), row["reply"]
    info = ModelInfo.read(real.results / paths.model_json("expert"))
    base = ModelInfo.read(real.results / paths.model_json("base"))
    assert info.base["fingerprint"] == base.fingerprint
    assert info.parents == ({"name": "base", "fingerprint": base.fingerprint},)
    assert main(["resolve", "--results", str(real.results), "--model", "expert"]) == 0
    assert ModelInfo.read(real.results / paths.model_json("expert")) == info
    path = paths.generation("expert", real.batch("p", "control_random", "t"), "test", 1, "s0")
    real.make(path)
    rows = read_rows(real.results / path, GENERATIONS)
    assert {row["status"] for row in rows} == {"ok"}


def test_it_is_tuned_once_and_comes_from_the_store_after_that(real):
    folder = real.results / paths.tuned("expert")
    before = read_json(folder / "training.json"), (folder / "adapter_model.safetensors").read_bytes()
    assert main(["tune", "--results", str(real.results), "--model", "expert"]) == 0
    assert before == (read_json(folder / "training.json"), (folder / "adapter_model.safetensors").read_bytes())


def test_it_learns_the_part_of_dev_that_its_task_cuts_off_and_nothing_of_the_test(tmp_path, tiny_checkpoint):
    lines = {
        split: [{"input": f"{split} number {n}?", "output": f"{split}{n}"} for n in range(10)]
        for split in ("dev", "test")
    }
    (tmp_path / "t.json").write_text(json.dumps(lines))
    base = {"kind": "local", "family": "llama", "tokenizer": "zoo", "path": str(tiny_checkpoint("base"))}
    training = {"steps": 1, "batch": 2, "micro_batch": 2, "rank": 4, "layers": "linear"}
    task = {"source": {"kind": "moco", "path": str(tmp_path / "t.json")}, "type": "exact_match", "train": 0.4}
    models = {"base": base, "expert": {**TUNED, "tasks": ["t"], "training": training}}
    made = RealStudy(tmp_path, study(models=models, tasks={"t": task}))
    task_folder = made.results / paths.task_folder("t")
    learnt = check_training_files(tmp_path, made.results, ["t"])
    assert {row["uid"] for row in learnt} == {item.uid for item in read_questions(task_folder, "train")}
    assert len(read_questions(task_folder, "dev")) == 6
    assert {row["reply"] for row in learnt} <= {f"\\box{{dev{n}}}" for n in range(10)}
