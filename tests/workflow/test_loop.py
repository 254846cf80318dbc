"""The loop of two rounds from a blank folder: pools of rounds are pools like others, and students models like others."""

import base64
import os
import shutil
from pathlib import Path

import pytest
from support.killing import Command
from support.projects import Project, new_project

from moco import paths
from moco.records import ALL_SCORES, ALL_STUDENTS, CALLS, MIXTURE, read_frame, read_json, read_rows

pytestmark = pytest.mark.slow

RUN = "loop-text_majority_vote-mixed-supervised-s1"
NULL = "nothing-text_majority_vote-still-multi_student-s1"
SOUP = "pair--mixed--weight_greedy_soup--s1--soup"


@pytest.fixture(scope="module")
def loop(tmp_path_factory, zoo_cache, warm) -> Project:
    project = new_project(tmp_path_factory.mktemp("loop") / "project", zoo_cache, "config/test/loop.yaml", warm)
    project.snakemake()
    return project


def scores(project: Project, part: str):
    rows = read_frame(project.results / paths.collected(part, "scores"), ALL_SCORES)
    return rows[(rows["kind"] == "method") & (rows["task"] == "mixed")]


def test_the_rounds_are_pools_of_the_evolution_and_round_0_is_the_row_of_the_benchmark(loop):
    rounds = scores(loop, paths.EVOLUTION)
    assert set(rounds["pool"]) == {"pair", f"{RUN}--r1", f"{RUN}--r2"}
    assert set(rounds["name"]) == {"text_majority_vote"}
    assert rounds.groupby("pool")["uid"].nunique().to_list() == [8, 8, 8]
    compared = scores(loop, paths.BENCHMARK)
    assert set(compared["pool"]) == {"pair", "with-soup"}
    asked = (compared["pool"] == "pair") & (compared["name"] == "text_majority_vote")
    first = rounds[rounds["pool"] == "pair"]
    common = ["uid", "seed", "scorer", "score", "status"]
    assert first[common].to_dict("records") == compared[asked][common].to_dict("records")


def test_students_say_what_they_were_trained_from(loop):
    pools = [["add", "recall"], *([f"{RUN}--r{number}--{place}" for place in (1, 2)] for number in (1, 2))]
    fingerprints = {}
    for before, pool in zip([None, *pools], pools, strict=False):
        for place, name in enumerate(pool):
            info = read_json(loop.results / paths.model_json(name))
            fingerprints[name] = info["fingerprint"]
            if before is not None:
                parent = before[place]
                assert info["parents"] == [{"name": parent, "fingerprint": fingerprints[parent]}]
    assert len(set(fingerprints.values())) == 6


def test_adapters_of_later_rounds_rest_on_the_first_models_and_grow(loop):
    for number, rank in ((1, 4), (2, 8)):
        for place, member in ((1, "add"), (2, "recall")):
            info = read_json(loop.results / paths.model_json(f"{RUN}--r{number}--{place}"))
            folder = loop.results / paths.students(RUN, number) / str(place)
            assert info["base"]["name"] == member
            assert read_json(folder / "adapter_config.json")["r"] == rank


def test_a_mixture_has_the_collaborations_answers_and_disjoint_replies_of_the_best_student(loop):
    rows = read_frame(loop.results / paths.mixture(NULL, 1), MIXTURE)
    counts = rows.groupby("student")["source"].value_counts().unstack(fill_value=0)
    assert counts.to_dict("index") == {f"{NULL}--r1--{place}": {"teach": 4, "self": 2, "best": 2} for place in (1, 2)}
    own = rows[rows["source"] != "teach"]
    best = own[own["source"] == "best"]["models"].iloc[0][0]
    mine = own[
        own["models"].map(lambda names: list(names) == [best])
        & own["student"].str.endswith(f"--{1 + ['add', 'recall'].index(best)}")
    ]
    assert mine["uid"].nunique() == 4
    assert rows["split"].unique().tolist() == ["distill"]
    assert rows["score"].notna().all()


def test_students_are_collected_with_their_loss_on_what_nobody_learns(loop):
    mixtures = [read_rows(loop.results / paths.mixture(RUN, number), MIXTURE) for number in (1, 2)]
    apart = [{row["uid"] for row in rows if row["held_out"]} for rows in mixtures]
    assert len(apart[0]) == 1
    assert apart[0] == apart[1], "no round learns what another holds out"
    assert all(row["uid"] not in apart[0] for rows in mixtures for row in rows if not row["held_out"])
    rows = read_rows(loop.results / paths.collected(paths.EVOLUTION, "students"), ALL_STUDENTS)
    of_run = [row for row in rows if row["name"] == RUN and row["pool"] != "pair"]
    assert [row["model"] for row in of_run] == [f"{RUN}--r{number}--{place}" for number in (1, 2) for place in (1, 2)]
    for row in of_run:
        assert row["held_out"] == 1
        assert row["loss_before"] > 0
        assert row["loss_after"] != row["loss_before"]
        assert 0 < row["distance"] <= 2**0.5
    idle = [row for row in rows if row["pool"] == f"{NULL}--r1"]
    assert [(row["held_out"], row["loss_before"], row["distance"]) for row in idle] == [(0, None, 0.0)] * 2
    assert [row["distance"] for row in rows if row["pool"] == "pair"] == [None] * 4, "no adapters"


