"""Curves of trainings: one line each, of the reward where there is one, in the panel of what they are of."""

import pytest

from moco import paths
from moco.analysis.figures import figures_of, make_figure
from moco.analysis.training_figures import evo_training_curves, training_curves
from moco.records import ALL_CURVES, Provenance, write_rows

SPEC = {
    "study": "s",
    "configuration": "0" * 64,
    "scorer": "strict",
    "also_score": [],
    "class": "exact",
    "seeds": [1, 2],
    "trains": True,
    "evolution": {
        "runs": [
            {
                "run": f"run{seed}",
                "entry": "loop",
                "method": "vote",
                "variant": "supervised",
                "rounds": [{"pool": "p"}, {"pool": f"run{seed}--r1"}, {"pool": f"run{seed}--r2"}],
            }
            for seed in (1, 2)
        ]
    },
}


def rows(pool, name, seed, model, **metrics):
    about = {"pool": pool, "name": name, "seed": seed, "model": model}
    return [
        {**about, "step": at, "metric": metric, "value": value}
        for metric, values in metrics.items()
        for at, value in enumerate(values, start=1)
    ]


def written(folder, part, *trainings):
    write_rows(folder / paths.collected(part, "curves"), ALL_CURVES, [r for t in trainings for r in t], Provenance("x"))


def panels(drawing):
    """Return by panel its lines: the label, where it has one, and the values."""
    return {
        axes.get_title(loc="left"): [
            ("" if line.get_label().startswith("_") else line.get_label(), line.get_ydata().tolist())
            for line in axes.lines
        ]
        for axes in drawing.figure.axes
        if axes.get_visible()
    }


def test_a_training_is_a_line_of_its_loss_or_where_it_has_one_its_reward(tmp_path):
    written(
        tmp_path,
        paths.BENCHMARK,
        rows("", "tuned", None, ".", loss=[4.0, 3.0], gradient_norm=[9.0, 9.0]),
        rows("p", "route", 1, "t/models/router", loss=[2.0, 1.0]),
        rows("p", "route", 2, "t/models/router", loss=[2.5, 1.5]),
        rows("p", "learn", 1, "t/models/one", loss=[0.0, 0.0], reward=[0.1, 0.2]),
    )
    drawing = training_curves(SPEC, tmp_path)
    assert panels(drawing) == {
        "tuned": [("", [4.0, 3.0])],
        "route, p": [("router", [2.0, 1.0]), ("", [2.5, 1.5])],
        "learn, p": [("one", [0.1, 0.2])],
    }
    labels = {axes.get_title(loc="left"): axes.get_ylabel() for axes in drawing.figure.axes}
    assert (labels["route, p"], labels["learn, p"]) == ("loss", "reward")


def test_students_of_all_seeds_share_a_panel_with_a_colour_per_round(tmp_path):
    trainings = [
        rows(f"run{seed}--r{number}", f"run{seed}", seed, "1", loss=[float(number), seed / 10])
        for seed in (1, 2)
        for number in (1, 2)
    ]
    written(tmp_path, paths.EVOLUTION, *trainings, rows("p", "debate", 1, "t/models/a", loss=[5.0]))
    drawing = evo_training_curves(SPEC, tmp_path)
    assert panels(drawing) == {
        "loop, vote, supervised": [
            ("round 1", [1.0, 0.1]),
            ("", [1.0, 0.2]),
            ("round 2", [2.0, 0.1]),
            ("", [2.0, 0.2]),
        ],
        "debate, p": [("a", [5.0])],
    }
    lines = drawing.figure.axes[0].lines
    assert lines[0].get_color() == lines[1].get_color() != lines[2].get_color()


@pytest.mark.parametrize("name", ["training_curves", "evo_training_curves"])
def test_figures_of_training_are_the_same_bytes_again_and_say_where_nothing_was_trained(tmp_path, name):
    part = paths.EVOLUTION if name.startswith("evo_") else paths.BENCHMARK
    written(tmp_path, part)
    first = make_figure(name, SPEC, tmp_path)
    assert make_figure(name, SPEC, tmp_path).files == first.files


def test_only_a_study_that_trains_has_curves():
    assert "training_curves" in figures_of(SPEC)
    assert "training_curves" not in figures_of({name: value for name, value in SPEC.items() if name != "trains"})
