import pytest

from moco.analysis import style
from moco.analysis.comparison import Comparison
from moco.analysis.drawing import short_name
from moco.analysis.figures import FIGURES, make_figure, write_figure
from moco.errors import RequestError
from moco.methods.base import LEVELS


def wins_of(study):
    return {each.name: each for each in Comparison(study.spec, study.results).wins()}


def test_wins_ties_and_settings(zoo):
    # Best single: sums 0.8, words 0.4, rhymes 0.6, chat 3.
    wins = wins_of(zoo)
    found = {name: (each.level, each.wins, each.ties, each.settings) for name, each in wins.items()}
    assert found == {
        "vote": ("text", 4, 0, 4),
        "soup": ("weight", 1, 2, 4),
        "debate": ("text", 0, 0, 4),
        "route": ("api", 0, 1, 3),
        "fuse": ("logit", 3, 0, 3),
    }


def test_gain_is_paired_and_leaves_reward_tasks_out(zoo):
    wins = wins_of(zoo)
    assert wins["vote"].gain.mean == pytest.approx((0.2 + 0.4 + 0.4) / 3)
    assert wins["route"].gain.mean == pytest.approx((-0.6 + 0.0) / 2)
    assert wins["vote"].gain.interval().n == 15


def test_a_constant_gain_over_an_uneven_model_has_no_width(study):
    study.task("t")
    study.spec["pools"] = {"p": ["a"]}
    study.single("a", "t", [0, 0.5, 0.25, 0])
    study.method("p", "m", "text", "t", [0.5, 1, 0.75, 0.5])
    gain = wins_of(study)["m"].gain.interval()
    assert (gain.mean, gain.low, gain.high) == (0.5, 0.5, 0.5)


def test_settings_are_pools_times_tasks(zoo):
    zoo.spec["pools"]["farm"] = ["recall"]
    zoo.method("farm", "vote", "text", "sums", [0, 0, 0, 0, 0])
    vote = wins_of(zoo)["vote"]
    assert (vote.wins, vote.ties, vote.settings) == (4, 1, 5)


def test_every_level_has_its_own_colour_hatch_and_marker():
    for kinds in (style.LEVEL_COLOURS, style.LEVEL_HATCHES, style.LEVEL_MARKERS):
        assert set(kinds) == set(LEVELS)
        assert len(set(kinds.values())) == len(LEVELS)
    assert not set(style.LEVEL_MARKERS.values()) & set(style.SINGLE_MARKERS.values())


def test_files_are_written_and_identical_when_written_again(zoo):
    folder = zoo.results / "figures"
    write_figure("moco_win_rate", zoo.spec, zoo.results)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(before) == ["moco_win_rate.pdf", "moco_win_rate.png"]
    assert before["moco_win_rate.pdf"].startswith(b"%PDF")
    assert before["moco_win_rate.png"].startswith(b"\x89PNG")
    assert b"CreationDate" not in before["moco_win_rate.pdf"]
    write_figure("moco_win_rate", zoo.spec, zoo.results)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_width_is_two_columns(zoo):
    png = make_figure("moco_win_rate", zoo.spec, zoo.results).files["png"]
    assert int.from_bytes(png[16:20], "big") == 200 * style.TWO_COLUMN


def test_without_methods_there_is_still_a_figure(zoo):
    zoo.spec["methods"] = []
    zoo.spec["not_applicable"] = []
    assert make_figure("moco_win_rate", zoo.spec, zoo.results).files["pdf"].startswith(b"%PDF")


def test_long_names_keep_both_ends():
    assert short_name("refine-3") == "refine-3"
    name = short_name("text_multiagent_refine-" + "x" * 30 + "-rounds-3")
    assert len(name) == 34
    assert name.startswith("text_multiagent_")
    assert name.endswith("-rounds-3")


def test_unknown_figure_suggests_a_name(zoo, plan):
    with pytest.raises(RequestError, match="did you mean moco_win_rate"):
        write_figure("moco_win_rates", zoo.spec, zoo.results)
    assert tuple(FIGURES) == plan.figures
