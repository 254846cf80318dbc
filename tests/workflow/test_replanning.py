"""What a change plans: nothing that it does not reach, everything that it does."""

import pyarrow.parquet as pq
import pytest

from moco import paths
from moco.records import GENERATIONS, REFERENCES, Provenance, read_rows, write_rows

pytestmark = pytest.mark.slow


def test_both_entry_points_plan_nothing_after_a_finished_run(finished):
    assert "Nothing to be done" in finished.planned().output
    assert "Nothing to be done" in finished.planned("-s", "workflow/Snakefile").output


def test_added_model_plans_its_own_work_and_the_pools_collaborations(project):
    def change(config):
        config["models"]["reverse"] = {"kind": "zoo"}
        config["pools"]["pair"].append("reverse")

    project.edit_config(change)
    planned = project.planned()
    assert planned.stages() == {
        "zoo": 1,
        "resolve": 3,  # the model, and the soup of each task
        "generate": 6,  # dev and test of both batches, and the soups
        "response_logits": 4,
        "logits": 1,
        "fit": 8,
        "merge": 2,
        "answer": 15,
        "score": 19,
    }
    generating = [message for message in planned.messages if " answers zoo-" in message and "--" not in message]
    assert len(generating) == 4
    assert all(message.startswith("reverse answers ") for message in generating)
    assert [message for message in planned.messages if "scoring generations/add" in message] == []


def test_added_model_in_a_second_pool_leaves_the_first_pool_alone(project):
    def change(config):
        config["models"]["reverse"] = {"kind": "zoo"}
        config["pools"]["other"] = ["add", "reverse"]

    project.edit_config(change)
    planned = project.planned()
    assert not any("pair" in message for message in planned.messages)
    assert any("other" in message for message in planned.messages)


def test_changed_method_parameter_plans_that_variant_only(project):
    project.edit_config(lambda config: config["methods"]["refine-2"].update(rounds=3))
    planned = project.planned()
    assert planned.stages() == {"fit": 2, "answer": 2, "score": 2}
    assert all("refine-2" in message for message in planned.messages if "pair" in message or "scoring" in message)


def test_edited_method_source_plans_that_method_only(project):
    project.edit("moco/methods/text/majority_vote.py", "len(cast.tied) > 1", "1 < len(cast.tied)")
    planned = project.planned()
    assert planned.stages() == {"answer": 2, "score": 2}
    assert any(message.startswith("text_majority_vote answers with pair") for message in planned.messages)


def test_edited_source_of_a_method_with_a_model_plans_fit_merge_and_generate(project):
    project.edit("moco/methods/weight/greedy_soup.py", "weight = 1 / len(members)", "weight = 1.0 / len(members)")
    planned = project.planned()
    assert planned.stages() == {
        "fit": 2,
        "merge": 2,
        "resolve": 2,
        "generate": 2,
        "answer": 2,
        "score": 2,
    }


def test_edited_wording_of_a_method_retrains_no_zoo(project):
    project.edit("moco/methods/api/cascade.py", "Answer as well as you can.", "Answer as well as you know.")
    planned = project.planned()
    assert planned.stages() == {"fit": 2, "answer": 2, "score": 2}
    assert any(message.startswith("api_cascade answers with pair") for message in planned.messages)


def test_edited_shared_module_plans_every_method_that_imports_it(project):
    project.edit("moco/prompts/blocks.py", 'Part(f"[{title}]', 'Part(f"<{title}')
    planned = project.planned()
    assert planned.stages() == {"fit": 4, "answer": 4, "score": 4}
    asked = {message.partition(" answers with")[0] for message in planned.messages if " answers with" in message}
    assert {"refine-2", "api_cascade"} <= asked


def test_edited_selection_plans_the_methods_that_select_by_dev(project):
    project.edit(
        "moco/methods/shared/selection.py", "-(means[index] or 0.0), index)", "-(means[index] or 0.0), -index)"
    )
    planned = project.planned()
    assert planned.stages()["fit"] == 6
    assert not any("control_random" in message for message in planned.messages)


def test_comment_docstring_and_runtime_settings_plan_nothing(project):
    project.edit("moco/methods/text/majority_vote.py", '"""Majority vote over', '# why\n"""A vote over')
    project.edit("moco/prompts/blocks.py", '"""Return a delimited block', '"""Give back a delimited block')

    def change(config):
        config["engine"].update(batch_rows=3, batch_tokens=999, flush_seconds=5, resident_gb=1)
        config.update(failures="record", retries=2)

    project.edit_config(change)
    assert "Nothing to be done" in project.planned().output


