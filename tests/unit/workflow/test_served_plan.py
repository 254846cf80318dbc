"""What a study with served models plans, and what it refuses before any job."""

from types import SimpleNamespace
from typing import Any

import pytest

from moco.config.load import InvalidStudy, study_from
from moco.config.models import ServerModel
from moco.config.runtime import is_priced, server_requests, write_study_file
from moco.home import STUDY
from moco.models.resolve import describe_served
from moco.workflow.check import machine_problems, structural_problems
from moco.workflow.plan import Plan

FAR = {"kind": "server", "endpoint": "https://api.example.org/v1", "name": "wise-1", "date": "2026-01-31"}


def content(far: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {
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


def study(*arguments: Any, **changes: Any):
    return study_from(content(*arguments, **changes), "s.yaml")


def where(plan: Plan, **wildcards: Any) -> SimpleNamespace:
    """Wildcards of a job on the one task of the study."""
    usual = {"batch": plan.matrix.batch_of_one("q").name, "split": "test", "seed": "1", "block": "s0", "pool": "mixed"}
    return SimpleNamespace(**{**usual, **wildcards})


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
    assert not [path for path in plan.collect.measured(SimpleNamespace(part="benchmark")) if "/logits/far/" in path]


def test_declared_log_probabilities_let_a_cascade_run():
    plan = Plan(study({"logprobs": True}))
    assert "api_cascade" not in reasons(plan)
    cascade = where(plan, method="api_cascade")
    assert [path for path in plan.fit.logits(cascade) if "/logits/far/" in path]
    assert plan.response_logits.gpu(where(plan, model="far")) == 0


def test_a_served_model_needs_no_gpu_where_the_others_do():
    plan = Plan(study(site={"use_gpu": True}))
    by_model = {name: plan.generate.gpu(where(plan, model=name)) for name in ("add", "recall", "far")}
    assert by_model == {"add": 1, "recall": 1, "far": 0}
    assert plan.generate.gpu_model(where(plan, model="far")) is None


def test_a_served_model_is_described_from_its_declaration_alone():
    plan = Plan(study({"parameters": 70e9}))
    far = where(plan, model="far")
    read = [plan.resolve.checkpoint(far), plan.resolve.files(far), plan.resolve.parents(far), plan.resolve.fit(far)]
    assert read == [[], [], [], []]
    assert plan.generate.checkpoints(far) == []
    assert plan.generate.mem(far, 1) == "4GB"
    assert plan.resolve.slice(far)["engine"] == {}


def test_how_a_served_model_is_asked_changes_no_plan_and_travels_beside_it(monkeypatch, tmp_path):
    given = {"key_env": "WISE_KEY", "concurrency": 3, "per_minute": 60}
    usual, other = study(), study({"requests": given})
    assert usual.slice() == other.slice()
    far = SimpleNamespace(model="far")
    assert Plan(usual).resolve.digest(far) == Plan(other).resolve.digest(far)
    assert Plan(usual).tabulate.digest(None) == Plan(other).tabulate.digest(None)
    monkeypatch.setenv(STUDY, str(write_study_file(content({"requests": given}), tmp_path)))
    assert given.items() <= server_requests("far").model_dump().items()


def test_arithmetic_of_local_models_is_nothing_to_a_served_one():
    usual, other = Plan(study()), Plan(study(engine={"dtype": "float32"}))
    far = SimpleNamespace(model="far")
    assert usual.resolve.slice(far) == other.resolve.slice(far)


def test_results_with_a_served_model_are_sampled():
    assert Plan(study()).matrix.result_class == "sampled"
    without = {name: entry for name, entry in study().models.items() if name != "far"}
    local = study(
        models={name: entry.model_dump() for name, entry in without.items()}, pools={"near": ["add", "recall"]}
    )
    assert Plan(local).matrix.result_class == "exact"


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


def generated(plan: Plan, model: str) -> set[str]:
    """Splits of the plain responses of a model that anything asks for."""
    files = plan.collect.measured(SimpleNamespace(part="benchmark"))
    return {path.split("/")[4] for path in files if path.startswith(f"<results>/generations/{model}/")}


LAZY = {"ask": {"method": "api_cascade", "mode": "just_ask"}, "api_prompt_routing": {}, "control_random": {}}


def expensive(far: dict[str, Any] | None = None, methods: dict[str, Any] = LAZY, singles: Any = ("add", "recall")):
    return Plan(study(far, pools={"mixed": ["add", "recall", "far"]}, methods=methods, compare=[{"singles": singles}]))


def read_by(plan: Plan, variant: str) -> list[str]:
    """Models whose plain responses an answer job waits for."""
    return sorted(path.split("/")[2] for path in plan.answer.plain(where(plan, method=variant)))


def test_a_priced_model_without_a_row_of_its_own_answers_no_test_split_ahead():
    plan = expensive()
    assert generated(plan, "far") == {"dev"}
    assert generated(plan, "add") == {"dev", "test"}
    assert [read_by(plan, variant) for variant in LAZY] == [["add", "recall"]] * len(LAZY)
    part = SimpleNamespace(part="benchmark")
    assert not [path for path in (*plan.collect.scores(part), *plan.collect.costs(part)) if "/far/" in path]
    none = expensive(methods={"control_random": {}})
    assert generated(none, "far") == set(), "dev is for those who fit on it"


def test_what_has_a_row_or_is_read_whole_is_made_ahead():
    for plan in (
        expensive(singles="all"),
        expensive({"priced": False}),
        expensive(methods={**LAZY, "text_majority_vote": {}}),
    ):
        assert "test" in generated(plan, "far")
    assert "far" in read_by(expensive({"priced": False}), "ask")
    assert "far" in read_by(expensive(singles="all"), "ask"), "two jobs would ask for the same at the same time"


def test_logits_of_a_priced_model_come_with_its_replies():
    plan = expensive({"logprobs": True}, methods={"api_cascade": {}})
    cascade = where(plan, method="api_cascade")
    assert {path.split("/")[2] for path in plan.fit.logits(cascade)} == {"add", "recall", "far"}
    assert {path.split("/")[2] for path in plan.answer.logits(cascade)} == {"add", "recall"}
    assert structural_problems(plan.study) == []


def test_a_priced_model_of_this_machine_is_run_by_the_answer_job():
    models = study().model_dump()["models"]
    models["recall"]["priced"] = True
    changed = {"models": models, "pools": {"near": ["add", "recall"]}, "compare": [{"singles": ["add"]}]}
    plan = Plan(study(methods={"control_random": {}}, site={"use_gpu": True}, **changed))
    job = where(plan, pool="near", method="control_random")
    assert plan.answer.gpu(job) == 1
    assert plan.answer.checkpoints(job) == ["<results>/checkpoints/recall"]
    assert [path.split("/")[2] for path in plan.answer.plain(job)] == ["add"]


def test_what_is_dear_is_no_part_of_a_result_and_travels_beside_the_plan(monkeypatch, tmp_path):
    dear, cheap = expensive(), expensive({"priced": False})
    assert dear.study.slice() == cheap.study.slice()
    assert dear.answer.digest(where(dear, method="ask")) == cheap.answer.digest(where(cheap, method="ask"))
    for far, priced in (({}, True), ({"priced": False}, False)):
        monkeypatch.setenv(STUDY, str(write_study_file(content(far), tmp_path)))
        assert is_priced("far", served=True) is priced
        assert not is_priced("add", served=False)


def test_a_row_for_an_unknown_model_is_a_mistake():
    found = structural_problems(study(compare=[{"singles": ["fat"]}]))
    assert [(each.key, each.what) for each in found] == [("compare.0.singles", "unknown model 'fat'")]
    assert structural_problems(study(compare=[{"singles": []}])) == []
