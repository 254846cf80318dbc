"""What a study with served models plans, and what it refuses before any job."""

import json
from typing import Any

import pytest

from moco.config.load import InvalidStudy, study_from
from moco.config.models import ServerModel
from moco.config.runtime import runtime_json
from moco.models.resolve import describe_served
from moco.workflow.check import machine_problems, structural_problems
from moco.workflow.plan import Plan

FAR = {"kind": "server", "endpoint": "https://api.example.org/v1", "name": "wise-1", "date": "2026-01-31"}


class Wildcards:
    def __init__(self, **values: Any) -> None:
        vars(self).update(values)


def study(far: dict[str, Any] | None = None, **changes: Any):
    content = {
        "study": "s",
        "models": {
            "add": {"kind": "zoo", "description": "adds"},
            "recall": {"kind": "zoo", "description": "knows"},
            "far": {**FAR, "description": "knows more", **(far or {})},
        },
        "tasks": {"q": {"source": {"kind": "synthetic", "skills": ["add"], "form": "choice"}}},
        "pools": {"near": ["add", "recall"], "mixed": ["add", "recall", "far"]},
        "methods": {
            "control_best_single": {},
            "text_slm_mux": {},
            "text_multiagent_refine": {},
            "api_prompt_routing": {},
            "api_cascade": {},
            "fuse": {"method": "logit_logit_fusion"},
            "options": {"method": "logit_logit_fusion", "mode": "options"},
            "weight_greedy_soup": {},
        },
        **changes,
    }
    return study_from(content, "s.yaml")


def reasons(plan: Plan) -> dict[str, str]:
    return {entry.variant: entry.reason for entry in plan.matrix.not_applicable if entry.pool == "mixed"}


def test_methods_run_where_the_served_model_offers_what_they_need():
    assert structural_problems(study()) == []
    plan = Plan(study())
    assert reasons(plan) == {
        "api_cascade": "far is a server model without log-probabilities",
        "fuse": "far is a server model without logits",
        "options": "far is a server model without logits",
        "weight_greedy_soup": "far is a server model without weights",
    }
    run = {cell.variant for cell in plan.matrix.cells if cell.pool == "mixed"}
    assert run == {"control_best_single", "text_slm_mux", "text_multiagent_refine", "api_prompt_routing"}
    assert not [rule for rule in plan.logits_rules() if "far" in rule.wildcards["model"].split("|")]


def test_declared_log_probabilities_let_a_cascade_run():
    plan = Plan(study({"logprobs": True}))
    assert "api_cascade" not in reasons(plan)
    [rule] = [rule for rule in plan.logits_rules() if "far" in rule.wildcards["model"].split("|")]
    assert rule.gpus == 0


def test_a_served_model_needs_no_gpu_where_the_others_do():
    plan = Plan(study(site={"use_gpu": True}))
    by_model = {
        name: rule.gpus
        for rule in plan.generate_rules()
        for name in rule.wildcards["model"].split("|")
        if "_s0" in rule.name
    }
    assert by_model == {"add": 1, "recall": 1, "far": 0}
    assert plan.gpus(["far"]) == 0


def test_a_served_model_is_described_from_its_declaration_alone():
    plan = Plan(study({"parameters": 70e9}))
    assert plan.resolve_inputs(Wildcards(model="far")) == {"files": []}
    assert plan.weights(["far"]) == []
    huge = [rule for rule in plan.generate_rules() if "far" in rule.wildcards["model"].split("|")][0]
    assert plan.resources(huge)["mem"](None, 1) == "4GB"
    assert json.loads(plan.resolve_spec(Wildcards(model="far")))["engine"] == {}


def test_how_a_served_model_is_asked_changes_no_plan_and_travels_beside_it():
    given = {"key_env": "WISE_KEY", "concurrency": 3, "per_minute": 60}
    usual, other = study(), study({"requests": given})
    assert usual.slice() == other.slice()
    assert Plan(usual).resolve_spec(Wildcards(model="far")) == Plan(other).resolve_spec(Wildcards(model="far"))
    assert Plan(usual).analysis_json(None) == Plan(other).analysis_json(None)
    assert given.items() <= json.loads(runtime_json(other))["served"]["far"].items()


