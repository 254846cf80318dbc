"""A study whose replies the zoo's verifier, reward model and encoder score."""

import json
import shlex
import shutil

import pytest
from support.projects import Project, new_project

from moco import paths
from moco.records import ANSWERS, JOB_PERF, SCORES, read_rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def judged(tmp_path_factory, zoo_cache, warm) -> Project:
    project = new_project(tmp_path_factory.mktemp("judged") / "project", zoo_cache, "config/test/judged.yaml", warm)
    project.snakemake()
    return project


def scores(project, task, model="add"):
    return read_rows(project.results / paths.scores("strict", plain(project, task, model)), SCORES)


def plain(project, task, model="add"):
    return paths.generation(model, project.batch(task), "test", 1, "s0")


def details(rows):
    return [json.loads(row["details_json"]) for row in rows]


def test_every_kind_of_judge_leaves_its_scores(judged):
    verified = scores(judged, "verified")
    assert {row["score"] for row in verified} <= {0.0, 1.0}
    assert {row["rule"] for row in verified} & {"judge", "undecided"}
    rated = scores(judged, "rated")
    assert len({row["score"] for row in rated}) == len(rated) == 4
    assert all({"tokens", "win"} <= each.keys() for each in details(rated))
    diverse = scores(judged, "diverse")
    assert len(diverse) == 4
    assert all(0 < row["score"] < 2 for row in diverse)
    assert [each["answers"] for each in details(diverse)] == [4] * 4


def test_a_method_gives_several_answers_that_are_scored_as_one(judged):
    path = paths.answers("pair", judged.batch("diverse"), "control_best_single", 1, "test")
    answers = read_rows(judged.results / path, ANSWERS)
    assert [row["answer"] for row in answers] == [0, 1, 2, 3] * 4
    scored = read_rows(judged.results / paths.scores("strict", path), SCORES)
    [model] = {row["models"][0] for row in answers}
    assert [row["score"] for row in scored] == [row["score"] for row in scores(judged, "diverse", model)]


def test_judges_are_in_the_tables_of_cost(judged):
    path = paths.scores("strict", plain(judged, "rated"))
    rows = read_rows(judged.results / paths.job_perf(path), JOB_PERF)
    assert {row["job"] for row in rows} == {"score"}
    assert all(row["items"] > 0 for row in rows)
    for name in ("moco_jobs_perf", "moco_paid_perf"):
        assert ",scoring," in (judged.results / f"tables/{name}.csv").read_text()


def test_the_table_has_rewards_in_their_own_unit(judged):
    text = (judged.results / "tables/moco_main.md").read_text()
    assert "Not in percent and in no average, because the scores are no accuracies: diverse, rated." in text or (
        "because the scores are no accuracies: rated, diverse." in text
    )
    assert "needs a dev split to fit on" in text


def test_scoring_again_asks_no_judge_and_scoring_anew_in_other_batches_says_the_same(judged, tmp_path):
    one_by_one = judged.study_with(engine={"batch_rows": 1})
    for task in ("verified", "rated", "diverse"):
        command = judged.logged_commands("score", plain(judged, task).removesuffix(".parquet"))
        before = scores(judged, task)
        again = judged.run(*shlex.split(command[0]), MOCO_STUDY=judged.study_file)
        assert "loaded" not in again.stderr
        assert scores(judged, task) == before
        alone = judged.run(
            *shlex.split(command[0]),
            MOCO_STORE=str(tmp_path / "empty"),
            MOCO_STUDY=one_by_one,
        )
        assert "loaded" in alone.stderr
        assert scores(judged, task) == before
    shutil.rmtree(tmp_path / "empty")