def test_who_learns_nothing_says_and_scores_the_same_in_every_round(loop):
    rows = read_frame(loop.results / paths.collected(paths.EVOLUTION, "scores"), ALL_SCORES)
    rows = rows[rows["task"] == "still"]
    compared = ["uid", "score", "parsed", "status"]
    for before, after in (("add", "1"), ("recall", "2"), (None, None)):
        name = before or "text_majority_vote"
        first = rows[(rows["pool"] == "pair") & (rows["name"] == name)]
        second = rows[(rows["pool"] == f"{NULL}--r1") & (rows["name"] == (f"{NULL}--r1--{after}" if after else name))]
        assert len(first) == 8
        assert first[compared].to_dict("records") == second[compared].to_dict("records")


def test_a_merged_model_is_a_member_of_a_pool(loop):
    batch = loop.batch("mixed")
    calls = read_rows(loop.results / paths.calls("with-soup", batch, "text_majority_vote", 1, "test"), CALLS)
    assert {call["model"] for call in calls} == {"add", SOUP}
    assert (loop.results / paths.checkpoint(SOUP)).is_dir(), "weights of members stay"


def test_a_second_run_plans_nothing(loop):
    assert "Nothing to be done" in loop.planned().output


def test_one_more_round_plans_that_round_only(loop, tmp_path):
    project = loop.copy(tmp_path / "project")
    project.edit_config(lambda config: config["evolution"]["loop"].update(rounds=3))
    planned = project.planned()
    assert planned.stages() == {
        "mix": 1,
        "distill": 1,
        "resolve": 2,
        "generate": 4,  # the students of round 2 on what they teach, those of round 3 on test
        "answer": 2,
        "score": 4,  # the pool, each student alone, and what is taught
    }
    third = [message for message in planned.messages if "-s1--r" in message]
    assert {message.partition("-s1--r")[2][0] for message in third} == {"2", "3"}
    assert all("r3" in message or "distill" in message or " answers with " in message for message in third)


# Interruptions

KILLED_IN = (
    ("answer", "--pool pair .*--split distill "),
    ("distill", f"--run {RUN} --round 1 "),
    ("generate", f"--model {RUN}--r1--2 .*--split distill "),
    ("distill", f"--run {RUN} --round 2 "),
    ("collect", "--part evolution "),
)
"""Verbs and options of jobs, each of which needs what the one before makes."""


def whole_files(project: Project) -> dict[Path, int]:
    """Return the files that jobs have made and the times at which they did, without those of jobs that did not end."""
    marks = (project.folder / ".snakemake/incomplete").iterdir()
    broken = [project.folder / base64.urlsafe_b64decode(mark.name).decode() for mark in marks if mark.is_file()]
    files = (path for path in project.results.rglob("*") if path.is_file())
    return {
        path: path.stat().st_mtime_ns
        for path in files
        if path.relative_to(project.results).parts[0] not in ("logs", "benchmarks")
        and not any(path.is_relative_to(each) for each in broken)
    }


def test_a_loop_that_is_killed_in_any_stage_ends_as_an_undisturbed_one_and_makes_nothing_twice(
    loop, tmp_path, zoo_cache, warm
):
    project = new_project(tmp_path / "project", zoo_cache, "config/test/loop.yaml", warm)
    tables = sorted((loop.results / "tables").glob("evo_*.csv"))
    assert len(tables) == 4
    run = ("--cores", "2", *(str(path.relative_to(loop.folder)) for path in tables))
    made: dict[Path, int] = {}
    for verb, options in KILLED_IN:
        command = Command(project, "snakemake", *run, log=tmp_path / "log")
        command.wait_for_options(verb, options)
        command.kill()
        for lock in (project.folder / ".snakemake/locks").iterdir():
            lock.unlink()
        before, made = made, whole_files(project)
        assert before.items() <= made.items(), "a file that was whole was made again"
        assert len(made) > len(before)
    project.run("snakemake", *run)
    assert made.items() <= whole_files(project).items()
    for path in tables:
        assert (project.results / "tables" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_collaboration_that_fails_stops_its_round_and_no_other_answers_are_taken_in_its_place(loop, tmp_path, warm):
    project = loop.copy(tmp_path / "project", warm)
    pool, batch = f"{RUN}--r1", project.batch("mixed")
    answers = paths.answers(pool, batch, "text_majority_vote", 1, "distill")
    for made in (answers, paths.mixture(RUN, 2), paths.collected(paths.EVOLUTION, "scores"), paths.table("x", "csv")):
        shutil.rmtree((project.results / made).parent)
    replies = project.results / paths.generation(f"{pool}--2", batch, "distill", 1, "s0")
    whole, times = replies.read_bytes(), (replies.stat().st_atime_ns, replies.stat().st_mtime_ns)
    replies.write_bytes(whole[: len(whole) // 2])
    os.utime(replies, ns=times)
    tables = sorted((loop.results / "tables").glob("evo_*.csv"))
    run = ("--cores", "2", "--keep-going", *(str(path.relative_to(loop.folder)) for path in tables))

    done = project.run("snakemake", *run, check=False)
    assert done.returncode == 1
    assert replies.name in done.stdout + done.stderr
    assert not (project.results / answers).exists()
    assert not (project.results / paths.mixture(RUN, 2)).exists()
    assert not (project.results / paths.students(RUN, 2)).exists()

    replies.write_bytes(whole)
    os.utime(replies, ns=times)
    project.run("snakemake", *run)
    assert (project.results / answers).exists()
    for path in tables:
        assert (project.results / "tables" / path.name).read_bytes() == path.read_bytes(), path.name