def test_arithmetic_of_local_models_is_nothing_to_a_served_one():
    usual, other = Plan(study()), Plan(study(engine={"dtype": "float32"}))
    assert usual.resolve_spec(Wildcards(model="far")) == other.resolve_spec(Wildcards(model="far"))


def test_results_with_a_served_model_are_sampled():
    assert Plan(study()).analysis_spec()["class"] == "sampled"
    without = {name: entry for name, entry in study().models.items() if name != "far"}
    local = study(
        models={name: entry.model_dump() for name, entry in without.items()}, pools={"near": ["add", "recall"]}
    )
    assert Plan(local).analysis_spec()["class"] == "exact"


def fingerprint(**changes: Any) -> str:
    return describe_served("any", ServerModel.model_validate({**FAR, **changes})).fingerprint


def test_a_fingerprint_is_where_what_and_since_when_and_not_how_it_is_called_here():
    same = [
        {"description": "x"},
        {"parameters": 7e9},
        {"context": 4096},
        {"requests": {"retries": 0}},
        {"endpoint": FAR["endpoint"] + "/"},
    ]
    assert {fingerprint(**each) for each in same} == {fingerprint()}
    others = [
        {"endpoint": "https://other.example.org/v1"},
        {"name": "wise-2"},
        {"date": "2026-02-01"},
        {"reported": "fp_1"},
        {"api": "completions"},
        {"logprobs": True},
        {"send_seed": False},
        {"extra": {"reasoning_effort": "low"}},
    ]
    assert len({fingerprint(), *(fingerprint(**each) for each in others)}) == len(others) + 1


def test_an_unquoted_date_is_one():
    import yaml

    entry = yaml.safe_load("{kind: server, endpoint: 'http://localhost:8000/v1', name: a, date: 2026-01-31}")
    assert ServerModel.model_validate(entry).date == "2026-01-31"


@pytest.mark.parametrize(
    ("far", "message"),
    [
        ({"endpoint": "https://me:secret@host/v1"}, "models.far.endpoint: is not an address"),
        ({"endpoint": "https://host/v1?api_key=secret"}, "models.far.endpoint: is not an address"),
        ({"endpoint": "host/v1"}, "models.far.endpoint: is not an address"),
        ({"requests": {"key_env": "sk-secret"}}, "models.far.requests.key_env: is no name of an environment variable"),
        ({"date": "yesterday"}, "models.far.date"),
        ({"gpus": 1}, "models.far.gpus"),
    ],
)
def test_mistakes_are_named_without_what_may_be_a_secret(far, message):
    with pytest.raises(InvalidStudy) as caught:
        study(far)
    text = "\n".join(f"{problem.key}: {problem.what}; {problem.remedy}" for problem in caught.value.problems)
    assert message in text
    assert "secret" not in text


def test_a_key_that_is_not_set_is_found_before_any_job(monkeypatch, tmp_path):
    monkeypatch.delenv("WISE_KEY", raising=False)
    asked = study({"requests": {"key_env": "WISE_KEY"}})
    found = [problem for problem in machine_problems(asked, tmp_path) if "far" in problem.key]
    assert [problem.key for problem in found] == ["models.far.requests.key_env"]
    monkeypatch.setenv("WISE_KEY", "k")
    assert not [problem for problem in machine_problems(asked, tmp_path) if "far" in problem.key]


def test_one_endpoint_under_two_names_is_no_pool_of_two():
    twice = {"far": FAR, "again": {**FAR, "endpoint": FAR["endpoint"] + "/"}}
    found = structural_problems(
        study(models={**study().model_dump()["models"], **twice}, pools={"p": ["far", "again"]})
    )
    assert any("same checkpoint" in problem.what for problem in found)


def generated(plan: Plan, model: str) -> dict[str, list[str]]:
    """Splits by rule of the plain responses of a model."""
    rules = [rule for rule in plan.generate_rules() if model in rule.wildcards["model"].split("|")]
    return {rule.name: rule.words["splits"].split() for rule in rules}


LAZY = {"ask": {"method": "api_cascade", "mode": "just_ask"}, "api_prompt_routing": {}, "control_random": {}}