def test_rewritten_test_references_plan_scores_of_that_batch_and_split_only(project):
    path = project.results / paths.references("mixed", "test")
    rows = read_rows(path, REFERENCES)
    write_rows(path, REFERENCES, [{**row, "gold_json": '"999"'} for row in rows], Provenance("prepare"))
    planned = project.planned()
    assert planned.stages() == {"score": 9}
    assert not any("multiple_choice" in message for message in planned.messages)


def test_rewritten_dev_references_reach_fits(project):
    path = project.results / paths.references("mixed", "dev")
    rows = read_rows(path, REFERENCES)
    write_rows(path, REFERENCES, [{**row, "gold_json": '"999"'} for row in rows], Provenance("prepare"))
    assert project.planned().stages()["fit"] == 3


def test_one_more_sample_plans_the_missing_block_and_that_method_only(project):
    def change(config):
        config["pools"]["double"] = ["add", "add"]
        config["compare"] = [
            {"pools": ["pair"], "tasks": ["mixed", "quiz"], "methods": "all"},
            {"pools": ["double"], "tasks": ["mixed", "quiz"], "methods": ["text_majority_vote"]},
        ]

    project.edit_config(change)
    planned = project.planned()
    assert planned.stages() == {"generate": 2, "answer": 2, "score": 2}
    assert planned.output.count("s1-4.parquet") > 0
    before = {path: path.stat().st_mtime_ns for path in (project.results / "generations").rglob("s0.parquet")}
    project.snakemake("--until", "score_answers")
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_added_task_plans_its_new_batch_and_generates_only_its_own_items(project):
    def change(config):
        task = {"source": {**config["tasks"]["mixed"]["source"], "seed": 5}, "domain": "zoo"}
        config["tasks"]["more"] = task

    project.edit_config(change)
    planned = project.planned()
    assert not any("multiple_choice" in message for message in planned.messages)
    assert "preparing more" in planned.messages
    assert "preparing mixed" not in planned.messages
    batch = project.batch("mixed", "more")
    made = [project.results / paths.generation(model, batch, "test", 1, "s0") for model in ("add", "recall")]
    project.snakemake(*(str(path.relative_to(project.folder)) for path in made))
    for path in made:
        cached = dict(
            zip(*(pq.read_table(paths.perf(str(path)))[name].to_pylist() for name in ("key", "cached")), strict=True)
        )
        rows = [row for row in read_rows(path, GENERATIONS) if row["task"] == "mixed"]
        assert rows
        assert all(cached[row["key"]] for row in rows)


def test_added_comparison_plans_its_own_jobs_and_changes_no_other(project):
    def change(config):
        config["pools"]["swapped"] = ["recall", "add"]
        config["compare"] = [
            {"pools": ["pair"]},
            {"pools": ["swapped"], "tasks": ["quiz"], "methods": ["control_random"]},
        ]

    project.edit_config(change)
    planned = project.planned()
    assert planned.stages() == {"answer": 1, "score": 1}
    assert "control_random answers with swapped" in " ".join(planned.messages)


def test_a_helper_of_a_sibling_method_reaches_who_imports_it(project):
    project.edit(
        "moco/methods/text/majority_vote.py",
        "\nfrom moco",
        "\nfrom moco.methods.text.wording import ASK as _\nfrom moco",
    )
    (project.folder / "moco/methods/text/wording.py").write_text("ASK = 1\n")
    project.snakemake("--until", "score_answers")
    (project.folder / "moco/methods/text/wording.py").write_text("ASK = 2\n")
    assert project.planned().stages() == {"answer": 2, "score": 2}


def test_renamed_pool_generates_nothing(project):
    def change(config):
        config["pools"] = {"renamed": config["pools"]["pair"]}

    project.edit_config(change)
    shards = sorted((project.folder / ".moco/store/generations").rglob("*.parquet"))
    project.snakemake("--until", "score_answers")
    assert sorted((project.folder / ".moco/store/generations").rglob("*.parquet")) == shards


def test_named_targets_of_a_finished_run_need_nothing(finished):
    targets = ("all", "results/small/report.html", "results/small/tables/moco_main.tex")
    assert "Nothing to be done" in finished.planned(*targets).output


def test_one_figure_is_rebuilt_by_its_file_name_alone(project):
    (project.results / "figures/moco_win_rate.pdf").unlink()
    (project.results / "tables/moco_main.csv").unlink()
    figure = "results/small/figures/moco_win_rate.pdf"
    assert project.planned(figure).counts == {"plot": 1}
    project.snakemake(figure)
    assert (project.results / "figures/moco_win_rate.pdf").read_bytes().startswith(b"%PDF")
