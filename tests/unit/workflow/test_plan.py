"""The plan: what each rule reads, by the wildcards of its jobs."""

import json
import re
import subprocess
import sys

import pytest
from support.plans import ALL_METHODS, SKILLS, batch_of, job, plan

from moco import paths
from moco.workflow.plan import WILDCARDS

pytestmark = pytest.mark.usefixtures("clean_environment")
ONE_TASK = {"t": {"source": SKILLS}}


@pytest.mark.parametrize(("dtype", "repeatable"), [("float64", "exact"), ("float32", "scheduled")])
def test_the_class_of_a_result_depends_on_the_arithmetic_alone(dtype, repeatable):
    usual, gpus = (plan(engine={"dtype": dtype}, site={"use_gpu": use_gpu}) for use_gpu in (False, True))
    assert usual.matrix.result_class == repeatable
    assert usual.tabulate.slice(None) == gpus.tabulate.slice(None)


def test_jobs_ask_for_their_own_models_gpus_and_memory_and_no_others():
    models = {
        "a": {"kind": "zoo", "recipe": "add", "gpus": 1, "parameters": 1e9},
        "b": {"kind": "zoo", "recipe": "recall", "gpus": 2, "parameters": 7e9},
        "c": {"kind": "zoo", "recipe": "reverse", "gpus": 0, "parameters": 70e9},
    }
    made = plan(
        models={**models, "encoder": {"kind": "zoo"}},
        pools={"p": ["a", "b", "a", "a"], "c": ["c"]},
        site={"use_gpu": True, "gpu_model": "a100"},
    )
    batch = batch_of(made, "t")
    generate = {name: job(model=name, batch=batch) for name in models}
    assert {name: made.generate.gpu(each) for name, each in generate.items()} == {"a": 1, "b": 2, "c": 0}
    assert {name: made.generate.gpu_model(each) for name, each in generate.items()} == {
        "a": "a100",
        "b": "a100",
        "c": None,
    }
    # Eight bytes per number in float64, half as much again for its work, and four gigabytes for the process.
    assert [made.generate.mem(generate["a"], attempt) for attempt in (1, 2)] == ["16GB", "32GB"]
    vote, fusion = (job(method=name, batch=batch) for name in ("text_majority_vote", "logit_logit_fusion"))
    assert (made.answer.gpu(vote), made.answer.gpu_model(vote), made.answer.mem(vote, 1)) == (0, None, "4GB")
    assert made.answer.gpu(fusion) == 3, "copies of one model share it"
    assert made.answer.mem(fusion, 1) == "100GB", "models that live together add up, copies do not"
    refine = job(method="text_multiagent_refine", batch=batch)
    assert (made.answer.gpu(refine), made.answer.mem(refine, 1)) == (2, "88GB"), "one after another: the largest"
    soup = job(method="weight_greedy_soup", batch=batch)
    assert made.fit.gpu(soup) == 2


def test_without_gpus_none_are_asked_for():
    made = plan(
        models={"a": {"kind": "zoo", "recipe": "add", "gpus": 4}}, pools={"p": ["a"]}, methods={"control_random": {}}
    )
    assert made.generate.gpu(job(model="a", batch=batch_of(made, "t"))) == 0


def test_copies_of_a_model_read_samples_of_their_own():
    made = plan(pools={"p": ["a", "a", "b", "a"]}, methods={"text_majority_vote": {}})
    assert made.answer.member_samples("p", 1) == [("a", 0), ("a", 1), ("b", 0), ("a", 2)]
    assert sorted(made.answer.member_samples("p", 2)) == sorted(
        [("a", sample) for sample in range(6)] + [("b", sample) for sample in range(2)]
    )
    batch = batch_of(made, "t")
    assert made.answer.plain(job(method="text_majority_vote", batch=batch)) == [
        f"<results>/generations/{model}/{batch}/test/seed1/{block}.parquet"
        for model, block in (("a", "s0"), ("a", "s1-4"), ("b", "s0"))
    ]