def expensive(far: dict[str, Any] | None = None, methods: dict[str, Any] = LAZY, singles: Any = ("add", "recall")):
    return Plan(study(far, pools={"mixed": ["add", "recall", "far"]}, methods=methods, compare=[{"singles": singles}]))


def answer_inputs(plan: Plan, variant: str) -> dict[str, list[str]]:
    [rule] = [rule for rule in plan.answer_rules() if variant in rule.wildcards["method"].split("|")]
    return rule.inputs(Wildcards(method=variant, seed=1, split="test"))


def test_a_priced_model_without_a_row_of_its_own_answers_no_test_split_ahead():
    plan = expensive()
    assert {tuple(splits) for splits in generated(plan, "far").values()} == {("dev",)}
    assert {tuple(splits) for splits in generated(plan, "add").values()} == {("dev", "test")}
    for variant in LAZY:
        read = [path.split("/")[2] for path in answer_inputs(plan, variant)["plain"]]
        assert sorted(read) == ["add", "recall"], variant
    assert not [path for path in plan.analysis_inputs if "/far/" in path]
    none = expensive(methods={"control_random": {}})
    assert generated(none, "far") == {}, "dev is for those who fit on it"


def test_what_has_a_row_or_is_read_whole_is_made_ahead():
    for plan in (
        expensive(singles="all"),
        expensive({"priced": False}),
        expensive(methods={**LAZY, "text_majority_vote": {}}),
    ):
        assert ["dev", "test"] in generated(plan, "far").values()
    assert "far" in {path.split("/")[2] for path in answer_inputs(expensive({"priced": False}), "ask")["plain"]}
    waited_for = answer_inputs(expensive(singles="all"), "ask")["plain"]
    assert "far" in {path.split("/")[2] for path in waited_for}, "two jobs would ask for the same at the same time"


def test_logits_of_a_priced_model_come_with_its_replies():
    plan = expensive({"logprobs": True}, methods={"api_cascade": {}})
    rules = {rule.name: rule for rule in plan.logits_rules()}
    splits = {name: rule.words["splits"] for name, rule in rules.items() if "far" in rule.wildcards["model"].split("|")}
    assert set(splits.values()) == {"dev"}
    assert {rule.words["splits"] for name, rule in rules.items() if name not in splits} == {"dev test"}
    assert not [path for path in answer_inputs(plan, "api_cascade")["logits"] if "/far/" in path]
    names = [rule.name for rules in (plan.generate_rules(), plan.logits_rules()) for rule in rules]
    assert len(names) == len(set(names))
    assert structural_problems(plan.study) == []


def test_a_priced_model_of_this_machine_is_run_by_the_answer_job():
    models = study().model_dump()["models"]
    models["recall"]["priced"] = True
    changed = {"models": models, "pools": {"near": ["add", "recall"]}, "compare": [{"singles": ["add"]}]}
    plan = Plan(study(methods={"control_random": {}}, site={"use_gpu": True}, **changed))
    [rule] = plan.answer_rules()
    assert rule.gpus == 1
    inputs = rule.inputs(Wildcards(method="control_random", seed=1, split="test"))
    assert inputs["weights"] == ["<results>/checkpoints/recall"]
    assert [path.split("/")[2] for path in inputs["plain"]] == ["add"]


def test_what_is_dear_is_no_part_of_a_result_and_travels_beside_the_plan():
    dear, cheap = expensive(), expensive({"priced": False})
    assert dear.study.slice() == cheap.study.slice()
    cells = [cell for cell in dear.matrix.cells if cell.variant == "ask"]
    assert [dear.method_spec(cell, "answer") for cell in cells] == [cheap.method_spec(cell, "answer") for cell in cells]
    assert json.loads(runtime_json(dear.study))["priced"] == ["far"]
    assert json.loads(runtime_json(cheap.study))["priced"] == []


def test_a_row_for_an_unknown_model_is_a_mistake():
    found = structural_problems(study(compare=[{"singles": ["fat"]}]))
    assert [(each.key, each.what) for each in found] == [("compare.0.singles", "unknown model 'fat'")]
    assert structural_problems(study(compare=[{"singles": []}])) == []
