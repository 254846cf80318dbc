"""The plan: which file is made by which rule from what."""

import json
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from types import SimpleNamespace

import pytest

from moco.analysis.spec import expand, under_rules
from moco.config.load import study_from
from moco.methods.catalogue import method_ids
from moco.workflow.plan import Plan
from moco.workflow.rule import NEVER, Rule

pytestmark = pytest.mark.usefixtures("clean_environment")
ALL_METHODS = {name: {"base": "a"} if name == "weight_dare_ties" else {} for name in method_ids()}
SKILLS = {"kind": "synthetic", "skills": ["add"], "items": {"dev": 4, "test": 4}}


def plan(**changes) -> Plan:
    content = {
        "study": "s",
        "seeds": [1, 2],
        "models": {
            "a": {"kind": "zoo", "recipe": "add", "description": "adds"},
            "b": {"kind": "zoo", "recipe": "recall", "description": "recalls"},
        },
        "pools": {"p": ["a", "b"]},
        "tasks": {"t": {"source": SKILLS}, "q": {"source": {**SKILLS, "form": "choice"}}},
        "methods": ALL_METHODS,
        **changes,
    }
    made = Plan(study_from(content, "s.yaml"))
    made.build()
    return made


def all_rules(made: Plan) -> list[Rule]:
    made_by = (
        made.generate_rules,
        made.fitted_generate_rules,
        made.logits_rules,
        made.fit_rules,
        made.answer_rules,
        made.score_plain_rules,
        made.score_answers_rules,
    )
    return [rule for rules in made_by for rule in rules()]


@cache
def patterns(made: Plan) -> list[tuple[Rule, list[re.Pattern[str]]]]:
    return [(rule, [_pattern(rule, path) for path in [*rule.outputs, *rule.folders]]) for rule in all_rules(made)]


def _pattern(rule: Rule, output: str) -> re.Pattern[str]:
    pattern, seen = "", set()
    for text, name in re.findall(r"([^{]*)(?:\{(\w+)\})?", output):
        pattern += re.escape(text)
        if name:
            pattern += f"(?P={name})" if name in seen else f"(?P<{name}>{rule.wildcards[name]})"
            seen.add(name)
    return re.compile(pattern)


def producers(made: Plan, path: str) -> list[tuple[Rule, SimpleNamespace]]:
    """Return the rules that make a file, with the wildcards it gives them."""
    found = []
    for rule, outputs in patterns(made):
        match = next(filter(None, (output.fullmatch(path) for output in outputs)), None)
        if match:
            found.append((rule, SimpleNamespace(**match.groupdict())))
    return found


def needed_files(made: Plan) -> list[str]:
    """Return all files below results that tables need, after following every rule to its inputs."""
    pending, seen = list(made.analysis_inputs), set()
    while pending:
        path = pending.pop()
        if path in seen:
            continue
        seen.add(path)
        for rule, wildcards in producers(made, path):
            for paths in rule.inputs(wildcards).values():
                pending.extend(paths)
    return sorted(seen)


COMPUTED = ("<results>/generations/", "<results>/logits/", "<results>/answers/", "<results>/scores/", "<results>/fits/")


@pytest.mark.parametrize("use_gpu", [False, True])
def test_every_file_that_is_needed_is_made_by_exactly_one_rule(use_gpu):
    made = plan(
        pools={"p": ["a", "b"], "copies": ["a", "a", "b"]},
        site={"use_gpu": use_gpu},
        models={
            "a": {"kind": "zoo", "recipe": "add"},
            "b": {"kind": "zoo", "recipe": "recall", "gpus": 2},
        },
    )
    files = [path for path in needed_files(made) if path.startswith(COMPUTED)]
    assert len(files) > 100
    counts = Counter({path: len(producers(made, path)) for path in files})
    assert set(counts.values()) == {1}, [path for path, count in counts.items() if count != 1]


