"""Attributed and paid cost in tables and in the figure: exact small cases."""

import csv

import pytest
from support.studies import SIZE, cost

from moco import paths
from moco.analysis.comparison import MEAN_SINGLE, Comparison
from moco.analysis.drawing import Label, place_labels
from moco.analysis.figures import make_figure
from moco.analysis.frontier import frontier, moco_cost_frontier, points
from moco.analysis.render import Quantity, cell_text
from moco.analysis.tables import make_table, write_table
from moco.errors import WorkError

MFLOP = 2 * SIZE / 1e9
"""GFLOPs of one token of a model of usual size."""


@pytest.fixture
def pair(study):
    """One pool of two models of different size, two tasks of four items, two seeds."""
    study.sizes = {"big": 10 * SIZE}
    study.spec["pools"] = {"p": ["small", "big"]}
    study.spec["seeds"] = [1, 2]
    for task in ("t", "u"):
        study.task(task)
        study.single("small", task, *[[1, 0, 0, 0]] * 2, tokens=(20, 5))
        study.single("big", task, *[[1, 1, 0, 0]] * 2, tokens=(20, 10))
    return study


def rows_of(study, name):
    table = make_table(name, study.spec, study.results)
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def main_costs(study):
    """Return tokens per item, GFLOPs per item, loads and fit GFLOPs of the main table, by system."""
    return {
        row["system"]: tuple(
            cell.value if isinstance(cell, Quantity) else cell
            for cell in (row[name] for name in ("tokens/item", "GFLOPs/item", "loads", "fit GFLOPs"))
        )
        for row in rows_of(study, "moco_main")
    }


def test_single_models_cost_what_they_read_and_wrote(pair):
    found = main_costs(pair)
    assert found["small"] == pytest.approx((25, 25 * MFLOP, 1, 0))
    assert found["big"] == pytest.approx((30, 300 * MFLOP, 1, 0))
    assert found["best single (test)"] == pytest.approx(found["big"])
    assert found["mean single"] == pytest.approx((27.5, 162.5 * MFLOP, 1, 0))


def test_best_single_costs_what_the_models_chosen_cost(pair):
    pair.task("v")
    pair.single("small", "v", *[[1, 1, 1, 1]] * 2, tokens=(20, 5))
    pair.single("big", "v", *[[1, 1, 0, 0]] * 2, tokens=(20, 10))
    assert main_costs(pair)["best single (test)"] == pytest.approx(((30 + 30 + 25) / 3, 625 / 3 * MFLOP, 1, 0))
    notes = " ".join(make_table("moco_main", pair.spec, pair.results).notes)
    assert "is not the same model on every task (p): its cost is the mean" in notes


def test_one_best_model_needs_no_note(pair):
    assert "not the same model" not in " ".join(make_table("moco_main", pair.spec, pair.results).notes)


def test_a_method_costs_its_models_per_item_and_its_fit_apart(pair):
    rows = [
        cost(model="small", calls=4, loads=2),
        cost(model="big", parameters=10 * SIZE, calls=1, loads=1),
        cost(stage="fit", model="small", calls=3),
        cost(stage="train", model="small", calls=1),
    ]
    for task in ("t", "u"):
        pair.method("p", "m", "text", task, *[[1, 1, 1, 1]] * 2, costs=rows)
    tokens = (4 * 12 + 12) / 4
    work = (4 * 12 + 10 * 12) / 4 * MFLOP
    # Both tasks' fits; the mean of the two equal seeds; training takes three times the work.
    assert main_costs(pair)["m"] == pytest.approx((tokens, work, 3, 2 * (36 + 3 * 12) * MFLOP))


def test_a_fit_that_serves_all_tasks_counts_once(pair):
    rows = [cost(model="small", calls=4), cost(stage="fit", scope="pool", model="small", calls=3)]
    for task in ("t", "u"):
        pair.method("p", "m", "text", task, *[[1, 1, 1, 1]] * 2, costs=rows)
    assert main_costs(pair)["m"][3] == pytest.approx(36 * MFLOP)
    fits = [row for row in rows_of(pair, "moco_cost") if row["stage"] == "fit"]
    assert [(row["tasks"], row["calls"], row["loads"]) for row in fits] == [(1, 3, 1)]


