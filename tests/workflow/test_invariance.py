"""A result depends on the study, and on nothing of how it was run."""

import shlex

import pytest

from moco import paths
from moco.records import ANSWERS, CALLS, COSTS, read_provenance, read_rows

pytestmark = pytest.mark.slow


def test_batch_size_and_parallel_jobs_do_not_change_results(finished, blank):
    """Nor do other batches in parallel jobs: test_interruption.py."""
    project = blank
    project.edit_config(lambda config: config["engine"].update(batch_rows=1))
    project.snakemake(cores=1)
    assert project.run("moco", "verify", str(finished.results), str(project.results)).stdout == "equal\n"


@pytest.mark.parametrize("method", ["refine-2", "text_majority_vote", "weight_greedy_soup"])
def test_answering_by_hand_without_any_reference_gives_the_same(finished, project, method):
    commands = finished.logged_commands("answer", f"--method {method} ")
    removed = [*project.results.rglob("references.parquet"), *(project.results / "scores").rglob("*.parquet")]
    answered = [path for path in (project.results / "answers").rglob("*.parquet") if f"/{method}/" in str(path)]
    assert len(commands) == 2
    assert len(answered) == 2 * 5
    for path in removed + answered:
        path.unlink()
    for command in commands:
        project.run(*shlex.split(command), MOCO_STUDY=project.study_file)
    for path in answered:
        original = finished.results / path.relative_to(project.results)
        if not path.name.endswith("_perf.parquet"):
            schema = {"test_calls": CALLS, "test_costs": COSTS, "test": ANSWERS}[path.stem]
            assert read_rows(path, schema) == read_rows(original, schema)
            assert read_provenance(path) == read_provenance(original)


def test_copies_of_one_model_are_different_samples(blank):
    project = blank

    def change(config):
        config["pools"] = {"copies": ["add", "add", "add"]}
        config["methods"] = {"text_majority_vote": {}, "refine-2": {"method": "text_multiagent_refine", "rounds": 2}}
        del config["tasks"]["quiz"]

    project.edit_config(change)
    vote, refine = (
        project.results / paths.calls("copies", project.batch("mixed"), method, 1, "test")
        for method in ("text_majority_vote", "refine-2")
    )
    project.snakemake(*(str(path.relative_to(project.folder)) for path in (vote, refine)))
    calls = read_rows(vote, CALLS)
    for uid in {call["uid"] for call in calls}:
        assert [call["sample"] for call in calls if call["uid"] == uid] == [0, 1, 2]
    own = read_rows(refine, CALLS)
    assert {call["sample"] for call in own if call["purpose"] == "refine 2"} == {0, 1, 2}


def test_references_never_reach_questions_and_test_references_never_reach_fits(finished):
    planned = finished.snakemake("--dry-run", "--forceall", "--detailed-summary").stdout
    for line in planned.splitlines():
        columns = line.split("\t")
        if columns[0].startswith(("results/small/answers", "results/small/generations")):
            assert "references.parquet" not in line
        if columns[0].startswith("results/small/fits"):
            assert "/test/" not in line