def test_blocks_of_samples_double_and_have_no_last_one():
    blocks = list(dict.fromkeys(map(paths.block_of, range(200))))
    assert blocks == ["s0", "s1-4", "s5-7", "s8-15", "s16-31", "s32-63", "s64-127", "s128-255"]
    for sample in range(200):
        assert sample in paths.block_samples(paths.block_of(sample))
    made = plan(pools={"p": ["a"] * 8}, methods={"text_slm_mux": {}})
    read = made.answer.plain(job(method="text_slm_mux", batch=batch_of(made, "t")))
    assert sorted(path.rsplit("/")[-1] for path in read) == [
        *("s0.parquet", "s1-4.parquet", "s16-31.parquet", "s32-63.parquet", "s5-7.parquet", "s8-15.parquet"),
    ]


def inputs(stage, wildcards, *names):
    return [
        path
        for name in names
        for path in (lambda found: [found] if isinstance(found, str) else found)(getattr(stage, name)(wildcards))
    ]


FIT = ("questions", "references", "models", "plain", "scores", "logits", "checkpoints")
ANSWER = ("questions", "fit", "models", "plain", "made_plain", "logits", "checkpoints")


def test_no_answer_reads_references_and_no_fit_reads_a_test_file():
    made = plan()
    for cell in made.matrix.cells:
        where = job(pool=cell.pool, batch=cell.batch, method=cell.variant)
        answered = inputs(made.answer, where, *ANSWER)
        assert answered
        assert not [path for path in answered if "references" in path or "/scores/" in path]
        if made.fit.needs(where).fit is not None:
            assert not [path for path in inputs(made.fit, where, *FIT) if "/test/" in path]


def test_a_model_that_a_fit_makes_is_merged_resolved_and_asked_like_any_other():
    made = plan(methods={"weight_greedy_soup": {}}, tasks={**ONE_TASK, "u": {"source": {**SKILLS}, "seed": 5}})
    slug = "p--t--weight_greedy_soup--s1--soup"
    assert len(made.matrix.made) == 4
    where, batch = job(model=slug), batch_of(made, "t", "u")
    fit = f"<results>/fits/p/{batch}/weight_greedy_soup/seed1"
    assert made.merge.fit(where) == fit
    assert made.merge.parts(where) == ["<results>/checkpoints/a", "<results>/checkpoints/b"]
    assert made.merge.slice(where)["task"] == "t"
    assert made.resolve.checkpoint(where) == [f"<results>/checkpoints/{slug}"]
    assert made.resolve.fit(where) == [fit]
    assert made.generate.checkpoints(where) == [f"<results>/checkpoints/{slug}"]
    alone = made.matrix.batch_of_one("t").name
    assert f"<results>/generations/{slug}/{alone}/test/seed1/s0.parquet" in made.answer.made_plain(
        job(method="weight_greedy_soup", batch=batch)
    )


def test_a_model_that_a_fit_makes_may_be_a_member_of_a_pool():
    slug = "p--t--weight_greedy_soup--s1--soup"
    made = plan(
        methods={"weight_greedy_soup": {}, "control_random": {}},
        pools={"p": ["a", "b"], "with": ["a", slug]},
        seeds=[1],
    )
    assert made.matrix.kept == (slug,)
    assert re.fullmatch(made.kept_models, slug)
    assert (slug, batch_of(made, "t")) in made.matrix.singles
    where = job(pool="with", batch=batch_of(made, "t"), method="control_random")
    assert f"<results>/models/{slug}/model.json" in made.answer.models(where)
    soup = job(pool="with", batch=batch_of(made, "t"), method="weight_greedy_soup")
    assert f"<results>/checkpoints/{slug}" in made.fit.checkpoints(soup)


def test_logits_are_read_of_what_methods_need_and_from_the_files_they_belong_to():
    methods = {"api_cascade": {}, "options": {"method": "logit_logit_fusion", "mode": "options"}}
    made = plan(pools={"p": ["a", "b"], "copies": ["a", "a"]}, methods=methods)
    exact, choice = batch_of(made, "t"), batch_of(made, "q")
    assert ("options", "p", exact) in {(c.variant, c.pool, c.batch) for c in made.matrix.not_applicable}
    cascade = job(batch=exact, method="api_cascade")
    assert made.fit.logits(cascade) == [
        f"<results>/logits/{model}/{exact}/dev/response/seed1/s0.parquet" for model in ("a", "b")
    ]
    copies = job(pool="copies", batch=exact, method="api_cascade")
    assert made.fit.logits(copies) == [
        f"<results>/logits/a/{exact}/dev/response/seed1/{block}.parquet" for block in ("s0", "s1-4")
    ]
    options = job(batch=choice, method="options")
    assert made.answer.logits(options) == [f"<results>/logits/{model}/{choice}/test/options.parquet" for model in "ab"]
    response = job(model="a", batch=exact, split="dev", seed="2", block="s1-4")
    assert made.response_logits.responses(response) == f"<results>/generations/a/{exact}/dev/seed2/s1-4.parquet"
    assert made.logits.references(job(model="a", batch=exact, kind="options")) == []
    assert made.logits.references(job(model="a", batch=exact, kind="reference")) == [
        "<results>/tasks/t/test/references.parquet"
    ]


