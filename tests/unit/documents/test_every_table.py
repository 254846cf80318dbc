"""Every table of every page is held by a test that is named here, so a new one fails until something holds it."""

import re

import pytest
from support.documents import PAGES, ROOT, codes, rows, tables_in, text_of

HERE = "tests/unit/documents/test_documented_tables.py"
MEASURED = "tests/unit/documents/test_documented_measurements.py"
SCORED = "tests/unit/scoring/test_documented_replies.py"
PAGE_OF_METHODS = "tests/unit/test_documentation.py::test_the_pages_of_methods_are_those_that_the_code_gives"

GENERATED = {
    "config/README.md": f"{HERE}::test_the_reference_of_settings_is_what_the_code_gives",
    "docs/tasks.md": "tests/unit/cli/test_tasks_and_pins.py::test_the_document_is_current",
    "docs/methods/": PAGE_OF_METHODS,
}
"""Which test compares what follows the mark of a page, by its beginning."""

HELD = {
    "README.md": {
        "pool | system | level | mixed | quiz | average over tasks | tokens/item | GFLOPs/item | loads | fit GFLOPs": (
            "tests/unit/test_wheel.py::test_its_demo_gives_in_an_empty_folder_what_the_readme_shows_whatever_the_vector"
            "_instructions"
        ),
        "Level | Methods": "tests/unit/test_documentation.py::test_the_readme_lists_all_methods_by_level",
    },
    "config/README.md": {"name | shows": f"{HERE}::test_tables_and_figures_that_a_study_can_have"},
    "docs/add-a-task.md": {
        "Files | `source`": f"{HERE}::test_formats_of_files",
        "Gold | Meaning": f"{HERE}::test_what_a_gold_means",
        "Type | Fields beside `id` and `input`": f"{HERE}::test_items_with_fields_of_their_own",
    },
    "docs/architecture.md": {
        "Artifact | Path below `results/{study}/` | Verb": f"{HERE}::test_artifacts_and_their_paths",
        "Folder | What | Changes when": f"{HERE}::test_folders_of_the_package",
        "What | Where | Holds": f"{HERE}::test_requests_on_their_way",
        "Change | Planned (always with `collect`, the tables, figures and the report)": (
            "tests/unit/documents/test_every_table.py::test_rows_are_held_by_tests"
        ),
    },
    "docs/cluster.md": {"Submitted | Where snakemake runs": f"{HERE}::test_what_is_submitted_and_what_is_not"},
    "docs/evolution.md": {
        "`variants` | what is learnt": f"{HERE}::test_ways_of_learning",
        "`lineage` | a student of round *t* is trained from": f"{HERE}::test_ways_of_learning",
        "control | settings": f"{HERE}::test_controls_are_settings_that_an_entry_can_have",
    },
    "docs/joint-decoding.md": {
        "Call | What it does": "tests/unit/test_documentation.py::test_the_calls_of_joint_decoding_are_those_of_a_batch"
    },
    "docs/performance.md": {
        "What | Processor time | Time | Forward passes | their share of the time | Padding": f"{MEASURED}::test_generation",
        "Way | What it costs | For instance": (
            "tests/unit/engines/test_architectures.py::test_replies_are_those_of_transformers"
        ),
        "Run | Before | Now | Ratio": f"{MEASURED}::test_the_demo_of_two_checkouts",
        "Step | Time | Of which": f"{MEASURED}::test_first_steps",
        "What | Tokens | Processor time | Tokens per second of it | Time | Peak memory": f"{MEASURED}::test_training",
    },
    "docs/reproduce.md": {"Items of | with `--with-tasks`": f"{HERE}::test_what_a_bundle_packs"},
    "docs/scoring.md": {
        "Rule set | What it follows | Numbers made so": f"{SCORED}::test_rule_sets",
        "Reply | `paper` | `paper-1.1`": f"{SCORED}::test_styles_of_replies_on_items_of_four_colours",
        " | `paper` | `paper-1.1`": f"{SCORED}::test_what_the_newer_rules_do_otherwise",
        "Type | Score | `strict` | `paper`": f"{SCORED}::test_types_that_rules_score",
        "`rule` | Read": f"{SCORED}::test_what_is_read_as_the_answer",
        "Gold | Right | Wrong": f"{SCORED}::test_exact_match",
        "Gold | Reply | Score": f"{SCORED}::test_f1_match",
        "`rule` | A clause speaks for an option by | For instance": f"{SCORED}::test_multiple_choice",
        "Type | Score | `strict` | `paper` | Models in `scoring`": f"{SCORED}::test_types_that_models_score",
        "Found | ": f"{SCORED}::test_which_code_is_run",
        "Fared | ": f"{SCORED}::test_how_programs_fare",
    },
    "docs/store.md": {
        "Folder | What | Named by": f"{HERE}::test_folders_of_the_store",
        "What | What happens": "tests/unit/documents/test_every_table.py::test_rows_are_held_by_tests",
        "What | Measured | Aim": f"{MEASURED}::test_the_store",
    },
    "docs/zoo.md": {
        "Model | What | Taught": f"{HERE}::test_models_of_the_zoo",
        "Model | add | reverse | capital | sort | mixed | routing": (
            "tests/unit/zoo/test_packaged.py::test_the_page_on_the_zoo_shows_what_was_measured_on_these_models"
        ),
    },
}
"""Which test holds a table, by page and head."""