def test_tasks_count_equally_and_seeds_too(pair):
    pair.method("p", "m", "text", "t", [1] * 4, [1] * 4, costs=[cost(model="small", calls=4)])
    pair.method("p", "m", "text", "u", [1] * 2, [1] * 2, costs=[cost(model="small", calls=8, loads=2)])
    assert main_costs(pair)["m"][:3] == pytest.approx(((12 + 48) / 2, (12 + 48) / 2 * MFLOP, 1.5))


def test_failed_items_are_no_items(pair):
    pair.spec["min_coverage"] = 0.5
    for task in ("t", "u"):
        pair.method("p", "m", "text", task, *[[1, 1, "failed x", "invalid"]] * 2, costs=[cost(calls=3)])
    assert main_costs(pair)["m"][0] == pytest.approx(12)


def test_without_a_number_on_every_task_there_is_no_cost(pair):
    pair.method("p", "m", "text", "t", *[[1] * 4] * 2)
    pair.not_applicable("p", "m", "u", "reason")
    pair.method("p", "n", "text", "t", *[[1] * 4] * 2)
    pair.method("p", "n", "text", "u", *[["failed x"] * 4] * 2, costs=[])
    found = main_costs(pair)
    assert found["m"] == found["n"] == ("-",) * 4


def test_a_method_that_calls_nothing_costs_nothing(pair):
    for task in ("t", "u"):
        pair.method("p", "m", "text", task, *[[1] * 4] * 2, costs=[])
    assert main_costs(pair)["m"] == (0, 0, 0, 0)


def test_costs_by_model_are_totals_over_tasks_and_means_over_seeds(pair):
    candidates = [cost(stage="fit", role="candidate", model=f"candidate-{n}", calls=2) for n in range(3)]
    for task in ("t", "u"):
        rows = [*candidates, cost(stage="fit", model="big", calls=3), cost(model="big", calls=4), cost(model="small")]
        pair.method("p", "m", "text", task, *[[1] * 4] * 2, costs=rows)
    names = ("pool", "system", "stage", "model", "tasks", "calls", "prompt tokens", "completion tokens", "loads")
    assert [tuple(row[name] for name in names) for row in rows_of(pair, "moco_cost")] == [
        ("-", "small", "answer", "small", 2, 8, 160, 40, 2),
        ("-", "big", "answer", "big", 2, 8, 160, 80, 2),
        # In the order of the pool.
        ("p", "m", "answer", "small", 2, 10, 100, 20, 2),
        ("p", "m", "answer", "big", 2, 8, 80, 16, 2),
        ("p", "m", "fit", "big", 2, 6, 60, 12, 2),
        ("p", "m", "fit", "candidates of the search", 2, 12, 120, 24, 6),
    ]
    assert rows_of(pair, "moco_cost")[1]["GFLOPs"].value == pytest.approx(2400 * MFLOP)


def test_a_missing_cost_file_is_named(pair):
    pair.method("p", "m", "text", "t", [1] * 4, [1] * 4)
    (pair.folder / paths.costs("p", "t", "m", 2, "test")).unlink()
    for name in ("moco_main", "moco_cost"):
        with pytest.raises(WorkError, match=r"test_costs\.parquet"):
            make_table(name, pair.spec, pair.results)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.00123456, "0.00123"), (12.345, "12.3"), (1234.5, "1,234"), (5.0, "5"), (1e-7, "1.00e-07")],
)
def test_quantities_have_three_digits(value, text):
    assert cell_text(Quantity(value)) == text


def test_csv_has_full_precision(pair):
    write_table("moco_main", pair.spec, pair.results)
    lines = (pair.results / paths.table("moco_main", "csv")).read_text().splitlines()
    (row,) = [row for row in csv.DictReader(lines) if row["system"] == "big"]
    assert float(row["GFLOPs/item"]) == pytest.approx(300 * MFLOP, rel=1e-15)