# A base from which no other model is trained, so that nothing but a method can ask for it.
ZOO = {
    name: {"kind": "zoo", "recipe": recipe}
    for name, recipe in zip(("base", "add", "recall"), ("reverse", "add", "recall"), strict=True)
}


def dare(**changes):
    return plan(models=ZOO, pools={"p": ["add", "recall"]}, tasks=ONE_TASK, **changes)


@pytest.mark.parametrize("mode", ["average", "optimized"])
def test_a_further_model_is_made_resolved_and_an_input_of_fit_and_merge(mode):
    made = dare(methods={"d": {"method": "weight_dare_ties", "base": "base", "mode": mode}})
    assert set(made.matrix.models) == {"base", "add", "recall"}
    assert re.fullmatch(made.zoo_models, "base")
    where = job(model="p--t--d--s1--merged")
    jsons = [f"<results>/models/{name}/model.json" for name in ("add", "recall", "base")]
    weights = [f"<results>/checkpoints/{name}" for name in ("add", "recall", "base")]
    assert made.merge.models(where) == made.resolve.parents(where) == jsons
    assert made.merge.parts(where) == weights
    fit = job(batch=batch_of(made, "t"), method="d")
    assert made.fit.models(fit) == jsons
    assert made.fit.checkpoints(fit) == (weights if mode == "optimized" else [])
    assert bool(made.fit.questions(fit)) == bool(made.fit.references(fit)) == (mode == "optimized")
    assert made.fit.slice(fit)["helpers"] == {"base": "base"}
    assert "base" not in {model for model, _ in made.matrix.singles}


def test_a_model_that_no_method_names_is_not_made():
    assert set(dare(methods={"control_random": {}}).matrix.models) == {"add", "recall"}


def test_adapters_bring_their_base():
    models = {
        "base": {"kind": "zoo"},
        **{name: {"kind": "adapter", "base": "base", "path": f"/nowhere/{name}"} for name in ("x", "y")},
    }
    made = plan(models=models, pools={"p": ["x", "y"]}, methods={"weight_dare_ties": {}}, tasks=ONE_TASK)
    assert made.matrix.ingredients("p--t--weight_dare_ties--s1--merged") == ["x", "y", "base"]
    fit = job(batch=batch_of(made, "t"), method="weight_dare_ties")
    assert made.fit.slice(fit)["helpers"] == {"base": "base"}


def test_the_code_of_merging_decides_fits_that_score_merges_and_no_others():
    methods = {
        "soup": {"method": "weight_greedy_soup"},
        "searched": {"method": "weight_dare_ties", "base": "base", "mode": "optimized"},
        "average": {"method": "weight_dare_ties", "base": "base"},
        "control_best_single": {},
    }
    made = dare(methods=methods)
    found = {name: made.fit.slice(job(batch=batch_of(made, "t"), method=name)) for name in methods}
    assert {name for name, spec in found.items() if spec.get("merge_source")} == {"soup", "searched"}


def test_a_pattern_of_nothing_matches_nothing():
    made = plan(models={"a": {"kind": "local", "path": "x"}}, pools={"p": ["a"]}, methods={"control_random": {}})
    assert made.zoo_models == made.kept_models == "(?!)"
    assert not re.match(made.zoo_models, "")


def test_the_slice_of_a_method_holds_what_decides_its_answers():
    def spec(stage="answer", method="text_majority_vote", **changes):
        made = plan(**changes)
        return getattr(made, stage).slice(job(batch=batch_of(made, "t"), method=method))

    usual = spec()
    assert usual["pool"] == ["a", "b"]
    assert spec(pools={"p": ["b", "a"]}) != usual
    assert spec(methods={"text_majority_vote": {"tie": "dev"}})["params"] == {"tie": "dev"}
    assert spec(scorer="paper") != usual
    assert spec(decoding={"default": {"max_new_tokens": 3}}) != usual
    assert spec(seeds=[1]) == usual
    assert "scorer_source" not in spec(method="control_random")
    assert usual["scorer_source"]
    assert spec("fit", "control_best_single")["scorer_source"]
    assert spec(method="logit_logit_fusion")["decoding_source"]