@pytest.mark.parametrize(("dtype", "repeatable"), [("float64", "exact"), ("float32", "scheduled")])
def test_the_class_of_a_result_depends_on_the_arithmetic_alone(dtype, repeatable):
    usual, gpus = (plan(engine={"dtype": dtype}, site={"use_gpu": use_gpu}) for use_gpu in (False, True))
    assert usual.analysis_spec()["class"] == repeatable
    assert usual.analysis_json(None) == gpus.analysis_json(None)


def test_rules_have_names_of_their_own():
    names = [rule.name for rule in all_rules(plan(pools={"p": ["a", "b"], "r": ["b", "a"]}))]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z]\w*", name) for name in names)


def test_twins_share_out_the_models():
    models = {
        "a": {"kind": "zoo", "recipe": "add", "gpus": 1},
        "b": {"kind": "zoo", "recipe": "recall", "gpus": 2},
        "c": {"kind": "zoo", "recipe": "reverse", "gpus": 0},
    }
    made = plan(models=models, pools={"p": ["a", "b", "c"]}, site={"use_gpu": True, "gpu_model": "a100"})
    first = re.compile(r"generate_general_exact_match_dev_test_s0(_gpu\d)?")
    rules = {rule.name: rule for rule in made.generate_rules() if first.fullmatch(rule.name)}
    shares = {name.rpartition("_s0")[2]: rule.wildcards["model"] for name, rule in rules.items()}
    assert shares == {"": "c", "_gpu1": "a", "_gpu2": "b"}
    assert {name.rpartition("_s0")[2]: rule.gpus for name, rule in rules.items()} == {"": 0, "_gpu1": 1, "_gpu2": 2}
    wanted = {name: made.resources(rule) for name, rule in rules.items()}
    for name, resources in wanted.items():
        assert resources.get("gpu_model") == ("a100" if rules[name].gpus else None)
        assert resources["gpu"] == resources["gpus_needed"] == rules[name].gpus
        assert resources["mem"](None, 2) == f"{2 * int(resources['mem'](None, 1)[:-2])}GB"
    light = [rule for rule in made.answer_rules() if "control_random" in rule.wildcards["method"].split("|")]
    assert light
    assert {rule.gpus for rule in light} == {0}
    heavy = [rule for rule in made.fit_rules() if "weight_greedy_soup" in rule.wildcards["method"].split("|")]
    assert {rule.gpus for rule in heavy} == {2}


def test_without_gpus_there_are_no_twins():
    made = plan(
        models={"a": {"kind": "zoo", "recipe": "add", "gpus": 4}}, pools={"p": ["a"]}, methods={"control_random": {}}
    )
    assert {rule.gpus for rule in all_rules(made)} == {0}


def test_copies_of_a_model_read_samples_of_their_own():
    made = plan(pools={"p": ["a", "a", "b", "a"]}, methods={"text_majority_vote": {}})
    assert made.member_samples("p", 1) == [("a", 0), ("a", 1), ("b", 0), ("a", 2)]
    assert sorted(made.member_samples("p", 2)) == sorted(
        [("a", sample) for sample in range(6)] + [("b", sample) for sample in range(2)]
    )
    path = "<results>/answers/p/t/text_majority_vote/seed1/test.parquet"
    [(rule, wildcards)] = producers(made, path)
    folder = "<results>/generations/{}/t/test/default/seed1/s{}.parquet"
    wanted = [folder.format(*pair) for pair in (("a", 0), ("a", 1), ("b", 0), ("a", 2))]
    assert rule.inputs(wildcards)["plain"] == wanted
    blocks = {rule.name: rule for rule in made.generate_rules() if "exact" in rule.name}
    assert {name: rule.wildcards["model"] for name, rule in blocks.items()} == {
        "generate_general_exact_match_dev_test_s0": "a|b",
        "generate_general_exact_match_test_s1_4": "a",
    }