REPLANNED = "tests/workflow/test_replanning.py"
SHARDS, ARTIFACTS = "tests/unit/store/test_damaged_shards.py", "tests/unit/store/test_artifact_store.py"
BY_ROW = {
    ("docs/architecture.md", "Change | Planned (always with `collect`, the tables, figures and the report)"): {
        "model added to a pool": [
            f"{REPLANNED}::test_added_model_plans_its_own_work_and_the_pools_collaborations",
            f"{REPLANNED}::test_added_model_in_a_second_pool_leaves_the_first_pool_alone",
        ],
        "method parameter or source": [
            f"{REPLANNED}::test_changed_method_parameter_plans_that_variant_only",
            f"{REPLANNED}::test_edited_source_of_a_method_with_a_model_plans_fit_merge_and_generate",
        ],
        "shared module, or a helper of the method's own package": [
            f"{REPLANNED}::test_edited_shared_module_plans_every_method_that_imports_it",
            f"{REPLANNED}::test_a_helper_of_a_sibling_method_reaches_who_imports_it",
        ],
        "source of merging": [
            "tests/unit/workflow/test_plan.py::test_the_code_of_merging_decides_fits_that_score_merges_and_no_others"
        ],
        "`references.parquet` of test rewritten": [
            f"{REPLANNED}::test_rewritten_test_references_plan_scores_of_that_batch_and_split_only"
        ],
        "one more sample for a method": [
            f"{REPLANNED}::test_one_more_sample_plans_the_missing_block_and_that_method_only"
        ],
        "task added to a comparison": [
            f"{REPLANNED}::test_added_task_plans_its_new_batch_and_generates_only_its_own_items"
        ],
        "comparison added": [f"{REPLANNED}::test_added_comparison_plans_its_own_jobs_and_changes_no_other"],
        "either, where a fit serves all tasks of a pool": [
            "tests/workflow/test_declared_needs_run.py"
            "::test_one_more_task_plans_its_own_batch_and_the_fit_that_it_belongs_to"
        ],
        "corpus rewritten": [
            "tests/workflow/test_declared_needs_run.py"
            "::test_a_change_of_the_method_or_of_the_corpus_plans_the_fit_and_all_its_answers"
        ],
        "intermediate file deleted": [
            "tests/workflow/test_forgetting.py::test_what_is_forgotten_and_all_that_rests_on_it_is_planned_again"
        ],
        "comment, docstring, runtime setting": [
            f"{REPLANNED}::test_comment_docstring_and_runtime_settings_plan_nothing"
        ],
    },
    ("docs/store.md", "What | What happens"): {
        "a shard is truncated, empty, overwritten, or one bit of it changed": [
            f"{SHARDS}::test_a_damaged_shard_is_set_aside_and_its_requests_are_made_again",
            f"{SHARDS}::test_damage_to_what_is_not_read_harms_no_reply_and_verify_finds_it",
            f"{SHARDS}::test_no_single_bit_can_change_a_reply",
            f"{SHARDS}::test_a_reply_that_a_healthy_shard_holds_too_is_not_made_again",
        ],
        "a file of a fit, of a merge or of the zoo's cache was changed, cut, removed or added, or the list of its"
        " checksums is gone": [
            f"{ARTIFACTS}::test_a_damaged_folder_is_set_aside_and_made_again",
            f"{ARTIFACTS}::test_a_folder_without_checksums_is_made_again",
            "tests/unit/zoo/test_packaged.py::test_a_damaged_copy_is_replaced",
        ],
        "a whole shard has other columns (another version wrote it)": [
            f"{SHARDS}::test_a_whole_shard_of_another_layout_is_set_aside"
        ],
        "a file cannot be read, but is whole (too many open files, no permission)": [
            f"{SHARDS}::test_a_machine_that_cannot_read_sets_nothing_aside"
        ],
        "the disk is full": [
            "tests/unit/store/test_full_disk.py::test_a_small_file_system_that_fills",
            "tests/unit/store/test_full_disk.py::test_a_limit_on_the_size_of_files",
        ],
        "out of memory": [
            "tests/unit/engines/test_memory.py::test_batches_get_smaller_and_the_replies_are_the_same",
            "tests/unit/engines/test_memory.py::test_a_request_that_does_not_fit_alone_is_one_line_and_keeps_what_is_done",
        ],
        "a job is killed (SIGKILL, preemption, lost worker)": [
            "tests/workflow/test_chaos.py::test_a_study_that_is_killed_again_and_again_ends_as_an_undisturbed_one",
            "tests/workflow/test_interruption.py::test_kill_in_the_middle_loses_nothing",
        ],
    },
}
"""Which tests bring about what a row says, where a row is no more than the name of what happens."""


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def written_by_hand(path):
    """Return the text of a page before what is generated; nothing of a page that a run of the workflow writes."""
    text = path.read_text(encoding="utf-8")
    made = re.search(r"\A# .+\n\nMade by `make (\w+)` on \d{4}", text)
    if made:
        recipe = re.search(rf"^{made[1]}:.*\n((?:\t.*\n)+)", text_of("Makefile"), flags=re.MULTILINE)[1]
        assert f" {name_of(path)}" in recipe, f"make {made[1]} does not write {name_of(path)}"
        return ""
    head, mark, _ = re.split(r"(<!-- generated: .* -->|\Z)", text, maxsplit=1)
    if mark:
        assert [test for begin, test in GENERATED.items() if name_of(path).startswith(begin)], "no test holds the rest"
    return head


