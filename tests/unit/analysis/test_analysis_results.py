import pytest

from moco import paths
from moco.analysis.results import item_scores, load_scores, summarise
from moco.errors import WorkError


def items_of(study, name):
    scores = item_scores(load_scores(study.spec, study.results))
    return scores.xs(name, level="name").droplevel(["kind", "pool", "task"])


def test_frame_is_long_and_tidy(zoo):
    frame = load_scores(zoo.spec, zoo.results)
    columns = ["kind", "pool", "name", "level", "task", "domain", "seed", "uid", "status", "reason", "score"]
    assert list(frame.columns) == columns
    assert len(frame) == 5 * (8 + 16 + 3)
    row = frame[(frame["name"] == "vote") & (frame["uid"] == "chat/test/4")].iloc[0]
    assert (row["kind"], row["pool"], row["level"], row["domain"], row["seed"]) == ("method", "zoo", "text", "chat", 1)
    assert row["score"] == 9.0
    single = frame[frame["kind"] == "single"]
    assert set(single["level"]) == {"single"}
    assert set(single["pool"]) == {""}


def test_missing_scores_are_named(zoo):
    (zoo.results / paths.collected(paths.BENCHMARK, "scores")).unlink()
    with pytest.raises(WorkError, match="file is missing") as caught:
        load_scores(zoo.spec, zoo.folder)
    assert caught.value.where.endswith("analysis/benchmark/scores.parquet")


def test_damaged_file_is_an_error_not_a_traceback(zoo):
    (zoo.results / paths.collected(paths.BENCHMARK, "scores")).write_bytes(b"x")
    with pytest.raises(WorkError, match="damaged"):
        load_scores(zoo.spec, zoo.folder)


def test_scores_under_other_rules_are_no_rows(study):
    study.task("t")
    study.single("a", "t", [1, 0])
    study.rescored("", "a", "t", [1, 1])
    assert load_scores(study.spec, study.results)["score"].tolist() == [1, 0]
    assert load_scores({**study.spec, "scorer": "paper"}, study.results)["score"].tolist() == [1, 1]


def test_several_answers_of_an_item_count_once(study):
    study.task("t")
    study.method("p", "m", "text", "t", [[1, 0, 0, 1], [1], [0, "invalid"]])
    assert items_of(study, "m").to_dict() == {"t/test/0": 0.5, "t/test/1": 1.0, "t/test/2": 0.0}


def test_scores_are_averaged_over_answers_then_over_seeds(study):
    study.task("t")
    # Pooling all answers of item 0 would give 2/5, not (1/4 + 1) / 2.
    study.method("p", "m", "text", "t", [[1, 0, 0, 0], 1], [1, "failed timeout"])
    assert items_of(study, "m").to_dict() == {"t/test/0": 0.625, "t/test/1": 1.0}


def test_items_without_a_score_are_absent_and_unparsed_ones_are_zero(study):
    study.task("t")
    study.method("p", "m", "text", "t", [1, "invalid", "failed x", "unparsed"])
    assert items_of(study, "m").to_dict() == {"t/test/0": 1.0, "t/test/3": 0.0}


def test_summary_counts_statuses(study):
    study.task("t")
    study.method("p", "m", "text", "t", [1, 0, "unparsed", "invalid", "failed b"], [1, 0, 1, "invalid", "failed a"])
    (summary,) = summarise(load_scores(study.spec, study.results))
    assert summary.key() == ("method", "p", "m", "t")
    assert (summary.rows, summary.failed, summary.invalid, summary.unparsed, summary.seeds) == (10, 2, 2, 1, 2)
    assert summary.coverage == 6 / 8
    assert summary.reason == "a"


def test_most_frequent_reason(study):
    study.task("t")
    study.method("p", "m", "text", "t", ["failed a", "failed b", "failed b", "failed"])
    assert summarise(load_scores(study.spec, study.results))[0].reason == "b"


def test_answers_off_the_regular_path_are_counted_apart_from_failures_and_keep_their_scores(study):
    study.task("t")
    items = ["fallback b", 1, "failed a", "fallback c", "unparsed"]
    study.method("p", "m", "text", "t", items, ["fallback b", "fallback c", "fallback b", 1, 1])
    (summary,) = summarise(load_scores(study.spec, study.results))
    assert (summary.failed, summary.reason) == (1, "a")
    assert (summary.fallbacks, summary.fallback) == (5, "b")
    assert summary.coverage == 9 / 10
    assert items_of(study, "m").to_dict() == dict(
        zip([f"t/test/{n}" for n in range(5)], [0, 0.5, 0, 0.5, 0.5], strict=True)
    )


@pytest.mark.parametrize(("items", "reason"), [(["invalid", "invalid"], ""), (["failed", "invalid"], "unknown reason")])
def test_coverage_of_a_result_without_answers_is_zero(study, items, reason):
    study.task("t")
    study.method("p", "m", "text", "t", items)
    (summary,) = summarise(load_scores(study.spec, study.results))
    assert (summary.coverage, summary.reason) == (0.0, reason)


def test_a_study_without_results_is_an_empty_frame(study):
    frame = load_scores(study.spec, study.results)
    assert frame.empty
    assert item_scores(frame).empty
    assert summarise(frame) == []