def test_paid_is_what_was_new(pair):
    plain = paths.generation("small", "t", "dev", 1, "s1-4")
    pair.worked(plain, "plain responses", name="small", level="single", items=2, cached=0, made_tokens=10, seconds=5.0)
    answers = paths.answers("p", "t", "m", 1, "test")
    method = {"pool": "p", "name": "m", "level": "text"}
    pair.worked(answers, "answer", **method, items=2, read_tokens=10, made_tokens=8, seconds=4.0, loads=2)
    stored = {"items": 1, "cached": 1, "read_tokens": 0, "made_tokens": 0, "seconds": 0.0, "loads": 0}
    pair.worked(f"{paths.fit_folder('p', 't', 'm', 2)}.parquet", "fit", **method, **stored)
    made = paths.generation(paths.fitted_model("p", "t", "m", 1, "soup"), "t", "test", 1, "s0")
    few = {"items": 1, "cached": 0, "read_tokens": 10, "made_tokens": 1, "seconds": 0.5}
    pair.worked(made, "made models' responses", **method, **few)
    idle = {**stored, "items": 0, "cached": 0}
    pair.worked(paths.answers("p", "t", "m", 2, "test"), "answer", **method, **idle)
    pair.worked(paths.generation("big", "t", "test", 1, "s0"), "plain responses", name="big", level="single", **idle)
    names = ("pool", "system", "part", "replies", "tokens read and written", "loads made")
    rows = rows_of(pair, "moco_paid_perf")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("-", "small", "plain responses", 2, 40, 1),
        ("p", "m", "fit", 1, 0, 0),
        ("p", "m", "made models' responses", 1, 11, 1),
        ("p", "m", "answer", 2, 18, 2),
        ("all", "total", "-", 6, 69, 4),
    ]
    assert [row["cached (%)"] for row in rows] == [0.0, 1.0, 0.0, 0.5, pytest.approx(2 / 6)]
    assert [row["measured seconds of generating"].value for row in rows] == [5.0, 0.0, 0.5, 4.0, 9.5]
    assert rows[0]["measured tokens written/s"].value == 2.0
    assert rows[1]["measured tokens written/s"] == "-"


def test_every_job_tells_what_each_model_did(pair):
    plain = paths.generation("small", "t", "test", 1, "s0")
    pair.worked(plain, "plain responses", name="small", level="single")
    pair.worked(paths.logits("options", "big", "t", "test"), "logits", name="big", level="single", seed=None)
    judged = paths.scores("strict", paths.answers("p", "t", "m", 2, "test"))
    method = {"pool": "p", "name": "m", "level": "text"}
    pair.worked(judged, "scoring", **method, model="verifier", seed=2, made_tokens=0)
    scored = {"model": "verifier", "items": 4, "cached": 4, "seconds": 0.1}
    pair.worked(paths.scores("strict", plain), "scoring", name="small", level="single", **scored)
    fit = f"{paths.fit_folder('p', 't', 'm', 1)}.parquet"
    pair.worked(fit, "fit", **method, model="reward", tasks=["t", "u"], splits=["dev"])
    names = ("pool", "system", "part", "tasks", "splits", "seed", "model")
    counts = ("items", "cached (%)", "tokens written", "tokens read", "loads")
    rows = rows_of(pair, "moco_jobs_perf")
    assert [tuple(row[name] for name in (*names, *counts)) for row in rows] == [
        ("-", "small", "plain responses", "t", "test", "1", "small", 4, 0.25, 12, 30, 1),
        ("-", "small", "scoring", "t", "test", "1", "verifier", 4, 1.0, 12, 30, 1),
        ("-", "big", "logits", "t", "test", "-", "small", 4, 0.25, 12, 30, 1),
        ("p", "m", "fit", "t, u", "dev", "1", "reward", 4, 0.25, 12, 30, 1),
        ("p", "m", "scoring", "t", "test", "2", "verifier", 4, 0.25, 0, 30, 1),
    ]
    speeds = [row["measured tokens/s"] for row in rows]
    assert [speed if speed == "-" else speed.value for speed in speeds] == [6.0, "-", 6.0, 6.0, 15.0]
    paid = {(row["system"], row["part"]): row for row in rows_of(pair, "moco_paid_perf")}
    work = {("small", "plain responses"), ("small", "scoring"), ("big", "logits"), ("m", "fit"), ("m", "scoring")}
    assert paid.keys() == {*work, ("total", "-")}
    assert paid["big", "logits"]["tokens read and written"] == 42
    assert paid["total", "-"]["loads made"] == 5


def test_without_performance_files_nothing_is_said_to_be_paid(pair):
    assert rows_of(pair, "moco_paid_perf") == []
    assert rows_of(pair, "moco_jobs_perf") == []


def systems(study):
    return {point.line.name: point for point in points(Comparison(study.spec, study.results), "p")}


def test_points_have_accuracy_and_cost_of_the_main_table(pair):
    for task in ("t", "u"):
        pair.method("p", "m", "text", task, *[[1, 1, 1, 0]] * 2, costs=[cost(model="big", calls=4)])
        pair.method("p", "free", "text", task, *[[1, 1, 1, 0]] * 2, costs=[])
    pair.method("p", "half", "text", "t", *[[1, 1, 1, 0]] * 2)
    found = systems(pair)
    assert set(found) == {"small", "big", "best single (test)", "m"}
    assert MEAN_SINGLE not in found
    assert (found["m"].gflops, found["m"].accuracy.mean) == pytest.approx((12 * MFLOP, 0.75))


