"""Batches, and which method applies where."""

import pytest

from moco.config.load import study_from
from moco.workflow.matrix import Cell, Matrix

SKILLS = {"kind": "synthetic", "skills": ["add"]}
pytestmark = pytest.mark.usefixtures("clean_environment")


def matrix(**changes) -> Matrix:
    content = {
        "study": "s",
        "models": {"a": {"kind": "zoo", "recipe": "add"}, "b": {"kind": "zoo", "recipe": "recall"}},
        "pools": {"p": ["a", "b"]},
        "tasks": {"t": {"source": SKILLS}},
        "methods": {"control_random": {}},
        **changes,
    }
    return Matrix(study_from(content, "s.yaml"))


def task(**changes) -> dict:
    source = {**SKILLS, **changes.pop("source", {})}
    return {"source": source, **changes}


ONE_BATCH = {
    "seed": task(seed=3),
    "limit": task(limit={"dev": 5}),
    "number of items": task(source={"items": {"train": 3, "dev": 9, "test": 9}}),
}
TWO_BATCHES = {
    "domain": task(domain="maths"),
    "type": task(source={"form": "choice"}),
    "layout": task(source={"items": {"dev": 4, "test": 4}}),
    "distill": task(distill=0.5),
    "no dev": task(source={"items": {"train": 3, "test": 4}}),
    "decoding": task(decoding="long"),
}
PRESETS = {"default": {}, "long": {"max_new_tokens": 9}}


@pytest.mark.parametrize("name", ONE_BATCH)
def test_tasks_of_one_kind_share_a_batch(name):
    made = matrix(tasks={"t": task(), "u": ONE_BATCH[name]}).batches
    assert [batch.tasks for batch in made.values()] == [("t", "u")]


@pytest.mark.parametrize("name", TWO_BATCHES)
def test_tasks_that_differ_where_jobs_differ_have_batches_of_their_own(name):
    made = matrix(tasks={"t": task(), "u": TWO_BATCHES[name]}, decoding=PRESETS).batches
    assert sorted(batch.tasks for batch in made.values()) == [("t",), ("u",)]
    assert len(made) == 2


def test_comparisons_cut_batches_so_that_none_runs_what_another_asks_for():
    tasks = {name: task() for name in "tuvw"}
    compare = [{"tasks": ["t", "u", "v"]}, {"tasks": ["v", "w"]}]
    made = matrix(tasks=tasks, compare=compare).batches
    assert {name: batch.tasks for name, batch in made.items()} == {
        "general-exact_match-train-in0": ("t", "u"),
        "general-exact_match-train": ("v",),
        "general-exact_match-train-in1": ("w",),
    }


def test_every_task_in_use_is_in_exactly_one_batch_whatever_the_study():
    kinds = [task(), *ONE_BATCH.values(), *TWO_BATCHES.values()]
    tasks = {f"t{number}": kind for number, kind in enumerate(kinds * 2)}
    compare = [{"tasks": list(tasks)[:9]}, {"tasks": list(tasks)[5:]}, {"tasks": ["t0", "t7"]}]
    made = matrix(tasks=tasks, compare=compare, decoding=PRESETS)
    members = [name for batch in made.batches.values() for name in batch.tasks]
    assert sorted(members) == sorted(tasks)
    for number, block in enumerate(compare):
        inside = [batch for batch in made.batches.values() if set(batch.tasks) <= set(block["tasks"])]
        assert sorted(name for batch in inside for name in batch.tasks) == sorted(block["tasks"]), number


def test_tasks_outside_all_comparisons_are_not_worked_on():
    made = matrix(tasks={"t": task(), "u": task()}, compare=[{"tasks": ["u"]}])
    assert [batch.tasks for batch in made.batches.values()] == [("u",)]


def test_a_task_over_another_task_has_its_source_and_splits_of_its_own():
    made = matrix(tasks={"t": task(), "evo": {"source": "t", "distill": 0.5}})
    assert made.tasks["evo"].entry.source == made.tasks["t"].entry.source
    assert made.tasks["evo"].type == "exact_match"
    assert made.tasks["evo"].splits == ("train", "dev", "distill", "test")
    assert made.tasks["t"].splits == ("train", "dev", "test")


