"""Batches, and which method applies where."""

import re

import pytest

from moco.config.load import study_from
from moco.errors import RequestError
from moco.workflow.cells import Cell
from moco.workflow.check import structural_problems
from moco.workflow.matrix import Matrix

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


def tasks_of(made: Matrix, pool: str = "p", variant: str = "control_random") -> list[tuple[str, ...]]:
    return [made.batch(cell.batch).tasks for cell in made.cells if (cell.pool, cell.variant) == (pool, variant)]


def test_a_comparison_asks_for_what_no_earlier_one_asked_of_the_same_pool_and_method():
    tasks = {name: task() for name in "tuvw"}
    compare = [{"tasks": ["t", "u", "v"]}, {"tasks": ["v", "w"]}]
    made = matrix(tasks=tasks, compare=compare)
    assert tasks_of(made) == [("t", "u", "v"), ("w",)]
    assert [made.batch(batch).tasks for model, batch in made.singles if model == "a"] == [("t", "u", "v"), ("w",)]


def test_an_added_comparison_leaves_every_batch_as_it_is():
    tasks = {name: task() for name in "tu"}
    methods = {"control_random": {}, "text_majority_vote": {}}
    one = [{"methods": ["control_random"]}]
    before = matrix(tasks=tasks, methods=methods, compare=one)
    after = matrix(tasks=tasks, methods=methods, compare=[*one, {"tasks": ["t"], "methods": ["text_majority_vote"]}])
    assert set(before.cells) <= set(after.cells)
    assert set(before.singles) <= set(after.singles)
    assert tasks_of(after, variant="text_majority_vote") == [("t",)]


def test_equal_sets_of_tasks_are_one_batch_whoever_asks_for_them():
    tasks = {name: task() for name in "tuv"}
    compare = [{"tasks": ["u", "t"], "methods": ["control_random"]}, {"tasks": ["t", "u"], "methods": ["vote"]}]
    made = matrix(
        tasks=tasks, methods={"control_random": {}, "vote": {"method": "text_majority_vote"}}, compare=compare
    )
    [name] = {cell.batch for cell in made.cells}
    assert made.batch(name).tasks == ("t", "u")
    assert re.fullmatch(r"general-exact_match-train-[0-9a-f]{6}", name)


def test_every_task_of_a_comparison_is_asked_once_whatever_the_study():
    kinds = [task(), *ONE_BATCH.values(), *TWO_BATCHES.values()]
    tasks = {f"t{number}": kind for number, kind in enumerate(kinds * 2)}
    compare = [{"tasks": list(tasks)[:9]}, {"tasks": list(tasks)[5:]}, {"tasks": ["t0", "t7"]}]
    made = matrix(tasks=tasks, compare=compare, decoding=PRESETS)
    assert sorted(name for batch in tasks_of(made) for name in batch) == sorted(tasks)


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
    batches = set(made.batches)
    assert len(batches) == 2
    wanted = {Cell(pool, batch, "control_random", (1,)) for pool in ("p", "one") for batch in batches}
    wanted |= {Cell("p", batch, "weight_greedy_soup", (1,)) for batch in batches}
    assert set(made.cells) == wanted
    assert len(made.cells) == len(wanted)
    assert {(n.pool, n.batch, n.variant, n.reason) for n in made.not_applicable} == {
        ("one", batch, "weight_greedy_soup", "needs at least 2 models, the pool has 1") for batch in batches
    }


@pytest.mark.usefixtures("registries")
def test_reasons_why_a_method_does_not_apply():
    from moco.methods.base import Answer, AnswerNeeds, FitNeeds, Method, Needs, method

    @method("text_choosy", level="text", task_types={"multiple_choice"}, papers=("2203.11171",))
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
    assert made.helpers("one", "d") == {"base": "a"}
    assert made.helpers("full", "d") == made.helpers("one", "control_random") == {}
    reasons = {entry.reason for entry in made.not_applicable if entry.variant == "d"}
    assert reasons == {"needs a model named as `base`, since not all members are adapters on one model"}


LOOP = {"tasks": {"t": task(distill=0.5)}, "methods": {"control_best_single": {}, "weight_greedy_soup": {}}}