def exists(test):
    file, _, name = test.partition("::")
    return re.search(rf"^def {name}\(", text_of(file), flags=re.MULTILINE) is not None


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_table_is_held_by_a_test(path):
    tables = {table.head for table in tables_in(written_by_hand(path))}
    assert tables == set(HELD.get(name_of(path), {})), "name the test that compares the table with the code"


def test_those_tests_exist_and_read_the_page():
    assert set(HELD) <= set(map(name_of, PAGES))
    for page, tables in HELD.items():
        for test in tables.values():
            assert exists(test), test
            assert page.rpartition("/")[2] in text_of(test.partition("::")[0]), f"{test} reads another page"
    assert all(map(exists, GENERATED.values()))


def test_rows_are_held_by_tests():
    for (page, head), held in BY_ROW.items():
        assert [first for first, *_ in rows(page, head)] == list(held), f"name the tests of every row of {page}"
        for tests in held.values():
            assert all(map(exists, tests)), tests


def test_a_table_in_code_is_none_and_cells_may_be_empty():
    text = "```\n| a | b |\n|---|---|\n```\n\n| | `x` |\n|---|---|\n| c | |\n"
    ((head, cells),) = tables_in(text)
    assert (head, cells) == (" | `x`", [["c", ""]])
    assert codes(head) == ["x"]