@pytest.mark.usefixtures("registries")
def test_blocks_of_samples_are_fixed():
    from moco.methods.base import Answer, AnswerNeeds, Method, Needs, method

    @method("text_many", level="text", paper="none")
    class Many(Method):
        """Reads many samples."""

        def needs(self, _models):
            return Needs(answer=AnswerNeeds(plain=9))

        def answer(self, _ctx, _state):
            yield Answer("", "")

    few, many = plan(methods={"control_random": {}}), plan(methods={"control_random": {}, "text_many": {}})
    spans = [rule.words["samples"] for rule in many.generate_rules() if "exact" in rule.name]
    assert spans == ["0", "1-4", "5-7", "8-15"]
    for rule in few.generate_rules():
        same = next(other for other in many.generate_rules() if other.name == rule.name)
        assert (same.outputs, same.spec(None), same.wildcards) == (rule.outputs, rule.spec(None), rule.wildcards)
    assert not set(few.score_inputs) - set(many.score_inputs)


def test_no_answer_reads_references_and_no_fit_reads_a_test_file():
    made = plan()
    for path in needed_files(made):
        for rule, wildcards in producers(made, path):
            read = [item for paths in rule.inputs(wildcards).values() for item in paths]
            if rule.name.startswith("answer"):
                assert not [item for item in read if "references" in item or "/scores/" in item]
            if rule.name.startswith("fit"):
                assert not [item for item in read if "/test/" in item]


def test_a_model_that_a_fit_makes_is_merged_resolved_and_asked():
    made = plan(methods={"weight_greedy_soup": {}}, tasks={"t": {"source": SKILLS}})
    slug = "p--t--weight_greedy_soup--s1--soup"
    assert set(made.derived) == {slug, slug.replace("s1", "s2")}
    wildcards = SimpleNamespace(model=slug)
    assert made.merge_inputs(wildcards)["recipe"] == [f"<results>/models/{slug}/recipe.json"]
    assert made.merge_inputs(wildcards)["weights"] == ["<results>/checkpoints/a", "<results>/checkpoints/b"]
    assert made.resolve_inputs(wildcards)["checkpoint"] == [f"<results>/checkpoints/{slug}"]
    [(fit, _)] = producers(made, f"<results>/models/{slug}/recipe.json")
    assert fit.name == "fit_p_general_exact_match_soup"
    [(generate, _)] = producers(made, f"<results>/generations/{slug}/t/test/default/seed1/s0.parquet")
    assert generate.words["names"] == "soup"


def test_logits_are_made_of_what_methods_read_and_from_the_files_they_belong_to():
    methods = {"api_cascade": {}, "options": {"method": "logit_logit_fusion", "mode": "options"}}
    made = plan(pools={"p": ["a", "b"], "copies": ["a", "a"]}, methods=methods)
    names = [rule.name for rule in made.logits_rules()]
    assert sorted(names) == [
        "logits_options_general_multiple_choice_test",
        *(f"logits_response_general_{kind}_{part}" for kind in ("exact_match", "multiple_choice") for part in ("dev_test_s0", "dev_test_s1_4")),
    ]
    assert ("options", "p", "general-exact_match") in {(c.variant, c.pool, c.batch) for c in made.matrix.not_applicable}
    [(rule, wildcards)] = producers(made, "<results>/logits/a/t/dev/response/default/seed2/s1.parquet")
    assert rule.inputs(wildcards)["plain"][0] == "<results>/generations/a/t/dev/default/seed2/s1.parquet"
    assert rule.words["which"](wildcards) == "--samples 1-4 --seed 2"
    assert rule.job == "{model}.seed{seed}"
    [(rule, wildcards)] = producers(made, "<results>/logits/b/q/test/options.parquet")
    assert rule.job == "{model}"
    assert "plain" not in rule.inputs(wildcards)
    [(fit, wildcards)] = producers(made, "<results>/fits/p/t/api_cascade/seed1")
    assert fit.inputs(wildcards)["logits"] == [
        f"<results>/logits/{model}/t/dev/response/default/seed1/s0.parquet" for model in ("a", "b")
    ]


def test_joint_decoding_takes_the_gpus_of_all_its_models_and_notes_its_source():
    made = plan(methods={"logit_logit_fusion": {}}, site={"use_gpu": True})
    rules = {rule.name: rule for rule in made.answer_rules()}
    assert {rule.gpus for rule in rules.values()} == {2}
    spec = json.loads(next(iter(rules.values())).spec(SimpleNamespace(method="logit_logit_fusion")))
    assert spec["decoding_source"]


