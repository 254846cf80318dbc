"""What jobs load and what they say it cost, with the real engine."""

import json
import shutil
from collections import Counter

import pytest

from moco import paths
from moco.config.engine import EngineSettings
from moco.config.models import LocalModel
from moco.config.tasks import TaskEntry
from moco.engines.plain import generate_plain
from moco.methods.answering import AnswerJob
from moco.methods.base import Recipe, Request, State
from moco.methods.catalogue import make_method, method_class
from moco.methods.fitting import Candidates, FitJob
from moco.models.info import ModelInfo
from moco.models.resolve import resolve
from moco.records import CALLS, COSTS, PERF, read_rows
from moco.scoring.files import score_plain
from moco.tasks.prepare import prepare

TASKS = {"t": {"type": "exact_match", "answers": 1}, "u": {"type": "exact_match", "answers": 1}}
POOL = ["one", "two"]
DECODING = {"decoding_name": "default", "decoding": {"max_new_tokens": 4, "temperature": 1.0}}


@pytest.fixture
def results(tmp_path, tiny_checkpoint, clean_environment):
    """Two prepared tasks, two random models, their plain responses and dev scores; no room for a second model."""
    clean_environment.setenv("MOCO_RUNTIME", json.dumps({"engine": {"resident_gb": 0}}))
    folder = tmp_path / "results"
    for seed, task in enumerate(TASKS):
        source = {"kind": "synthetic", "skills": ["add"], "items": {"dev": 3, "test": 3}, "seed": seed}
        prepare(task, TaskEntry(source=source), folder / paths.task_folder(task), {})
    for seed, name in enumerate(POOL):
        entry = LocalModel(kind="local", path=str(tiny_checkpoint("base", seed)))
        resolve(name, entry, EngineSettings(), tmp_path).write(folder / paths.model_json(name))
    generate_plain(folder, [(name, task) for name in POOL for task in TASKS], ["dev", "test"], [0], 1, DECODING)
    for name in POOL:
        for task in TASKS:
            source = paths.generation(name, task, "dev", "default", 1, 0)
            score_plain(folder, task, "dev", source, {"scorer": "strict", "type": "exact_match"})
    return folder


def spec(method, params):
    made = make_method(method, params).params.slice()
    return {"method": method, "params": made, "pool": POOL, "tasks": TASKS, "scorer": "strict", **DECODING}


def loads(*files):
    return Counter(row["model"] for path in files for row in read_rows(path, PERF) if row["kind"] == "load")


def rounds(*files):
    """Return the number of rounds in which each model ran in any of the tasks."""
    calls = [row for path in files for row in read_rows(path, CALLS) if row["kind"] in ("own", "joint")]
    return {
        model: len({row["round"] for row in calls if row["model"] == model}) for model in {c["model"] for c in calls}
    }


def perf(path):
    return path.with_name(f"{path.stem}_perf.parquet")


def fit_files(results, method):
    return [results / paths.fit_folder("p", task, method, 1) / "calls.parquet" for task in TASKS]


def answer_files(results, method):
    return [results / paths.calls("p", task, method, 1, "test") for task in TASKS]


def run(results, method, params=None):
    """Run both jobs of a method; return the real loads and the rounds by model, of the fit and of the answer."""
    found = []
    jobs = [(FitJob, fit_files)] if make_method(method, params or {}).needs(2).fit else []
    for job, files in [*jobs, (AnswerJob, answer_files)]:
        made = job(results, spec(method, params or {}), "p", method, 1)
        made.run(*([] if job is FitJob else ["test"]))
        where = files(results, method)
        found.append((loads(*map(perf, where)), rounds(*where)))
    return found


def test_plain_responses_load_each_model_once(results):
    files = sorted(results.rglob("generations/**/s0_perf.parquet"))
    assert len(files) == 2 * 2 * 2
    assert loads(*files) == {"one": 1, "two": 1}


def test_a_job_of_two_tasks_loads_a_model_at_most_once_per_round(results):
    (fit_loads, fit_rounds), (answer_loads, answer_rounds) = run(results, "text_multiagent_refine", {"rounds": 2})
    assert fit_loads == {}
    assert fit_rounds == {}
    assert answer_loads
    assert set(answer_loads) == set(answer_rounds)
    assert all(answer_loads[model] <= answer_rounds[model] for model in answer_loads)
    # There is no room for two models, so that every round loads anew: as often as stated, and not once per task.
    assert answer_loads == answer_rounds


def try_one_candidate(_method, ctx):
    """Fit by two rounds of a candidate that differs between the tasks."""
    share = {"t": 0.5, "u": 0.25}[ctx.questions[0].task]
    recipe = Recipe("linear", tuple(ctx.fingerprint(index) for index in range(2)), (share, 1 - share))
    name = ctx.merge(recipe)
    for prompt in ("first", "second"):
        ctx.generate([Request(name, item.uid, f"{prompt} {item.prompt}", "candidate") for item in ctx.questions])
    ctx.discard(name)
    return State(models={"soup": recipe})