def test_a_cell_is_every_method_on_every_pool_and_batch_where_it_applies():
    made = matrix(
        pools={"p": ["a", "b"], "one": ["a"]},
        tasks={"t": task(), "q": task(source={"form": "choice"})},
        methods={"control_random": {}, "weight_greedy_soup": {}},
    )
    batches = {"general-exact_match-train", "general-multiple_choice-train"}
    wanted = {Cell(pool, batch, "control_random") for pool in ("p", "one") for batch in batches}
    wanted |= {Cell("p", batch, "weight_greedy_soup") for batch in batches}
    assert set(made.cells) == wanted
    assert len(made.cells) == len(wanted)
    assert {(n.pool, n.batch, n.variant, n.reason) for n in made.not_applicable} == {
        ("one", batch, "weight_greedy_soup", "needs at least 2 models, the pool has 1") for batch in batches
    }


@pytest.mark.usefixtures("registries")
def test_reasons_why_a_method_does_not_apply():
    from moco.methods.base import Answer, AnswerNeeds, FitNeeds, Method, Needs, method

    @method("text_choosy", level="text", task_types={"multiple_choice"}, paper="none")
    class Choosy(Method):
        """Wants everything."""

        def needs(self, _models):
            return Needs(fit=FitNeeds(splits=("train",)), answer=AnswerNeeds(plain=1), descriptions=True)

        def answer(self, _ctx, _state):
            yield Answer("", "")

    base = {"methods": {"text_choosy": {}}}
    choice = task(source={"form": "choice"})
    described = {"p": {"models": ["a", "b"], "descriptions": ["adds", "recalls"]}}

    def reasons(**changes):
        return [entry.reason for entry in matrix(**base, **changes).not_applicable]

    assert reasons() == ["text_choosy does not apply to exact_match tasks"]
    no_train = task(source={"form": "choice", "items": {"dev": 4, "test": 4}})
    assert reasons(tasks={"t": no_train}) == ["needs a train split to fit on"]
    assert reasons(tasks={"t": choice}) == ["needs a description of every model"]
    half = {"p": {"models": ["a", "b"], "descriptions": ["adds", ""]}}
    assert reasons(tasks={"t": choice}, pools=half) == ["needs a description of every model"]
    assert reasons(tasks={"t": choice}, pools=described) == []


def test_an_adapter_has_what_its_base_declares():
    models = {
        "a": {"kind": "local", "path": "x", "family": "llama", "tokenizer": "one"},
        "lora": {"kind": "adapter", "base": "a", "path": "y"},
        "b": {"kind": "local", "path": "z", "family": "llama", "tokenizer": "two"},
        "unknown": {"kind": "local", "path": "u"},
    }
    soup = {"methods": {"weight_greedy_soup": {}}}
    fits = matrix(models=models, pools={"p": ["a", "lora", "unknown"]}, **soup)
    assert len(fits.cells) == 1
    assert set(fits.models) == {"a", "lora", "unknown"}
    differs = matrix(models=models, pools={"p": ["lora", "b"]}, **soup)
    assert [entry.reason for entry in differs.not_applicable] == [
        "models must share one tokenizer: lora has one, b has two"
    ]
    assert set(differs.models) == {"a", "lora", "b"}


def test_adapters_of_the_zoo_have_their_parent_as_common_base():
    zoo = {name: {"kind": "zoo"} for name in ("base", "lora_add", "lora_reverse", "add")}
    pools = {"adapters": ["lora_add", "lora_reverse"], "mixed": ["lora_add", "add"]}
    made = matrix(models=zoo, pools=pools, methods={"weight_dare_ties": {}})
    assert {pool: made.common_base(pool) for pool in pools} == {"adapters": "base", "mixed": None}
    assert {cell.pool for cell in made.cells} == {"adapters"}


def test_adapters_on_one_model_have_a_common_base():
    def local(path):
        return {"kind": "local", "path": path}

    def adapter(base, path):
        return {"kind": "adapter", "base": base, "path": path}

    models = {"a": local("a"), "b": local("b"), "x": adapter("a", "x"), "y": adapter("a", "y"), "z": adapter("b", "z")}
    pools = {"one": ["x", "y"], "mixed": ["x", "a"], "two": ["x", "z"], "full": ["a", "b"]}
    made = matrix(models=models, pools=pools, methods={"d": {"method": "weight_dare_ties"}, "control_random": {}})
    assert {pool: made.common_base(pool) for pool in pools} == {"one": "a", "mixed": None, "two": None, "full": None}
    assert {cell.pool for cell in made.cells if cell.variant == "d"} == {"one"}
    assert made.further_models("one", "d") == {"@base": "a"}
    assert made.further_models("full", "d") == made.further_models("one", "control_random") == {}
    reasons = {entry.reason for entry in made.not_applicable if entry.variant == "d"}
    assert reasons == {"needs a model named as `base`, since not all members are adapters on one model"}
