"""What every registered method owes; a new method is tested here without a line of its own."""

import ast
import inspect
import json
import os
import random
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args, get_origin

import numpy as np
import pytest
from pydantic import ValidationError
from support import scripted_steps
from support.contexts import World, answer_context
from support.engines import Engine, ScriptedError, fingerprint, varied
from support.items import questions, references, right_reply, wrong_reply
from support.judges import tools

from moco.analysis.comparison import UNAVERAGED_TYPES
from moco.config.decoding import Decoding
from moco.config.rule_sets import RULE_SETS
from moco.config.study import Study
from moco.decoding.loop import Row
from moco.decoding.session import Session
from moco.digest import canonical_json
from moco.errors import RequestError
from moco.jobs.answer import JobAnswerResources
from moco.jobs.fit import JobFitResources
from moco.jobs.rounds import Rounds
from moco.methods.base import ALL_CAPABILITIES, LEVELS, AnswerNeeds, Choice, FitNeeds, PoolInfo, Request
from moco.methods.catalogue import broken_modules, make_method, method_class, method_ids
from moco.methods.context import AnswerContext
from moco.methods.resources import FitGuard, Guard
from moco.methods.state import read_state, write_state
from moco.models.recipes import Recipe
from moco.prompts import blocks
from moco.scoring import Case, score_cases, scorer_for, task_types
from moco.scoring.catalogue import RUNS_CODE
from moco.scoring.judges import SETS
from moco.tasks.item import Reference
from moco.workflow.matrix import Batch, Matrix

POOLS = {"pair": ("a", "b"), "three": ("a", "b", "c"), "copies": ("a", "a", "b")}
DEV_SCORES = {"a": 0.25, "b": 0.75, "c": 0.5}
TESTS = Path(__file__).parents[1]
BROKEN = broken_modules()
SHORTER = {"api_graph_routing": {"train_epochs": 20}}
"""Settings that only shorten a fit of which hundreds are made here."""


def settings_of(id):
    """Default settings, then every switch and every choice changed once."""
    params = method_class(id).Params
    changed = [{}]
    for name, field in params.model_fields.items():
        if field.annotation is bool:
            changed.append({name: not field.default})
        elif get_origin(field.annotation) is Literal:
            changed.extend({name: value} for value in get_args(field.annotation) if value != field.default)
    valid = []
    for settings in changed:
        try:
            params.model_validate(settings)
        except ValidationError:
            continue
        valid.append(settings)
    return valid


def types_of(id, settings=None):
    declared = method_class(id).task_types
    kinds = [kind for kind in task_types() if kind not in RUNS_CODE and (declared is None or kind in declared)]
    needs = make_method(id, settings or {}).needs(PoolInfo.of_size(2))
    options = "options" in (*needs.answer.logits, *(needs.fit.logits if needs.fit else ()))
    return [kind for kind in kinds if kind == "multiple_choice"] if options else kinds


def case(id, settings, pool, kind):
    name = ",".join([id, *(f"{key}={value}" for key, value in settings.items()), pool, kind])
    method = make_method(id, SHORTER.get(id, {}) | settings)
    return pytest.param(method, World(POOLS[pool], kind, dev_scores=DEV_SCORES), id=name)


def large_enough(id, settings, pool):
    models = POOLS[pool]
    return len(models) >= make_method(id, settings).needs(PoolInfo.of_size(len(models))).min_models


CASES = [
    case(id, settings, pool, kind)
    for id in method_ids()
    for settings in settings_of(id)
    for pool in POOLS
    for kind in types_of(id, settings)[:1]
    if large_enough(id, settings, pool)
]
THREES = [entry for entry in CASES if entry.values[1].models == POOLS["three"]]
RANKING = [
    entry for entry in THREES if (fit := entry.values[0].needs(PoolInfo.of_size(3)).fit) is not None and fit.dev_scores
]
LAZY = [entry for entry in CASES if entry.values[0].needs(PoolInfo.of_size(3)).answer.plain_mode == "lazy"]
UNFITTED = [
    entry for entry in CASES if entry.values[0].needs(PoolInfo.of_size(len(entry.values[1].models))).fit is None
]
every_method = pytest.mark.parametrize("id", method_ids())
every_case = pytest.mark.parametrize(("method", "world"), CASES)


def fresh(method):
    return type(method)(method.params)


# What it declares