def test_a_search_loads_every_candidate_once_and_from_the_store_nothing(results, monkeypatch):
    method = "weight_greedy_soup"
    monkeypatch.setattr(method_class(method), "fit", try_one_candidate)
    FitJob(results, spec(method, {}), "p", method, 1).run()
    files = fit_files(results, method)
    made = loads(*map(perf, files))
    assert len(made) == 2
    assert all(count <= rounds(*files)[model] == 2 for model, count in made.items())
    size = ModelInfo.read(results / paths.model_json("one")).parameters
    for path in files:
        (row,) = read_rows(path.with_name("costs.parquet"), COSTS)
        calls = read_rows(path, CALLS)
        tokens = sum(call["prompt_tokens"] + call["completion_tokens"] for call in calls)
        assert (row["role"], row["parameters"], row["calls"], row["loads"]) == ("candidate", size, 6, 2)
        assert row["flops"] == 2 * size * tokens

    before = [read_rows(path.with_name("costs.parquet"), COSTS) for path in files]
    FitJob(results, spec(method, {}), "p", method, 1).run()
    assert loads(*map(perf, files)) == {}
    paid = [row for path in files for row in read_rows(perf(path), PERF)]
    assert len(paid) == 12
    assert all(row["cached"] for row in paid)
    assert [read_rows(path.with_name("costs.parquet"), COSTS) for path in files] == before


SEARCH = {"base": "one", "mode": "optimized", "population": 2, "max_iterations": 2, "scale": 0.5}


def test_an_interrupted_search_costs_what_an_undisturbed_one_does(results, tmp_path, monkeypatch):
    method, made = "weight_dare_ties", []

    class Lost(Exception):
        pass

    def fit(folder):
        FitJob(folder, {**spec(method, SEARCH), "further_models": {"one": "one"}}, "p", method, 1).run()
        rows = [read_rows(path, CALLS) for path in fit_files(folder, method)]
        costs = [read_rows(path.with_name("costs.parquet"), COSTS) for path in fit_files(folder, method)]
        return rows, costs, [path.with_name("fit.json").read_bytes() for path in fit_files(folder, method)]

    def make(self, recipe):
        made.append((str(recipe), self._scratch))
        if len(made) == 6:
            raise Lost
        return whole_make(self, recipe)

    whole_make = Candidates.make
    other = tmp_path / "other/results"
    shutil.copytree(results, other)
    monkeypatch.setattr(Candidates, "make", make)
    with pytest.raises(Lost):
        fit(results)
    resumed = fit(results)
    # Only the candidate that each of the two tasks was scoring is made again.
    assert len(set(made)) >= len(made) - 2
    monkeypatch.setattr(Candidates, "make", whole_make)
    assert resumed == fit(other)


def test_a_cached_response_costs_as_much_and_loads_nothing(results):
    made = []
    for method in ("text_majority_vote", "control_random"):
        ((paid, _),) = run(results, method)
        assert paid == {}
        made.append({row["model"]: row for row in read_rows(results / paths.costs("p", "t", method, 1, "test"), COSTS)})
    vote, _ = made
    plain = read_rows(results / paths.calls("p", "t", "text_majority_vote", 1, "test"), CALLS)
    for name in POOL:
        tokens = sum(c["prompt_tokens"] + c["completion_tokens"] for c in plain if c["model"] == name)
        size = ModelInfo.read(results / paths.model_json(name)).parameters
        assert (vote[name]["calls"], vote[name]["loads"], vote[name]["flops"]) == (3, 1, 2 * size * tokens)


def test_the_costs_of_an_answer_list_its_fit_apart(results):
    run(results, "control_best_single")
    rows = read_rows(results / paths.costs("p", "t", "control_best_single", 1, "test"), COSTS)
    assert [(row["stage"], row["model"], row["calls"]) for row in rows if row["stage"] == "fit"] == [
        ("fit", "one", 3),
        ("fit", "two", 3),
    ]
    assert [(row["stage"], row["calls"], row["loads"]) for row in rows if row["stage"] == "answer"] == [
        ("answer", 3, 1)
    ]


def test_a_failed_answer_has_the_cost_of_its_fit_only(results):
    run(results, "control_best_single")
    AnswerJob(results, spec("control_best_single", {}), "p", "control_best_single", 1).write_failed("test", "killed")
    rows = read_rows(results / paths.costs("p", "u", "control_best_single", 1, "test"), COSTS)
    assert [row["stage"] for row in rows] == ["fit", "fit"]