# A base from which no other model is trained, so that nothing but a method can ask for it.
ZOO = {name: {"kind": "zoo", "recipe": recipe} for name, recipe in zip(("base", "add", "recall"), ("reverse", "add", "recall"), strict=True)}


def dare(**changes) -> Plan:
    return plan(models=ZOO, pools={"p": ["add", "recall"]}, tasks={"t": {"source": SKILLS}}, **changes)


@pytest.mark.parametrize("mode", ["average", "optimized"])
def test_a_further_model_is_made_resolved_and_an_input_of_fit_and_merge(mode):
    made = dare(methods={"d": {"method": "weight_dare_ties", "base": "base", "mode": mode}})
    assert set(made.matrix.models) == {"base", "add", "recall"}
    assert re.fullmatch(made.zoo_pattern, "base")
    slug = "p--t--d--s1--merged"
    wildcards = SimpleNamespace(model=slug)
    jsons = [f"<results>/models/{name}/model.json" for name in ("add", "recall", "base")]
    weights = [f"<results>/checkpoints/{name}" for name in ("add", "recall", "base")]
    assert made.merge_inputs(wildcards)["models"] == jsons
    assert made.merge_inputs(wildcards)["weights"] == weights
    assert made.merge_words(wildcards) == "add recall base"
    assert made.resolve_inputs(wildcards)["parents"] == jsons
    assert made.resolve_words(wildcards) == "--parents add recall base"
    [(fit, values)] = producers(made, f"<results>/models/{slug}/recipe.json")
    assert fit.inputs(values)["models"] == jsons
    assert fit.inputs(values)["weights"] == (weights if mode == "optimized" else [])
    assert bool(fit.inputs(values)["questions"]) == ("references" in fit.inputs(values)) == (mode == "optimized")
    assert json.loads(fit.spec(values))["further_models"] == {"base": "base"}
    assert not [path for path in needed_files(made) if "/generations/base/" in path]


def test_a_model_that_no_method_names_is_not_made():
    assert set(dare(methods={"control_random": {}}).matrix.models) == {"add", "recall"}


def test_adapters_bring_their_base():
    models = {
        "base": {"kind": "zoo"},
        **{name: {"kind": "adapter", "base": "base", "path": f"/nowhere/{name}"} for name in ("x", "y")},
    }
    made = plan(
        models=models, pools={"p": ["x", "y"]}, methods={"weight_dare_ties": {}}, tasks={"t": {"source": SKILLS}}
    )
    wildcards = SimpleNamespace(model="p--t--weight_dare_ties--s1--merged")
    assert made.merge_words(wildcards) == "x y base"
    [fit] = made.fit_rules()
    spec = json.loads(fit.spec(SimpleNamespace(method="weight_dare_ties")))
    assert spec["further_models"] == {"@base": "base"}


def test_the_code_of_merging_decides_fits_that_score_merges_and_no_others():
    methods = {
        "soup": {"method": "weight_greedy_soup"},
        "searched": {"method": "weight_dare_ties", "base": "base", "mode": "optimized"},
        "average": {"method": "weight_dare_ties", "base": "base"},
        "control_best_single": {},
    }
    found = {}
    for rule in dare(methods=methods).fit_rules():
        for name in rule.wildcards["method"].split("|"):
            found[name] = json.loads(rule.spec(SimpleNamespace(method=name))).get("merge_source")
    assert {name for name, source in found.items() if source} == {"soup", "searched"}


def test_a_pattern_of_nothing_matches_nothing():
    made = plan(models={"a": {"kind": "local", "path": "x"}}, pools={"p": ["a"]}, methods={"control_random": {}})
    assert made.zoo_pattern == made.derived_pattern == NEVER
    assert not re.match(NEVER, "")


