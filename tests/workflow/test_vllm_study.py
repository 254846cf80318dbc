"""A pool of a model in vLLM, an adapter on it, and a model in transformers, from a blank folder to tables."""

import shlex

import pytest
from support.projects import Project, new_project
from support.vllm import vllm_python

from moco import paths
from moco.records import GENERATIONS, PERF, read_json, read_rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory, zoo_cache) -> Project:
    python = vllm_python()
    project = new_project(tmp_path_factory.mktemp("vllm") / "project", zoo_cache, "config/test/vllm.yaml")
    project.snakemake(cores=1, MOCO_VLLM_PYTHON=str(python))
    return project


def test_models_in_vllm_take_part_like_others(study):
    for model in ("base", "lora_add", "small"):
        rows = read_rows(study.results / paths.generation(model, study.batch("mixed"), "test", 1, "s0"), GENERATIONS)
        assert [row["status"] for row in rows] == ["ok"] * 6
        assert all(row["completion_tokens"] > 0 and row["mean_logprob"] < 0 for row in rows)
    engines = {name: read_json(study.results / paths.model_json(name))["engine"]["kind"] for name in ("base", "small")}
    assert engines == {"base": "vllm", "small": "transformers"}
    for method in ("text_majority_vote", "text_multiagent_refine"):
        assert (study.results / paths.answers("trio", study.batch("mixed"), method, 1, "test")).is_file()


def test_base_and_adapter_are_one_load_of_a_job(study):
    path = paths.perf(paths.answers("trio", study.batch("mixed"), "text_multiagent_refine", 1, "test"))
    rows = read_rows(study.results / path, PERF)
    loads = [row["model"] for row in rows if row["kind"] == "load"]
    assert sorted(loads) == ["base", "small"]
    assert {row["model"] for row in rows if row["kind"] == "reply"} == {"base", "lora_add", "small"}


def test_what_steps_models_together_is_not_applicable_and_the_class_is_recorded(study):
    text = (study.results / "tables/moco_main.md").read_text()
    assert "not applicable: base runs in vllm, which cannot be stepped with others" in text
    assert "Class: scheduled." in text
    assert not list((study.results / "answers/trio").glob("*/logit_logit_fusion"))


def test_without_the_environment_a_job_is_one_line(study):
    words = study.logged_commands("generate", "--model base")[0]
    done = study.run(
        *shlex.split(words), check=False, MOCO_STORE=str(study.folder / "empty"), MOCO_STUDY=study.study_file
    )
    assert done.returncode == 2
    assert "does not exist; run `make install-vllm`" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