def methods_in(module):
    """Ids that a file registers which cannot be imported."""
    spec = find_spec(module.partition(":")[0])
    found = re.findall(r"""^@method\(\s*["'](\w+)""", Path(spec.origin).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return ",".join(found) or module


@pytest.mark.parametrize("fault", [None, *(pytest.param(each, id=methods_in(name)) for name, each in BROKEN.items())])
def test_its_file_can_be_imported(fault):
    assert fault is None, fault


@every_method
def test_metadata_is_complete(id):
    cls = method_class(id)
    first = inspect.cleandoc(cls.__doc__).splitlines()[0]
    assert first.endswith(".")
    assert len(first) <= 120
    assert cls.papers or cls.level == "control"
    assert cls.level in LEVELS
    assert id == cls.id
    if cls.__module__.startswith("moco."):  # a plug-in's module is where its package wants it
        assert cls.__module__ == f"moco.methods.{cls.level}.{id.removeprefix(cls.level + '_')}"
    assert cls.needs.__doc__
    assert cls.answer.__doc__


@every_method
def test_its_task_types_are_names_of_task_types(id):
    known = {"f1_match", "general_verifier", "noncompliance", "reward_model", "text_generation"}
    known |= {"generation_diversity", "coding"} | set(task_types())
    assert method_class(id).task_types is None or method_class(id).task_types <= known
    assert types_of(id)


@every_method
def test_params_are_documented_have_defaults_and_survive_json(id):
    params = method_class(id).Params
    for name, field in params.model_fields.items():
        assert not field.is_required(), name
        assert len(field.description) > 15, name
        assert field.description.endswith("."), name
        assert params.role(name) in ("identity", "numerics", "runtime")
    for settings in settings_of(id):
        made = params.model_validate(settings)
        assert params.model_validate(json.loads(json.dumps(made.model_dump(mode="json")))) == made


@every_method
def test_unknown_params_are_refused(id):
    with pytest.raises(RequestError, match="unknown key"):
        make_method(id, {"no_such_setting": 1})


@every_case
def test_needs_depend_on_settings_and_pool_size_only(method, world):
    n = len(world.models)
    assert method.needs(PoolInfo.of_size(n)) == fresh(method).needs(PoolInfo.of_size(n))
    needs = method.needs(PoolInfo.of_size(n))
    assert needs.min_models <= n
    assert needs.same <= {"architecture", "tokenizer"}
    assert needs.capabilities <= ALL_CAPABILITIES
    assert (needs.fit is None) or (type(method).fit is not method_class("control_random").fit)
    assert not needs.models or needs.fit is not None
    assert bool(needs.models) or not needs.answer.fitted_plain


# What it returns


@every_case
def test_gives_one_answer_per_question_by_models_of_the_pool(method, world):
    state, needs = world.fit(method), method.needs(PoolInfo.of_size(len(world.models)))
    assert set(state.models) == set(needs.models)
    rows = world.answer(method, state)
    assert set(rows) == {item.uid for item in world.test}
    for row in rows.values():
        assert set(row["models"]) <= {*world.models, *state.models, *(one.model for one in needs.helpers.values())}
        assert row["models"] or row["fallback"]
        assert isinstance(json.loads(row["record_json"]), dict)


@every_case
def test_an_item_is_answered_alike_in_any_company_and_order(method, world):
    state = world.fit(method)
    whole = world.answer(method, state)
    shuffled = [world.test[index] for index in (3, 0, 4, 2, 1)]
    assert world.answer(fresh(method), state, items=shuffled) == whole
    halves = {}
    for half in (world.test[:2], world.test[2:]):
        halves |= world.answer(fresh(method), state, items=half)
    assert halves == whole


@every_case
def test_no_questions_give_no_answers(method, world):
    assert world.answer(method, world.fit(method), items=[]) == {}


@every_case
def test_a_cold_and_a_warm_cache_give_the_same(method, world):
    cold = Engine(world.replies)
    state = world.fit(method, cold)
    answers = world.answer(method, state, cold)
    warm = Engine(world.replies, finished=cold.finished)
    again = world.fit(method, warm)
    assert again == state
    assert world.answer(method, state, warm) == answers
    candidates = [asked for asked in warm.generated if asked.model not in warm.names]
    assert candidates == []


def contents(models):
    """Recipes, and files of trained weights, by the name of the model."""
    return {
        name: made
        if isinstance(made, Recipe)
        else (made.parent, {path.name: path.read_bytes() for path in made.folder.iterdir()})
        for name, made in models.items()
    }


@every_case
def test_the_state_is_all_that_answer_remembers_of_fit(method, world, tmp_path):
    state = world.fit(method)
    tmp_path.joinpath("fit").mkdir()
    write_state(tmp_path / "fit", state, {"method": method.id})
    back = read_state(tmp_path / "fit")
    assert (back.data, contents(back.models)) == (state.data, contents(state.models))
    assert set(back.tensors) == set(state.tensors)
    assert all(np.array_equal(back.tensors[name], state.tensors[name]) for name in state.tensors)
    assert world.answer(fresh(method), back) == world.answer(method, state)
    assert vars(method) == {"params": method.params}


@pytest.mark.parametrize(("method", "world"), RANKING)
def test_a_member_without_a_scored_dev_item_does_not_stop_it(method, world, tmp_path):
    some = {item.uid: float(number % 2) for number, item in enumerate(world.dev)}
    sparse = replace(world, dev_scores={"a": {}, "b": some, "c": some})
    state = sparse.fit(method)
    write_state(tmp_path, state, {})
    back = read_state(tmp_path)
    assert replace(back, models={}) == replace(state, models={})
    assert contents(back.models) == contents(state.models)
    assert set(sparse.answer(method, state)) == {item.uid for item in sparse.test}


@pytest.mark.parametrize("rules", ["strict", "paper"])
@pytest.mark.parametrize(("id", "kind"), [(id, kind) for id in method_ids() for kind in types_of(id)])
def test_works_on_every_task_type_that_it_declares(id, kind, rules):
    if Matrix(study_of(id, scorer=rules)).type_obstacle(id, Batch(kind, ("t",), kind, ("dev", "test"), "default", 4)):
        pytest.skip("the planner refuses it")
    world = World(POOLS["three"], kind, scorer=rules)
    method = make_method(id, {})
    rows = world.answer(method, world.fit(method))
    gold = references(world.test)
    cases = [
        Case(
            item,
            gold[item.uid],
            row["text"],
            extracted=row["extracted"],
            given=row["has_extracted"],
            further=(row["text"],) if kind in SETS else (),
        )
        for item in world.test
        for row in [rows[item.uid]]
    ]
    verdicts = score_cases(scorer_for(kind, rules), cases, tools())
    unscored = (kind, rules) == ("text_generation", "strict")
    assert all((verdict.score is None) == unscored for verdict in verdicts)


@pytest.mark.parametrize("kind", sorted({*task_types()} - RUNS_CODE - UNAVERAGED_TYPES))
def test_constructed_items_have_a_right_and_a_wrong_reply(kind):
    items = questions(4, kind)
    for item, gold in zip(items, references(items).values(), strict=True):
        for rules in RULE_SETS:
            cases = [Case(item, gold, reply(item)) for reply in (right_reply, wrong_reply)]
            verdicts = score_cases(scorer_for(kind, rules), cases, tools())
            assert [verdict.score for verdict in verdicts] == [1, 0]


def study_of(id, **settings):
    model = {"kind": "hub", "repo": "owner/name"}
    task = {"source": {"kind": "synthetic", "skills": ["add"]}}
    return Study.model_validate(
        {
            "study": "s",
            "models": {"a": model},
            "tasks": {"t": task},
            "pools": {"p": ["a"]},
            "methods": {id: {}},
            **settings,
        }
    )


@every_method
def test_the_planner_refuses_task_types_that_it_does_not_declare(id):
    scored = {"text_generation": "reward_model", "code": {"isolation": "limits"}}
    matrix = Matrix(study_of(id, scoring=scored))
    for kind in {*task_types(), "f1_match", "coding", "no_such_type"} - SETS:
        declared = method_class(id).task_types
        obstacle = matrix.type_obstacle(id, Batch(kind, ("t",), kind, ("dev", "test"), "default"))
        assert (obstacle is None) == (declared is None or kind in declared), kind


@every_method
def test_the_planner_refuses_a_batch_without_a_split_to_fit_on(id):
    matrix = Matrix(study_of(id))
    fit = matrix.variants[id].needs(PoolInfo.of_size(1)).fit
    obstacle = matrix.type_obstacle(id, Batch("x", ("t",), types_of(id)[0], ("test",), "default"))
    assert (obstacle is None) == (fit is None or not fit.splits)


@every_method
def test_the_planner_refuses_a_pool_that_is_too_small(id):
    matrix = Matrix(study_of(id))
    assert (matrix.pool_obstacle("p", id) is None) == (matrix.variants[id].needs(PoolInfo.of_size(1)).min_models <= 1)


# How its models write together

WRITES_JOINTLY = [
    entry
    for entry in CASES
    if (needs := entry.values[0].needs(PoolInfo.of_size(len(entry.values[1].models)))).answer.live
    or (needs.fit is not None and needs.fit.live)
]
SETTINGS = (
    {"temperature": 1.0, "top_p": 1.0},
    {"temperature": 0},
    {"temperature": 0.7, "top_p": 0.9, "repetition_penalty": 1.2},
)


def wavering(number):
    """A script whose next piece depends on the model and on all that was written."""

    def script(reply):
        draw = random.Random(f"{number}|{reply!r}")
        return {ord("a"): draw.random(), ord("b"): draw.random(), ord(" "): 0.3, scripted_steps.END: 0.1}

    return script


def written(work, seeds):
    """Rows that the program of joint work writes with scripted models: of one tokenizer, or each with its own."""
    places, program = work.program.members([fingerprint(str(name)) for name in work.members])
    words = [() if program.one_vocabulary else ("ab",) * (number % 2) for number in range(len(places))]
    models = [
        scripted_steps.ScriptedModel(wavering(place), scripted_steps.byte_tokenizer(own))
        for place, own in zip(places, words, strict=True)
    ]
    infos = [scripted_steps.about(str(place), str(own)) for place, own in zip(places, words, strict=True)]
    rows = []
    for seed in seeds:
        prompts = [model.tokenizer(f"{seed}|", add_special_tokens=False)["input_ids"] for model in models]
        decoding = Decoding(max_new_tokens=5 + seed % 3, **SETTINGS[seed % len(SETTINGS)])
        rows.append(Row(str(seed), prompts[0], decoding, None if decoding.greedy else seed, prompts))
    done = list(Session(models, infos).run(program, rows))
    assert sorted(row.key for row in done) == sorted(row.key for row in rows)
    for row in done:
        assert row.text is not None or row.tokens
        assert len(row.segments) <= row.decoding.max_new_tokens
        assert {segment[0] for segment in row.segments} <= set(range(len(models)))
    return {row.key: (row.text, row.tokens, row.logprobs, row.stopped, row.segments) for row in done}


@pytest.mark.parametrize(("method", "world"), WRITES_JOINTLY)
def test_its_programs_write_a_reply_alike_in_any_company_and_order(method, world):
    engine = Engine(world.replies)
    world.answer(method, world.fit(method, engine), engine)
    works = {(one.members, one.program): one for one in engine.joint}
    assert works
    for work in works.values():
        assert canonical_json(work.program.key())
        together = written(work, range(6))
        assert len(set(map(repr, together.values()))) > 1
        assert written(work, [5, 3, 0]) == {key: together[key] for key in ("0", "3", "5")}
        assert written(work, [4]) == {"4": together["4"]}


# What it may touch


def reduced(needs):
    """`needs` with one declaration taken away, for each that is made."""
    fit, answer = needs.fit, needs.answer
    for name, nothing in vars(AnswerNeeds()).items():
        if name != "plain_mode" and getattr(answer, name) != nothing:
            smaller = getattr(answer, name) - 1 if name in ("plain", "fitted_plain") else nothing
            yield f"answer.{name}", replace(needs, answer=replace(answer, **{name: smaller}))
    for name, nothing in vars(FitNeeds()).items():
        if fit is not None and getattr(fit, name) and getattr(fit, name) != nothing:
            smaller = getattr(fit, name) - 1 if name == "plain" else nothing
            yield f"fit.{name}", replace(needs, fit=replace(fit, **{name: smaller}))
    for role in needs.helpers:
        yield (
            f"helpers.{role}",
            replace(needs, helpers={name: needs.helpers[name] for name in {*needs.helpers} - {role}}),
        )


DECLARATIONS = [
    pytest.param(*entry.values, name, needs, id=f"{entry.id},{name}")
    for entry in THREES
    for name, needs in reduced(entry.values[0].needs(PoolInfo.of_size(3)))
]


@pytest.mark.parametrize(("method", "world", "name", "needs"), DECLARATIONS)
def test_uses_what_it_declares_and_is_stopped_without(method, world, name, needs):
    """The last declared sample counts as a declaration of its own: without it, reading it fails."""
    stopped = []
    for kind in sorted({*types_of(method.id, method.params.model_dump())} - SETS):
        smaller, complete = World(world.models, kind, needs=needs), World(world.models, kind)
        try:
            if not name.startswith("answer."):
                smaller.fit(method)
            if not name.startswith("fit."):
                smaller.answer(method, complete.fit(method))
        except RequestError as error:
            stopped.append(str(error))
    assert stopped, f"{name} is declared and never used"
    assert all("`needs`" in message for message in stopped)


@every_case
def test_reads_no_more_than_it_declares(method, world):
    needs = method.needs(PoolInfo.of_size(len(world.models)))
    engine = Engine(world.replies)
    state = world.fit(method, engine)
    fit_reads, fit_requests = list(engine.reads), len(engine.requests)
    engine.reads.clear()
    assert all(kind != "dev_scores" or needs.fit.dev_scores for kind, _, _ in fit_reads)
    assert (needs.fit is not None and needs.fit.runs_models) or not fit_requests
    world.answer(method, state, engine)
    assert needs.answer.runs_models or len(engine.requests) == fit_requests
    for kind, model, sample in engine.reads:
        assert kind in ("plain", "logits")
        if kind == "logits":
            assert needs.answer.logits
            continue
        limit = needs.answer.fitted_plain if model in needs.models else needs.answer.plain
        assert sample < limit * max(1, world.models.count(model))


@pytest.mark.parametrize(("method", "world"), LAZY)
def test_lazy_plain_responses_are_named_and_then_read(method, world):
    """A priced model is paid for each reply that is named, and only what was named can be read."""
    engine = Engine(world.replies)
    state = world.fit(method)
    needs = method.needs(PoolInfo.of_size(len(world.models)))
    ctx = answer_context(
        models=world.models, questions=world.test, replies=engine, needs=needs, fitted=state.models, method=method.id
    )
    list(method.answer(ctx, state))
    read = {(call["model"], call["sample"], call["uid"]) for call in ctx.calls if call["kind"] == "plain"}
    assert set(engine.named) == read
    assert len(engine.reads) <= 3 * len(world.models) * needs.answer.plain, "name the items of a round together"


@every_case
def test_the_same_comes_out_of_a_context_that_offers_everything(method, world):
    offering = replace(world, restrict=False)
    state = world.fit(method)
    assert offering.fit(method) == state
    assert offering.answer(method, state) == world.answer(method, state)


def test_an_answer_context_holds_nothing_of_references():
    ctx = answer_context(models=["a"], questions=questions(2))
    of_resources = ["references", "tools", "dev_scores", "fingerprint", "merge", "discard", "corpus", "train"]
    for name in [*of_resources, "score", "candidates", "workdir", "remembered"]:
        assert not hasattr(ctx, name), name
        assert not hasattr(AnswerContext, name), name
    for name in of_resources:
        assert not hasattr(Guard, name), name
        assert not hasattr(JobAnswerResources, name), name
        assert hasattr(FitGuard, name), name
        assert hasattr(JobFitResources, name), name
    assert not any(isinstance(value, Reference) for value in vars(ctx).values())


@every_case
def test_references_changed_after_the_fit_change_no_answer(method, world):
    engine = Engine(world.replies)
    gold = references(world.dev)
    state = world.fit(method, engine, references=gold)
    before = world.answer(fresh(method), state)
    gold.update(references(world.dev, wrong=True))
    gold.update(references(world.test, wrong=True))
    assert world.answer(method, state) == before


@pytest.mark.parametrize(("method", "world"), UNFITTED)
def test_an_answer_without_a_fit_depends_on_no_reference(method, world):
    plain = Engine(world.replies)
    world.answer(method, world.fit(method, references={}), plain)
    assert all(kind in ("plain", "logits") for kind, _, _ in plain.reads)


def accesses(method, world):
    engine = Engine(world.replies)
    state = world.fit(method, engine)
    answers = world.answer(method, state, engine)
    return engine.accesses, state, answers


@every_case
def test_a_failure_is_passed_on_and_finished_replies_are_enough_to_go_on(method, world):
    total, state, answers = accesses(method, world)
    for fail_at in sorted({1, 2, 3, total // 2, total - 1, total} & set(range(1, total + 1))):
        broken = Engine(world.replies, fail_at=fail_at)
        with pytest.raises(ScriptedError):
            world.answer(method, world.fit(method, broken), broken)
        repaired = Engine(world.replies, finished=broken.finished)
        again = fresh(method)
        assert world.fit(again, repaired) == state
        assert world.answer(again, state, repaired) == answers
        assert not set(repaired.generated) & set(broken.finished)


def global_random_states():
    kind, keys, *rest = np.random.get_state()
    return random.getstate(), kind, keys.tolist(), rest


@every_case
def test_prints_nothing_and_leaves_global_randomness_alone(method, world, capfd):
    before = global_random_states()
    world.answer(method, world.fit(method))
    assert global_random_states() == before
    assert capfd.readouterr() == ("", "")


HEAVY = {"torch", "transformers", "peft", "trl", "mergekit", "datasets", "nevergrad", "snakemake", "vllm"}


def module_level_imports(tree):
    """Modules imported when the file is imported: everywhere but in functions and under TYPE_CHECKING."""
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            pending.extend(ast.iter_child_nodes(node))


@cache
def source_tree(id):
    return ast.parse(Path(inspect.getsourcefile(method_class(id))).read_text(encoding="utf-8"))


@every_method
def test_the_source_imports_nothing_heavy_at_module_level(id):
    assert not {name.split(".")[0] for name in module_level_imports(source_tree(id))} & HEAVY


@every_method
def test_the_source_draws_only_named_randomness(id):
    for node in ast.walk(source_tree(id)):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & {"random", "secrets", "uuid", "time"}
        if isinstance(node, ast.ImportFrom):
            assert node.module not in ("random", "secrets", "uuid", "time", "numpy.random")
        if isinstance(node, ast.Attribute) and node.attr == "random":
            assert ast.unparse(node.value) not in ("np", "numpy", "torch")


SUBPROCESS = """
NETWORKS = {"api_graph_routing"}  # their fits train a network of their own
import sys
from moco.digest import digest
from moco.methods.base import PoolInfo
from moco.methods.catalogue import make_method, method_ids
from moco.scoring import task_types
for id in method_ids():
    for n in (1, 2, 3, 8):
        make_method(id, {}).needs(PoolInfo.of_size(n))
assert not {"torch", "transformers", "snakemake"} & set(sys.modules), "needs imports torch"
from support.contexts import World
for id in sorted(method_ids(), key=NETWORKS.__contains__):
    assert id in NETWORKS or "torch" not in sys.modules, f"answering with scripted models imports torch, before {id}"
    method = make_method(id, {})
    kind = min((method.task_types or {"exact_match"}) & set(task_types()))
    world = World(("a", "a", "b"), kind)
    state = world.fit(method)
    print(id, digest(dict(state.data), world.answer(method, state)))
"""


@pytest.mark.slow
def test_needs_import_no_torch_and_results_are_the_same_in_every_process():
    def run(hash_seed):
        env = {**os.environ, "PYTHONPATH": str(TESTS), "PYTHONHASHSEED": hash_seed}
        done = subprocess.run([sys.executable, "-c", SUBPROCESS], env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    first = run("1")
    assert sorted(line.split()[0] for line in first) == sorted(method_ids())
    assert run("2") == first


# How it runs in a job


def rounds_of(worlds, work):
    """Run `work(world, ask, engine)` for all worlds in common rounds; return its results and the engine behind it."""
    engine = Engine(worlds[0].replies)
    results = Rounds(engine.run).run([lambda ask, world=world: work(world, ask, engine) for world in worlds])
    return results, engine


@every_case
def test_all_items_together_take_as_many_rounds_as_the_slowest_of_them_alone(method, world):
    state = world.fit(method)

    def rounds(items):
        engine = Engine(world.replies)
        world.answer(method, state, engine, items=items)
        return len([asked for asked in engine.rounds if asked])

    assert rounds(world.test) == max(rounds([item]) for item in world.test)


@every_case
def test_two_tasks_take_no_more_rounds_than_one_and_load_each_model_once_per_round(method, world):
    worlds = [replace(world, task="t"), replace(world, task="u")]

    def fit(task, ask, engine):
        return task.fit(method, engine, ask=ask)

    def answer(task, ask, engine):
        return task.answer(method, states[task.task], engine, ask=ask)

    states = {task.task: task.fit(method) for task in worlds}
    for work in (fit, answer):
        alone = [rounds_of([task], work) for task in worlds]
        together, engine = rounds_of(worlds, work)
        assert together == [results[0] for results, _ in alone]
        assert len(engine.rounds) == max(len(single.rounds) for _, single in alone)
        assert all(count <= len(engine.rounds) for count in engine.loads.values())
        asked = sum(len(single.requests) for _, single in alone)
        assert len(engine.requests) == asked


# What its prompts keep

CONTEXT, REPLY = 4_096, 512
SHOWS_ALL = {
    *("api_prompt_routing", "control_self_moa", "text_bbmas", "text_knowledge_card", "text_moa"),
    *("text_multiagent_feedback", "text_multiagent_refine", "text_structure"),
    *("text_agglm", "text_multiagent_finetuning"),
}
SHOWS_FEW = {"chain", "circle", "tree"}


@pytest.fixture(scope="module")
def small_reader(tiny_checkpoint, resolved):
    from moco.engines.render import Renderer

    folder = tiny_checkpoint("base")
    return Renderer(replace(resolved(folder), context=CONTEXT), folder.parent)


class Reader(Engine):
    """Remembers the item of every prompt, with the room for what follows, that models read to write, choose or learn."""

    def __init__(self, replies, renderer):
        super().__init__(replies)
        self.read, self._chosen, self._renderer = {}, set(), renderer

    def run(self, work):
        for one in work:
            if isinstance(one, Request):
                self.read[one.prompt, one.decoding.max_new_tokens] = one.uid
            if isinstance(one, Choice) and (one.uid, one.purpose) not in self._chosen:  # pairs of answers are many
                self._chosen.add((one.uid, one.purpose))
                longest = max(len(self._renderer.continuation(option)) for option in one.options)
                self.read[one.prompt, longest] = one.uid
        return super().run(work)

    def train(self, kind, parent, examples, name, settings, reward=None):
        room = settings["max_new_tokens"] if kind == "grpo" else REPLY
        self.read |= {(one.prompt, room): one.uid for one in examples}
        return super().train(kind, parent, examples, name, settings, reward)


@pytest.fixture(scope="module")
def words(small_reader):
    """Words that alone have as many tokens as the longest reply."""
    text = ""
    while len(small_reader.continuation(text)) < REPLY:
        text = f"{text} and then {len(text)} makes {3 * len(text)}."
    return text


@pytest.mark.parametrize(
    ("id", "settings"), [pytest.param(id, each, id=f"{id},{each}") for id in method_ids() for each in settings_of(id)]
)
def test_prompts_with_long_answers_of_sixteen_copies_keep_all_other_words(id, settings, small_reader, words):
    method, copies, said = make_method(id, settings), 16, set()

    def reply(model, prompt, sample):
        said_shortly = varied(model, prompt, sample).replace("ACTION: FINALISE", "ACTION: EXECUTE")  # boards grow long
        text = f"{said_shortly}. Copy {sample}{words}"
        said.add(text)
        return text

    descriptions = [f"Model {number} knows this:{words}" for number in range(copies)]
    kinds = types_of(id, settings)
    kind = "multiple_choice" if "multiple_choice" in kinds else kinds[0]
    world = World(("a",) * copies, kind, dev_scores={"a": 0.5})
    engine, decoding = Reader(reply, small_reader), Decoding(max_new_tokens=REPLY)
    state = world.fit(method, engine, decoding=decoding, descriptions=descriptions)
    world.answer(method, state, engine, world.test[:2], decoding=decoding, descriptions=descriptions)
    items = {item.uid: item for item in (*world.dev, *world.test)}
    others = re.compile("|".join(re.escape(text) for text in sorted({*said, *descriptions}, key=len, reverse=True)))
    too_long = 0
    for (prompt, room), uid in engine.read.items():
        sent = small_reader.render(prompt, room)
        assert sent.flag != "truncated"
        assert len(sent.tokens) + room <= CONTEXT
        assert blocks.question(items[uid]) in sent.text
        assert (blocks.answer_format(kind) in sent.text) == (blocks.answer_format(kind) in prompt)
        place = 0
        for kept in others.split(prompt):
            assert kept in sent.text[place:]
            place = sent.text.index(kept, place) + len(kept)
        too_long += sent.flag == "shortened"
    shows_others = [prompt for prompt, _ in engine.read if len(others.findall(prompt)) > CONTEXT // REPLY]
    assert too_long >= len(shows_others)
    if engine.read and id in SHOWS_ALL and settings.get("structure") not in SHOWS_FEW:
        assert shows_others