def loop(rounds=2, **changes):
    entry = {"pool": "p", "methods": ["control_best_single"], "tasks": ["t"], "rounds": rounds}
    return matrix(**{**LOOP, "evolution": {"loop": entry}, **changes})


def test_a_pool_of_a_round_is_just_another_pool_of_students_of_the_one_before():
    made = loop()
    [run] = made.rounds.runs.values()
    assert run.name == "loop-control_best_single-t-supervised-s1"
    first, second = (f"{run.name}--r{number}" for number in (1, 2))
    assert made.pool(second).models == (f"{second}--1", f"{second}--2")
    assert [made.rounds.students[name].parent for name in made.pool(first).models] == ["a", "b"]
    assert made.rounds.students[f"{second}--2"].parent == f"{first}--2"
    assert {name: made.nodes.declared(name, "architecture") for name in made.rounds.students} == dict.fromkeys(
        made.rounds.students, "llama"
    )
    assert [cell.pool for cell in made.rounds.cells] == ["p", first, second]
    assert {cell.seeds for cell in made.rounds.cells} == {(1,)}


def test_round_0_is_the_benchmarks_row():
    tasks = {"t": task(distill=0.5), "u": task(distill=0.5)}
    made = loop(tasks=tasks)
    assert made.rounds.cells[0] == next(cell for cell in made.cells if cell.variant == "control_best_single")
    assert made.batch(made.rounds.cells[0].batch).tasks == ("t", "u")
    assert made.batch(made.rounds.cells[1].batch).tasks == ("t",)
    [run] = made.rounds.runs.values()
    assert {(model, batch.name) for model, batch in made.rounds.singles(run, 0)} <= set(made.singles)


def test_a_round_more_leaves_the_others_as_they_are():
    two, three = loop(2), loop(3)
    assert three.rounds.cells[:3] == two.rounds.cells
    assert set(two.rounds.students) < set(three.rounds.students)


def test_every_seed_method_and_task_is_a_run_of_its_own():
    entry = {"pool": "p", "methods": ["control_best_single", "weight_greedy_soup"], "tasks": ["t", "u"], "rounds": 1}
    tasks = {"t": task(distill=0.5), "u": task(distill=0.5)}
    made = loop(tasks=tasks, seeds=[1, 2], evolution={"loop": entry})
    assert len(made.rounds.runs) == 2 * 2 * 2
    assert {cell.seeds for cell in made.rounds.cells if "--r1" in cell.pool} == {(1,), (2,)}


def test_a_task_without_a_distill_split_cannot_teach():
    with pytest.raises(RequestError, match="task t has no distill split"):
        assert loop(tasks={"t": task()}).rounds.cells


@pytest.mark.parametrize(
    ("pools", "line"),
    [
        (
            {"p": ["a", "p--t--weight_greedy_soup--s1--soup"]},
            "pools.p: needs a model that is made from this pool itself",
        ),
        (
            {
                "p": ["a", "q--t--weight_greedy_soup--s1--soup"],
                "q": ["b", "p--t--weight_greedy_soup--s1--soup"],
            },
            "pools.p: needs a model that is made from this pool itself",
        ),
        ({"p": ["a", "b"], "q": ["a", "p--t"]}, "pools.q: 'p--t' is no model that a fit of this study makes"),
        ({"p": ["a", "b"], "q": ["a", f"p--t--weight_greedy_soup--s1--{'x' * 90}"]}, "100 characters at most"),
    ],
)
def test_members_that_nothing_can_make_are_refused_in_one_line(pools, line):
    study = matrix(pools=pools, methods={"weight_greedy_soup": {}, "control_random": {}}).study
    assert any(line in problem.line("") for problem in structural_problems(study))


def test_runs_of_one_name_are_refused():
    methods = {"a-x": {"method": "control_best_single"}, "x": {"method": "control_best_single"}}
    entry = {"pool": "p", "tasks": ["t"], "rounds": 1}
    runs = {"loop": {**entry, "methods": ["a-x"]}, "loop-a": {**entry, "methods": ["x"]}}
    with pytest.raises(RequestError, match="two runs of the loop would be called loop-a-x-t-supervised-s1"):
        assert loop(methods=methods, evolution=runs).rounds.runs
