"""What jobs load and what they say it cost, with the real engine."""

import shutil
from collections import Counter

import pytest
from support.real_study import RealStudy

from moco import paths
from moco.jobs.fit import Candidates
from moco.methods.base import Request, State
from moco.methods.catalogue import method_class
from moco.models.info import ModelInfo
from moco.models.recipes import Recipe
from moco.records import CALLS, COSTS, PERF, read_rows

TASKS = ("t", "u")
POOL = ["one", "two"]
SEARCH = {"base": "one", "mode": "optimized", "population": 2, "max_iterations": 2, "scale": 0.5}
METHODS = {
    "text_multiagent_refine": {"rounds": 2},
    "weight_greedy_soup": {},
    "weight_dare_ties": SEARCH,
    "text_majority_vote": {},
    "control_random": {},
    "control_best_single": {},
}


@pytest.fixture
def content(tiny_checkpoint):
    """Two tasks of one batch, two random models, no room for a second model."""
    alike = {"kind": "local", "family": "llama", "tokenizer": "zoo"}
    return {
        "study": "s",
        "models": {name: {**alike, "path": str(tiny_checkpoint("base", seed))} for seed, name in enumerate(POOL)},
        "pools": {"p": POOL},
        "tasks": {
            task: {"source": {"kind": "synthetic", "skills": ["add"], "items": {"dev": 3, "test": 3}, "seed": seed}}
            for seed, task in enumerate(TASKS)
        },
        "decoding": {"default": {"max_new_tokens": 4, "temperature": 1.0}},
        "methods": METHODS,
        "engine": {"resident_gb": 0},
    }


@pytest.fixture
def study(tmp_path, content, clean_environment):
    """All is prepared, and plain responses and dev scores are made."""
    made = RealStudy(tmp_path / "one", content)
    made.use(clean_environment)
    made.make(*made.planned("plain responses"))
    return made


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


def where(study, method):
    return "p", study.batch("p", method, "t"), method, 1


def fit_files(study, method):
    """Return the calls of the fit of each task."""
    return [study.results / paths.fit_folder(*where(study, method)) / task / "calls.parquet" for task in TASKS]


def fit_perf(study, method):
    """Return the performance file of a fit, which all its tasks share."""
    return study.results / f"{paths.fit_folder(*where(study, method))}_perf.parquet"


def calls_file(study, method):
    return study.results / paths.calls(*where(study, method), "test")


def answer_costs(study, method, task):
    rows = read_rows(study.results / paths.costs(*where(study, method), "test"), COSTS)
    return [row for row in rows if row["task"] == task]


def run(study, method):
    """Run both jobs of a method; return the real loads and the rounds by model, of the fit and of the answer."""
    study.run("p", method)
    answers = study.results / paths.perf(paths.answers(*where(study, method), "test"))
    found = [(loads(answers), rounds(calls_file(study, method)))]
    if study.plan.matrix.needs("p", method).fit:
        found.insert(0, (loads(fit_perf(study, method)), rounds(*fit_files(study, method))))
    return found


def test_plain_responses_load_each_model_once_per_job(study):
    files = sorted(study.results.rglob("generations/**/s0_perf.parquet"))
    assert len(files) == 2 * 2  # of each model and split, both tasks together
    assert [sum(loads(file).values()) for file in files] == [1] * 4


def test_a_job_of_two_tasks_loads_a_model_at_most_once_per_round(study):
    (fit_loads, fit_rounds), (answer_loads, answer_rounds) = run(study, "text_multiagent_refine")
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


def test_a_search_loads_every_candidate_once_and_from_the_store_nothing(study, monkeypatch):
    method = "weight_greedy_soup"
    monkeypatch.setattr(method_class(method), "fit", try_one_candidate)
    study.fit("p", method)
    files = fit_files(study, method)
    made = loads(fit_perf(study, method))
    assert len(made) == 2
    assert all(count <= rounds(*files)[model] == 2 for model, count in made.items())
    size = ModelInfo.read(study.results / paths.model_json("one")).parameters
    for path in files:
        (row,) = read_rows(path.with_name("costs.parquet"), COSTS)
        calls = read_rows(path, CALLS)
        tokens = sum(call["prompt_tokens"] + call["completion_tokens"] for call in calls)
        assert (row["role"], row["parameters"], row["calls"], row["loads"]) == ("candidate", size, 6, 2)
        assert row["flops"] == 2 * size * tokens

    before = [read_rows(path.with_name("costs.parquet"), COSTS) for path in files]
    study.fit("p", method)
    paid = read_rows(fit_perf(study, method), PERF)
    assert not [row for row in paid if row["kind"] == "load"]
    assert len(paid) == 12
    assert all(row["cached"] for row in paid)
    assert [read_rows(path.with_name("costs.parquet"), COSTS) for path in files] == before


def test_an_interrupted_search_costs_what_an_undisturbed_one_does(study, content, tmp_path, monkeypatch):
    method, made = "weight_dare_ties", []

    class Lost(Exception):
        pass

    def fit(of):
        of.use(monkeypatch)
        of.fit("p", method)
        files = fit_files(of, method)
        rows = [read_rows(path, CALLS) for path in files]
        costs = [read_rows(path.with_name("costs.parquet"), COSTS) for path in files]
        return rows, costs, [path.with_name("fit.json").read_bytes() for path in files]

    def make(self, recipe):
        made.append((str(recipe), self._scratch))
        if len(made) == 8:  # in the first update, after three candidates of each task
            raise Lost
        return whole_make(self, recipe)

    whole_make = Candidates.make
    other = RealStudy(tmp_path / "other", content)
    shutil.copytree(study.results, other.results, dirs_exist_ok=True)
    monkeypatch.setattr(Candidates, "make", make)
    with pytest.raises(Lost):
        fit(study)
    resumed = fit(study)
    # Only the candidates of the update that each of the two tasks was scoring are made again.
    assert len(set(made)) >= len(made) - 2 * SEARCH["population"]
    monkeypatch.setattr(Candidates, "make", whole_make)
    assert resumed == fit(other)


def test_a_cached_response_costs_as_much_and_loads_nothing(study):
    made = []
    for method in ("text_majority_vote", "control_random"):
        ((paid, _),) = run(study, method)
        assert paid == {}
        made.append({row["model"]: row for row in answer_costs(study, method, "t")})
    vote, _ = made
    plain = [row for row in read_rows(calls_file(study, "text_majority_vote"), CALLS) if row["task"] == "t"]
    for name in POOL:
        tokens = sum(c["prompt_tokens"] + c["completion_tokens"] for c in plain if c["model"] == name)
        size = ModelInfo.read(study.results / paths.model_json(name)).parameters
        assert (vote[name]["calls"], vote[name]["loads"], vote[name]["flops"]) == (3, 1, 2 * size * tokens)


def test_the_costs_of_an_answer_list_its_fit_apart(study):
    run(study, "control_best_single")
    rows = answer_costs(study, "control_best_single", "t")
    assert [(row["stage"], row["model"], row["calls"]) for row in rows if row["stage"] == "fit"] == [
        ("fit", "one", 3),
        ("fit", "two", 3),
    ]
    assert [(row["stage"], row["calls"], row["loads"]) for row in rows if row["stage"] == "answer"] == [
        ("answer", 3, 1)
    ]


def test_a_failed_answer_has_the_cost_of_its_fit_only(study):
    run(study, "control_best_single")
    (wildcards,) = study.jobs("p", "control_best_single")
    study.answer_job(wildcards).write_failed("test", "killed")
    rows = answer_costs(study, "control_best_single", "u")
    assert [row["stage"] for row in rows] == ["fit", "fit"]
