"""What a study with models in vLLM plans, and what it refuses before any job."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from moco.config.engine import EngineSettings
from moco.config.load import study_from
from moco.config.runtime import engine_settings, write_study_file
from moco.home import STUDY
from moco.workflow.check import structural_problems
from moco.workflow.plan import Plan

VLLM = {"kind": "vllm", "dtype": "float32"}


def content(engine: dict[str, Any] | None = None, base: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "study": "s",
        "engine": {**VLLM, **(engine or {})},
        "models": {
            "base": {"kind": "zoo", **(base or {})},
            "lora_add": {"kind": "zoo"},
            "small": {"kind": "zoo", "engine": {"kind": "transformers"}},
            **changes.pop("models", {}),
        },
        "tasks": {"q": {"source": {"kind": "synthetic", "skills": ["add"], "form": "choice"}}},
        "pools": {"one": ["base", "lora_add"], "near": ["small"]},
        "methods": {
            "text_slm_mux": {},
            "api_cascade": {},
            "fuse": {"method": "logit_logit_fusion"},
            "options": {"method": "logit_logit_fusion", "mode": "options"},
            "weight_greedy_soup": {},
        },
        **changes,
    }


def study(*arguments: Any, **changes: Any):
    return study_from(content(*arguments, **changes), "s.yaml")


def test_only_what_steps_models_together_is_not_applicable():
    assert structural_problems(study()) == []
    plan = Plan(study())
    reasons = {entry.variant: entry.reason for entry in plan.matrix.not_applicable if entry.pool == "one"}
    assert reasons == {"fuse": "base runs in vllm, which cannot be stepped with others"}
    assert not [cell for cell in plan.matrix.cells if (cell.pool, cell.variant) == ("one", "fuse")]
    assert [cell for cell in plan.matrix.cells if (cell.pool, cell.variant) == ("one", "options")]


def test_results_are_of_class_scheduled():
    assert Plan(study()).matrix.result_class == "scheduled"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"engine": {"dtype": "float64"}},
            "engine.dtype: vllm has no exact mode (float64); set dtype: float32, bfloat16 or float16",
        ),
        (
            {"base": {"engine": {"kind": "vllm"}}},
            "models.base.engine.dtype: vllm has no exact mode (float64); set dtype: float32, bfloat16 or float16",
        ),
        ({"engine": {"attention": "eager"}}, "engine.attention: vllm chooses its attention by itself; leave it out"),
        ({"engine": {"attention": "sdpa"}}, "engine.attention: vllm chooses its attention by itself; leave it out"),
        (
            {"engine": {"reproducible": "batch", "device": "cpu"}},
            "engine.reproducible: vllm has no kernels for the CPU that do not depend on the batch;"
            " set reproducible: schedule",
        ),
        (
            {"base": {"engine": {"kind": "transformers", "tensor_parallel": 2}}},
            "models.base.engine.tensor_parallel: transformers does not split a model over GPUs; set kind: vllm,"
            " or leave it out",
        ),
        (
            {"base": {"engine": {**VLLM, "tensor_parallel": 2}}, "site": {"use_gpu": True}},
            "models.base.gpus: 1 for an engine that splits base over 2; set gpus: 2",
        ),
        (
            {"models": {"encoder": {"kind": "zoo"}}},
            "models.encoder.engine: encoder is a sentence encoder, and vllm runs only models that write;"
            " give it an engine of its own: {kind: transformers}",
        ),
        (
            {"decoding": {"default": {"temperature": 2.5}}},
            "decoding.default.temperature: 2.5 is not served by vllm; use 0, or 0.01 to 2.0",
        ),
        (
            {"decoding": {"default": {"temperature": 0.005}}},
            "decoding.default.temperature: 0.005 is not served by vllm; use 0, or 0.01 to 2.0",
        ),
    ],
)
def test_what_vllm_cannot_do_is_one_line(changes, line):
    assert [problem.line("") for problem in structural_problems(study(**changes))] == [line]


def test_the_key_of_a_request_holds_the_program_and_no_further_setting():
    usual = EngineSettings().key()
    assert usual == {"kind": "transformers", "dtype": "float64", "trust_remote_code": False, "attention": "auto"}
    settings = EngineSettings(kind="vllm", dtype="float32", tensor_parallel=2, compile=True, reproducible="batch")
    assert settings.key() == {**usual, "kind": "vllm", "dtype": "float32"}


def test_other_settings_travel_beside_the_plan(clean_environment, tmp_path):
    given = content({"tensor_parallel": 2, "gpu_share": 0.4, "python": "/x/python"})
    made = study_from(given, "s.yaml")
    clean_environment.setenv(STUDY, str(write_study_file(given, tmp_path)))
    found = engine_settings("base", made.engine.key())
    assert (found.kind, found.tensor_parallel, found.gpu_share, found.python) == ("vllm", 2, 0.4, "/x/python")
    assert "python" not in json.dumps(Plan(made).tabulate.slice(None))


def test_the_cache_of_a_worker_counts_as_memory_of_its_job():
    small, large = (Plan(study({"cache_gb": size})) for size in (1, 41))
    assert small.generate.mem(SimpleNamespace(model="base"), 1) == "5GB"
    assert large.generate.mem(SimpleNamespace(model="base"), 1) == "65GB"