def test_the_frontier_is_what_nothing_cheaper_beats(pair):
    for name, calls, items in (
        ("cheap", 4, [1, 0, 0, 0]),
        ("worse", 8, [1, 0, 0, 0]),
        ("better", 8, [1, 1, 1, 0]),
        ("dear", 400, [1, 1, 1, 0]),
        ("best", 800, [1, 1, 1, 1]),
    ):
        for task in ("t", "u"):
            pair.method("p", name, "text", task, *[items] * 2, costs=[cost(model="small", calls=calls)])
    found = systems(pair)
    assert [point.line.name for point in frontier(list(found.values()))] == ["cheap", "better", "best"]


def test_the_oracle_is_never_on_the_frontier(pair):
    pair.single("small", "t", *[[1, 1, 1, 1]] * 2)
    found = list(systems(pair).values())
    assert "oracle" in {point.line.level for point in found}
    assert "oracle" not in {point.line.level for point in frontier(found)}


def test_variants_of_self_consistency_are_joined_from_cheap_to_dear(pair):
    def joined():
        axes = moco_cost_frontier(pair.spec, pair.results).figure.axes[0]
        return [list(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "--"]

    for name, calls in (("sc-2", 8), ("sc-1", 4), ("other", 6)):
        for task in ("t", "u"):
            method = "text_x" if name == "other" else "control_self_consistency"
            rows = [cost(model="small", calls=calls)]
            pair.method("p", name, "control", task, *[[1, 1, 1, 0]] * 2, costs=rows, method=method)
        if name == "sc-2":
            assert joined() == []
    assert joined() == [pytest.approx([12 * MFLOP, 24 * MFLOP])]


def test_labels_cover_neither_each_other_nor_points():
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    # Five groups of six systems whose points nearly coincide.
    labels = [
        Label(10.0**group * (1 + 0.04 * n), 50 + group + 0.3 * (n % 3), f"some_method_{group}_{n}")
        for group in range(5)
        for n in range(6)
    ]
    axes.scatter([label.x for label in labels], [label.y for label in labels], s=12)
    axes.set_xlim(0.1, 1e6)
    axes.set_ylim(45, 60)
    place_labels(axes, labels)
    figure.draw_without_rendering()
    texts = [Text.get_window_extent(text) for text in axes.texts]  # without the line to the point
    assert len(texts) == len(labels)
    assert not [(a, b) for a in range(30) for b in range(a) if texts[a].overlaps(texts[b])]
    spots = axes.transData.transform([(label.x, label.y) for label in labels])
    assert not [spot for spot in spots for box in texts if box.contains(*spot)]
    assert all(axes.bbox.contains(*corner) for box in texts for corner in (box.min, box.max))


def test_without_costs_or_averages_there_is_still_a_figure(study):
    study.task("chat", type="reward_model")
    study.spec["pools"] = {"p": ["a"]}
    study.single("a", "chat", [1, 2])
    assert make_figure("moco_cost_frontier", study.spec, study.results).files["pdf"].startswith(b"%PDF")


def test_the_figure_is_the_same_bytes_when_drawn_again(zoo):
    first, second = (make_figure("moco_cost_frontier", zoo.spec, zoo.results) for _ in range(2))
    assert first == second
    assert b"CreationDate" not in first.files["pdf"]


def test_work_of_unknown_size_makes_sums_unknown_and_no_zero(pair):
    rows = [cost(model="small"), cost(model="far", parameters=None, loads=0)]
    for task in ("t", "u"):
        pair.method("p", "m", "text", task, *[[1, 1, 1, 1]] * 2, costs=rows)
    found = main_costs(pair)
    assert found["m"][1] == "-"
    assert found["m"][0] == pytest.approx(10 * 12 / 4)
    assert found["small"][1] == pytest.approx(25 * MFLOP)
    notes = " ".join(make_table("moco_main", pair.spec, pair.results).notes)
    assert "FLOPs are - where a served model of unknown size took part" in notes
    by_model = {row["model"]: row["GFLOPs"] for row in rows_of(pair, "moco_cost") if row["system"] == "m"}
    assert by_model["far"] == "-"
    assert by_model["small"].value > 0