def test_only_jobs_that_score_know_of_group_scores():
    methods = {name: ALL_METHODS[name] for name in ("control_best_single", "control_random", "weight_greedy_soup")}

    def specs(**entry):
        tasks = {"t": {"source": SKILLS, **entry}, "u": {"source": SKILLS}, "v": {"source": "t"}}
        made = plan(tasks=tasks, methods=methods)
        batch = batch_of(made, "t", "u", "v")
        found = {("score", ""): made.score.slice(job(replies=f"generations/a/{batch}/test/seed1/s0"))}
        for method in methods:
            where = job(batch=batch, method=method)
            found["answer", method] = made.answer.slice(where)
            if made.fit.needs(where).fit is not None:
                found["fit", method] = made.fit.slice(where)
        return found

    usual, grouped = specs(), specs(group_score=True)
    assert usual.keys() == grouped.keys()
    assert not any("groups" in spec for spec in usual.values())
    for (stage, _), spec in grouped.items():
        assert sorted(spec.get("groups", {})) == ([] if stage == "answer" else ["t", "v"])


def test_scores_lie_at_the_path_of_what_is_scored_under_every_rule_set():
    made = plan(also_score=["paper"])
    assert made.matrix.scorers == ["strict", "paper"]
    for entry in made.collect.entries("benchmark"):
        assert set(entry["scores"]) == {"strict", "paper"}
        for rules, path in entry["scores"].items():
            found = re.fullmatch(rf"scores/{rules}/({made.score.compared})\.parquet", path)
            assert found
            assert not re.fullmatch(made.score.judged, found[1])
            assert made.score.replies(job(replies=found[1])) == [f"<results>/{found[1]}.parquet"]
            assert re.fullmatch(WILDCARDS["scorer"], rules)


def test_rule_sets_are_compared_only_where_there_are_several():
    one, two = plan(), plan(also_score=["paper", "strict"])
    assert "scorer_difference" not in one.tables
    assert one.tabulate.slice(None)["also_score"] == []
    assert two.tables == (*one.tables, "scorer_difference")
    assert two.tabulate.slice(None)["also_score"] == ["paper"]


def test_a_part_is_collected_from_scores_costs_and_the_accounts_of_every_job():
    made = plan(methods={"control_random": {}, "control_best_single": {}}, tasks=ONE_TASK, seeds=[1])
    batch, part = batch_of(made, "t"), job(part="benchmark")
    replies = [f"generations/{model}/{batch}/test/seed1/s0" for model in "ab"]
    answers = [f"answers/p/{batch}/{name}/seed1/test" for name in ("control_random", "control_best_single")]
    assert made.collect.scores(part) == [f"<results>/scores/strict/{path}.parquet" for path in (*replies, *answers)]
    assert made.collect.costs(part) == [
        *(f"<results>/{path}.parquet" for path in replies),
        *(f"<results>/{path}_costs.parquet" for path in answers),
    ]
    assert made.collect.replies(part) == [
        *(f"<results>/{path}.parquet" for path in replies),
        *(f"<results>/{path}_calls.parquet" for path in answers),
    ]
    assert made.collect.models(part) == [f"<results>/models/{model}/model.json" for model in "ab"]
    dev = [path.replace("/test/", "/dev/") for path in replies]
    fit = f"fits/p/{batch}/control_best_single/seed1"
    assert set(made.collect.measured(part)) == {
        f"<results>/{path}_job_perf.parquet" for path in (*replies, *dev, fit, *answers)
    }
    assert {job["part"] for job in made.collect.work("benchmark")} == {"plain responses", "fit", "answer"}


def test_tables_read_what_was_collected_and_that_of_the_data_reads_tasks():
    made = plan()
    collected = [
        f"<results>/analysis/benchmark/{name}.parquet"
        for name in ("scores", "costs", "replies", "students", "curves", "jobs_perf")
    ]
    assert made.tabulate.inputs(job(table="moco_main")) == made.tabulate.collected == collected
    tasks = made.tabulate.inputs(job(table="data_quality"))
    assert tasks
    assert all(path.startswith("<results>/tasks/") for path in tasks)