def test_the_specification_of_a_method_holds_what_decides_its_answers():
    def spec(stage="answer", method="text_majority_vote", **changes):
        made = plan(**changes)
        rules = made.fit_rules() if stage == "fit" else made.answer_rules()
        rule = next(r for r in rules if method in r.wildcards["method"].split("|") and "exact" in r.name)
        return json.loads(rule.spec(SimpleNamespace(method=method)))

    usual = spec()
    assert usual["pool"] == ["a", "b"]
    assert spec(pools={"p": ["b", "a"]}) != usual
    assert spec(methods={"text_majority_vote": {"tie": "dev"}})["params"] == {"tie": "dev"}
    assert spec(scorer="paper") != usual
    assert spec(decoding={"default": {"max_new_tokens": 3}}) != usual
    assert spec(seeds=[5]) == usual
    assert spec(method="control_random")["scorer_source"] is None
    assert usual["scorer_source"]
    assert spec("fit", "control_best_single")["scorer_source"]


def test_only_jobs_that_score_know_of_group_scores():
    methods = {name: ALL_METHODS[name] for name in ("control_best_single", "control_random", "weight_greedy_soup")}

    def specs(**entry):
        tasks = {"t": {"source": SKILLS, **entry}, "u": {"source": SKILLS}, "v": {"source": "t"}}
        made = plan(tasks=tasks, methods=methods)
        found = {}
        for stage, rules in (("score", made.score_plain_rules()), ("fit", made.fit_rules()), ("answer", made.answer_rules())):
            for rule in rules:
                for name in rule.wildcards.get("method", "").split("|"):
                    wildcards = SimpleNamespace(scorer="strict", method=name)
                    found[stage, rule.name, name] = json.loads(rule.spec(wildcards))
        return found

    usual, grouped = specs(), specs(group_score=True)
    assert usual.keys() == grouped.keys()
    assert not any("groups" in json.dumps(spec) for spec in usual.values())
    for (stage, _, method), spec in grouped.items():
        if stage == "score":
            assert sorted(spec["groups"]) == ["t", "v"]
        else:
            named = sorted(task for task, values in spec["tasks"].items() if "groups" in values)
            assert named == (["t", "v"] if stage == "fit" and method != "control_random" else [])


def test_score_files_under_another_rule_set_are_made_by_the_same_rules():
    made = plan(also_score=["paper"])
    assert made.scorers == ["strict", "paper"]
    paper = [f"<results>/{path}" for path in made.score_files("paper")]
    assert paper
    assert all(len(producers(made, path)) == 1 for path in paper)
    assert not set(paper) & set(made.score_inputs)


def test_rule_sets_are_compared_only_where_there_are_several():
    one, two = plan(), plan(also_score=["paper", "strict"])
    assert "scorer_difference" not in one.planned_tables
    assert "also_score" not in one.analysis_spec()
    assert two.planned_tables == (*one.planned_tables, "scorer_difference")
    assert two.analysis_spec()["also_score"] == ["paper"]
    further = set(two.table_inputs(SimpleNamespace(table="scorer_difference"))) - set(two.analysis_inputs)
    assert further == {f"<results>/{path}" for path in two.score_files("paper")}
    assert two.table_inputs(SimpleNamespace(table="moco_main")) == two.analysis_inputs
    named = under_rules(expand(two.analysis_spec()), "paper")
    files = [path for entry in [*named["singles"], *named["methods"]] for path in entry["scores"].values()]
    assert sorted(files) == sorted(two.score_files("paper"))


def test_tables_read_scores_and_what_everything_cost():
    made = plan(methods={"control_random": {}}, tasks={"t": {"source": SKILLS}}, seeds=[1])
    files = {path.removeprefix("<results>/") for path in made.analysis_inputs}
    replies = {f"generations/{model}/t/test/default/seed1/s0.parquet" for model in "ab"}
    answers = "answers/p/t/control_random/seed1/test"
    assert files == {
        *replies,
        *(f"scores/strict/{path}" for path in replies),
        *(f"models/{model}/model.json" for model in "ab"),
        f"scores/strict/{answers}.parquet",
        f"{answers}_calls.parquet",
        f"{answers}_costs.parquet",
    }
    named = expand(made.analysis_spec())
    entries = [path for entry in named["singles"] for path in entry["replies"].values()]
    entries += [path for entry in named["methods"] for path in entry["costs"].values()]
    assert sorted(entries) == sorted([*replies, f"{answers}_costs.parquet"])
    (outputs,) = [rule.outputs for rule in made.answer_rules()]
    assert len(outputs) == 3


