"""What is asked of SLURM for a job, as the plug-in writes it; no cluster is needed."""

import re
from pathlib import Path

import pytest
import yaml
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string
from support.projects import ROOT

from moco.home import STUDY

ITEMS = {"kind": "synthetic", "skills": ["add"], "items": {"dev": 4, "test": 4}}
SERVED = {"kind": "server", "endpoint": "http://127.0.0.1:1/v1", "date": "2026-01-31", "priced": False}
CONTENT = {
    "study": "cluster",
    "site": {"use_gpu": True, "gpu_model": "a100"},
    "models": {
        "big": {"kind": "zoo", "recipe": "add", "gpus": 2},
        "small": {"kind": "zoo", "recipe": "recall", "gpus": 1},
        "far": {**SERVED, "name": "far"},
        "near": {**SERVED, "name": "near"},
    },
    "pools": {"served": ["far", "near"], "copies": ["big"] * 8, "both": ["big", "small"]},
    "tasks": {"sums": {"source": ITEMS, "domain": "zoo"}},
    "methods": {"text_majority_vote": {}, "text_multiagent_refine": {"rounds": 1}, "logit_logit_fusion": {}},
}


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    """Return what the line for a job says of GPUs, by rule and name of pool or model, and method."""
    monkeypatch.chdir(tmp_path)
    for name in ("PATH", "PYTHONHASHSEED", STUDY):
        monkeypatch.setenv(name, "")
    Path("study.yaml").write_text(yaml.safe_dump(CONTENT))
    found = {}
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL}, dryrun=True)) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[Path("study.yaml")]),
            snakefile=ROOT / "workflow/Snakefile",
        )
        workflow.dag(DAGSettings()).execute_workflow(executor="dryrun")
        for job in workflow._workflow.dag.jobs:
            wildcards = dict(job.wildcards.items())
            about = wildcards.get("pool") or wildcards.get("model")
            found[job.rule.name, about, wildcards.get("method")] = asked_gpus(job)
    return found


def asked_gpus(job) -> str | None:
    params = dict.fromkeys(("run_uuid", "slurm_logfile", "comment_str", "account", "partition", "workdir"), "x")
    line = get_submit_command(job, params) + set_gres_string(job)
    asked = re.search(r"--gpus=(\S+)", line)
    assert asked or "gpu" not in line, line
    return asked[1] if asked else None


def test_jobs_ask_for_the_gpus_of_the_models_that_they_run(gpus):
    assert {key: line for key, line in gpus.items() if key[0] == "generate"} == {
        ("generate", "big", None): "a100:2",
        ("generate", "small", None): "a100:1",
        ("generate", "far", None): None,
        ("generate", "near", None): None,
    }
    assert gpus["answer", "served", "text_multiagent_refine"] is None, "its models run elsewhere"
    assert gpus["answer", "both", "text_multiagent_refine"] == "a100:2", "one after another"
    assert gpus["answer", "both", "logit_logit_fusion"] == "a100:3", "together"
    assert gpus["answer", "copies", "logit_logit_fusion"] == "a100:2", "eight copies are one model"
    assert {gpus["answer", pool, "text_majority_vote"] for pool in ("served", "copies", "both")} == {None}
    assert ("answer", "served", "logit_logit_fusion") not in gpus