def test_planning_imports_nothing_heavy(tmp_path):
    code = """
import sys
from pathlib import Path
from types import SimpleNamespace
from moco.config.load import load_study
from moco.workflow.check import structural_problems
from moco.workflow.plan import Plan
study = load_study(Path(sys.argv[1]))
assert not structural_problems(study)
plan = Plan(study)
plan.build()
part = SimpleNamespace(part="benchmark")
plan.collect.digest(part), plan.collect.scores(part), plan.collect.measured(part), plan.tabulate.digest(part)
print([name for name in ("torch", "pandas", "pyarrow", "transformers", "datasets", "matplotlib") if name in sys.modules])
"""
    fitting = {name: params for name, params in ALL_METHODS.items() if name != "weight_lorahub"}  # takes adapters only
    path = tmp_path / "s.yaml"
    path.write_text(
        "study: s\nmodels: {a: {kind: zoo, recipe: add, description: adds},\n"
        "         b: {kind: zoo, recipe: recall, description: recalls},\n"
        "         encoder: {kind: zoo}}\npools: {p: [a, b, a]}\n"
        "tasks: {t: {source: {kind: synthetic, skills: [add]}}}\n" + f"methods: {json.dumps(fitting)}\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


ADAPTER = {"base": {"kind": "zoo"}, "add": {"kind": "zoo"}, "lora": {"kind": "zoo", "recipe": "lora_add"}}


def test_an_adapter_of_the_zoo_rests_on_its_parent():
    made = plan(models=ADAPTER, pools={"p": ["lora", "add"]}, methods={"control_random": {}})
    assert list(made.matrix.models) == ["base", "lora", "add"]
    assert made.generate.weights(["lora"]) == ["<results>/checkpoints/base", "<results>/checkpoints/lora"]
    assert made.generate.weights(["add"]) == ["<results>/checkpoints/add"]
    lora, add = job(model="lora"), job(model="add")
    assert made.resolve.parents(lora) == ["<results>/models/base/model.json"]
    assert made.resolve.checkpoint(lora) == ["<results>/checkpoints/lora"]
    assert made.resolve.slice(lora)["base"] == "base"
    assert "base" not in made.resolve.slice(add)


def test_the_seed_of_a_zoo_model_is_part_of_it():
    models = {**ADAPTER, "base": {"kind": "zoo", "seed": 1}, "add": {"kind": "zoo", "seed": 1}}
    made = plan(models=models, pools={"p": ["add"]}, methods={"control_random": {}})
    assert made.zoo.parent(job(model="add")) == ["<results>/checkpoints/base"]
    assert made.zoo.slice(job(model="add"))["seed"] == 1
    assert made.matrix.nodes.zoo_parent("lora") is None


def test_names_that_the_study_does_not_have_are_one_line():
    made = plan()
    for ask in (
        lambda: made.generate.questions(job(model="a", batch="general-exact_match-000000")),
        lambda: made.answer.models(job(pool="q", batch=batch_of(made, "t"), method="control_random")),
        lambda: made.answer.fit(job(batch=batch_of(made, "t"), method="control_randon")),
        lambda: made.prepare.source(job(task="u")),
        lambda: made.resolve.files(job(model="z")),
        lambda: made.merge.fit(job(model="p--t--control_random--s1--x")),
    ):
        with pytest.raises(Exception, match="unknown"):
            ask()


def test_a_study_is_identified_by_all_that_changes_results_and_by_nothing_else():
    usual = plan().tabulate.slice(None)["configuration"]
    assert re.fullmatch("[0-9a-f]{64}", usual)
    assert plan().tabulate.slice(None)["configuration"] == usual
    runtime = {"retries": 3, "failures": "record", "site": {"use_gpu": True}, "engine": {"batch_rows": 7}}
    assert plan(**runtime).tabulate.slice(None)["configuration"] == usual
    others = [
        {"seeds": [9]},
        {"scorer": "paper"},
        {"min_coverage": 0.5},
        {"decoding": {"default": {"max_new_tokens": 3}}},
    ]
    assert len({usual, *(plan(**change).tabulate.slice(None)["configuration"] for change in others)}) == 5