def test_planning_imports_nothing_heavy(tmp_path):
    code = """
import sys
from pathlib import Path
from moco.config.load import load_study
from moco.workflow.check import structural_problems
from moco.workflow.plan import Plan
study = load_study(Path(sys.argv[1]))
assert not structural_problems(study)
plan = Plan(study)
plan.build()
plan.score_plain_rules(), plan.score_answers_rules(), plan.analysis_json(None), plan.analysis_inputs
print([name for name in ("torch", "pandas", "pyarrow", "transformers", "datasets", "matplotlib") if name in sys.modules])
"""
    path = tmp_path / "s.yaml"
    path.write_text(
        "study: s\nmodels: {a: {kind: zoo, recipe: add, description: adds},\n"
        "         b: {kind: zoo, recipe: recall, description: recalls}}\npools: {p: [a, b]}\n"
        "tasks: {t: {source: {kind: synthetic, skills: [add]}}}\n" + f"methods: {json.dumps(ALL_METHODS)}\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("order", [1, -1])
def test_methods_with_and_without_a_fit_have_rules_of_their_own(order):
    methods = {name: {} for name in ["control_random", "control_best_single"][::order]}
    made = plan(methods=methods)
    assert [rule.wildcards["method"] for rule in made.fit_rules()] == ["control_best_single"] * 2
    answers = {rule.name.endswith("_unfitted"): rule.wildcards["method"] for rule in made.answer_rules()}
    assert answers == {True: "control_random", False: "control_best_single"}


ADAPTER = {"base": {"kind": "zoo"}, "add": {"kind": "zoo"}, "lora": {"kind": "zoo", "recipe": "lora_add"}}


def test_an_adapter_of_the_zoo_rests_on_its_parent():
    made = plan(models=ADAPTER, pools={"p": ["lora", "add"]}, methods={"control_random": {}})
    assert list(made.matrix.models) == ["base", "lora", "add"]
    assert made.weights(["lora"]) == ["<results>/checkpoints/base", "<results>/checkpoints/lora"]
    assert made.weights(["add"]) == ["<results>/checkpoints/add"]
    lora, add = SimpleNamespace(model="lora"), SimpleNamespace(model="add")
    assert made.resolve_inputs(lora) == {
        "base": ["<results>/models/base/model.json"],
        "checkpoint": ["<results>/checkpoints/lora"],
    }
    assert json.loads(made.resolve_spec(lora))["base"] == "base"
    assert "base" not in json.loads(made.resolve_spec(add))


def test_the_seed_of_a_zoo_model_is_part_of_it():
    models = {**ADAPTER, "base": {"kind": "zoo", "seed": 1}, "add": {"kind": "zoo", "seed": 1}}
    made = plan(models=models, pools={"p": ["add"]}, methods={"control_random": {}})
    assert made.zoo_inputs(SimpleNamespace(model="add")) == ["<results>/checkpoints/base"]
    assert json.loads(made.zoo_spec(SimpleNamespace(model="add")))["seed"] == 1
    assert made.matrix.zoo_parent("lora") is None


def test_a_study_is_identified_by_all_that_changes_results_and_by_nothing_else():
    usual = plan().analysis_spec()["configuration"]
    assert re.fullmatch("[0-9a-f]{64}", usual)
    assert plan().analysis_spec()["configuration"] == usual
    runtime = {"retries": 3, "failures": "record", "site": {"use_gpu": True}, "engine": {"batch_rows": 7}}
    assert plan(**runtime).analysis_spec()["configuration"] == usual
    others = [{"seeds": [9]}, {"scorer": "paper"}, {"min_coverage": 0.5}, {"decoding": {"default": {"max_new_tokens": 3}}}]
    assert len({usual, *(plan(**change).analysis_spec()["configuration"] for change in others)}) == 5
