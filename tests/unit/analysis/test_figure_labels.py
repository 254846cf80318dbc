"""Words on figures: all inside, in the first drawing as in any other, and names that cover nothing."""

import io
import random
from itertools import combinations

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.text import Annotation, Text
from support.studies import Study, cost

from moco.analysis import style
from moco.analysis.drawing import LABEL
from moco.analysis.figures import FIGURES, figures_of, make_figure
from moco.analysis.placement import Name, places
from moco.methods.base import LEVELS

ITEMS = 50


def share(part):
    return [1] * round(part * ITEMS) + [0] * (ITEMS - round(part * ITEMS))


def compared(study, methods, singles=(0.5, 0.46, 0.4)):
    """Add one pool; a method is its name, level, accuracy and tokens per item."""
    study.task("mixed")
    study.spec["pools"] = {"experts": [f"model{number}" for number in range(len(singles))]}
    for number, part in enumerate(singles):
        study.single(f"model{number}", "mixed", share(part), tokens=(200 + number, 20))
    for name, level, part, tokens in methods:
        rows = [cost(calls=ITEMS, prompt_tokens=tokens * ITEMS, completion_tokens=0)]
        id = "control_self_consistency" if "consistency" in name else None
        study.method("experts", name, level, "mixed", share(part), costs=rows, method=id)
    return study


def spread(count, long=""):
    chance = random.Random(5)
    return [
        (f"{LEVELS[n % 5]}_method{long}-{n}", LEVELS[n % 5], chance.uniform(0.1, 0.95), int(10 ** chance.uniform(2, 4)))
        for n in range(count)
    ]


STUDIES = {
    "few": [
        ("api_prompt_routing", "api", 0.96, 1070),
        ("text_majority_vote", "text", 0.68, 700),
        ("logit_logit_fusion", "logit", 0.72, 699),
        ("weight_greedy_soup", "weight", 0.5, 220),
        ("control_best_single", "control", 0.5, 220),
        ("text_multiagent_refine", "text", 0.36, 4250),
        *((f"control_self_consistency-{k}", "control", 0.5 + 0.02 * k, 220 * k) for k in (3, 5, 10)),
    ],
    "thirty": spread(30),
    "thirty with long names": spread(30, "_with_a_name_that_is_rather_long_and_says_all"),
    "on one another": [(f"text_same-{n}", "text", 0.8, 500) for n in range(12)],
    "perfect and useless": [("a", "api", 1.0, 900), ("b", "text", 1.0, 901), ("c", "logit", 0.0, 5000)],
    "none": [],
}


COMPARED = figures_of({})
"""Figures of every study; those of the loop have tests of their own."""


@pytest.fixture(scope="module", params=STUDIES)
def drawn(request, tmp_path_factory):
    """Return the figures of a study, as they are before the first drawing."""
    study = compared(Study(tmp_path_factory.mktemp("study")), STUDIES[request.param])
    with rc_context(style.RC):
        return {name: FIGURES[name](study.spec, study.results).figure for name in COMPARED}


def named(figure):
    return [each for each in figure.findobj(Annotation) if each.get_gid() == LABEL]


def words(annotation):
    """Return where a name stands, without the line to its point."""
    return Text.get_window_extent(annotation)


def overlap(one, other):
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return width > 0.5 and height > 0.5


@pytest.mark.parametrize("name", COMPARED)
def test_nothing_is_cropped_and_the_first_drawing_is_as_every_other(drawn, name):
    figure = drawn[name]
    seen = []
    for _ in range(2):
        with rc_context(style.RC):
            figure.savefig(stream := io.BytesIO(), format="png", metadata={"Software": None})
        seen.append(stream.getvalue())
    assert seen[0] == seen[1]
    figure.draw_without_rendering()
    shown = [each for each in figure.findobj(Text) if each.get_visible() and each.get_text().strip()]
    assert len(shown) > 3
    for each in shown:
        box = Text.get_window_extent(each)
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        # Ticks beyond the limits of an axis have words that are not drawn.
        assert inside or each in {tick for axes in figure.axes for tick in unseen(axes)}, each


def unseen(axes):
    for axis, (low, high) in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim()))):
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low <= tick.get_loc() <= high:
                yield from (tick.label1, tick.label2)


def test_names_cover_no_name_no_point_and_no_line(drawn):
    figure = drawn["moco_cost_frontier"]
    figure.draw_without_rendering()
    axes = figure.axes[0]
    boxes = [words(each) for each in named(figure)]
    held = [name for each in named(figure) for name in each.get_text().replace("\n", ", ").split(", ")]
    assert len(held) == len(axes.collections)
    assert not [pair for pair in combinations(boxes, 2) if overlap(*pair)]
    for points in axes.collections:
        half = points.get_sizes()[0] ** 0.5 / 2 * figure.dpi / 72
        ((x, y),) = axes.transData.transform(points.get_offsets())
        covering = [
            box for box in boxes if box.x0 < x + half and box.x1 > x - half and box.y0 < y + half and box.y1 > y - half
        ]
        assert not covering
    for line in axes.lines:
        if len(line.get_xydata()) > 2:
            path = line.get_path().transformed(axes.transData)
            assert not [box for box in boxes if path.intersects_bbox(box, filled=False)]


def test_a_name_stands_at_its_own_point_or_has_a_line_to_it(drawn):
    figure = drawn["moco_cost_frontier"]
    figure.draw_without_rendering()
    axes = figure.axes[0]
    spots = [axes.transData.transform(each.get_offsets())[0] for each in axes.collections]
    led = {tuple(each.xy) for each in figure.findobj(Annotation) if each.arrow_patch is not None}
    for each in named(figure):
        box, own = words(each), axes.transData.transform(each.xy)
        distances = [gap(box, spot) for spot in spots if np.hypot(*(spot - own)) > 5 * figure.dpi / 72]
        assert tuple(each.xy) in led or gap(box, own) < min(distances, default=1e9)


def gap(box, spot):
    return np.hypot(max(box.x0 - spot[0], 0, spot[0] - box.x1), max(box.y0 - spot[1], 0, spot[1] - box.y1))


def test_figures_say_whose_they_are(drawn):
    assert {figure.get_supxlabel() for figure in drawn.values()} == {"study demo, configuration 0123456789ab"}


def test_files_say_whose_they_are_and_are_the_same_bytes_again(study):
    compared(study, STUDIES["few"])
    for name in COMPARED:
        first, second = (make_figure(name, study.spec, study.results) for _ in range(2))
        assert first == second
        for content in first.files.values():
            assert b"Study demo, configuration 0123456789ab." in content


def test_places_do_not_depend_on_the_order_of_names():
    chance = np.random.default_rng(3)
    names = [Name(*map(float, chance.uniform(20, 180, 2)), 3.0, 40.0 + n, 7.0) for n in range(12)]
    nothing = np.empty((0, 4))
    found = places(names, (0, 0, 300, 200), nothing, nothing)
    assert all(place.free for place in found)
    assert places(names[::-1], (0, 0, 300, 200), nothing, nothing)[::-1] == found


def test_without_room_a_name_says_so():
    wall = np.array([(0.0, y, 100.0, y) for y in range(0, 50, 4)])
    (place,) = places([Name(50, 25, 3, 30, 7)], (0, 0, 100, 50), wall, np.empty((0, 4)))
    assert not place.free
